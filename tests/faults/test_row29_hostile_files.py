"""Row 29: whatever a file claims, opening it takes bounded memory and time, and is one line.

Each is opened by the program in a process with 600 MB to spare; its peak is held to 150 MB.
"""

import pytest
from bounded import ForkServer, one_line
from command_line import SMALL
from faults import hostile

MOST_MB = 150
MOST_SEC = 60


@pytest.fixture(scope="module")
def server():
    with ForkServer(preload=["sagan.training.loop", "sagan.data.doctor"]) as server:
        yield server


@pytest.fixture
def refused(server, tmp_path, monkeypatch, counted):
    """Runs a command that must end in a line, with code 2 (or 1 for a damaged checkpoint)."""
    monkeypatch.chdir(tmp_path)
    numbers = dict.fromkeys(("hostile files and options", "refused in one line"), 0)
    counted(numbers)  # which go on counting

    def run(name, *arguments, code=2):
        numbers["hostile files and options"] += 1
        ended = server.sagan(*arguments, seconds=MOST_SEC)
        said = one_line(ended.said)
        assert ended.code == code, (name, ended)
        assert ended.grown_mb < MOST_MB, (name, ended)
        assert len(said) < 1_000, (name, said)
        numbers["refused in one line"] += 1

    return run


SAMPLE = ["--num", "1", "--out", "made.png"]


@pytest.mark.fault(29)
def test_safetensors_files(refused, tmp_path):
    for i, (name, content) in enumerate(hostile.safetensors_files()):
        file = tmp_path / f"{i}.safetensors"
        file.write_bytes(content)
        refused(name, "sample", file, *SAMPLE)


@pytest.mark.fault(29)
def test_manifests(refused, tmp_path):
    for i, (name, content) in enumerate(hostile.manifests()):
        run = tmp_path / f"{i}"
        hostile.copy_with("digits", run, "checkpoints/step-00000004/manifest.json", content)
        code = 2 if "enormous" in name else 1  # a value that no version reads; damage
        checkpoint = run / "checkpoints/step-00000004"
        refused(name, "sample", checkpoint, *SAMPLE, code=code)


@pytest.mark.fault(29)
def test_configurations(refused, tmp_path):
    for i, (name, content) in enumerate(hostile.configurations()):
        folder = hostile.copy_with("exported", tmp_path / f"{i}", "config.json", content)
        refused(name, "sample", folder, *SAMPLE)
    run = hostile.copy_with("digits", tmp_path / "run", "config.json", hostile.DEEP)
    refused("a run's", "runs", run)


@pytest.mark.fault(29)
def test_sources(refused, tmp_path):
    for name, content in hostile.sources():
        (tmp_path / name).write_bytes(content)
        refused(name, "data", "check", name)


@pytest.mark.fault(29)
def test_packed_folders(refused, tmp_path):
    for i, (name, content) in enumerate(hostile.packed_facts()):
        folder = hostile.copy_with("packed", tmp_path / f"{i}", "packed.json", content)
        refused(name, "data", "check", folder)


@pytest.mark.fault(29)
def test_other_files(refused, tmp_path):
    for i, content in enumerate([b"", b"\x08" * 1000, b"\x0a\xff\xff\xff\xff\x7f"]):
        (tmp_path / f"{i}.onnx").write_bytes(content)
        refused(f"{i}.onnx", "sample", f"{i}.onnx", *SAMPLE)


@pytest.mark.fault(29)
def test_enormous_options(refused, tmp_path):
    train = ["train", tmp_path / "run", *SMALL, "--images", 64]
    for option in ("--g-width", "--d-width", "--batch-size", "--d-steps", "--standing-batches",
                   "--evaluate-num", "--images", "--accumulate"):  # fmt: skip
        refused(option, *train, option, 10**19)
    run = hostile.GOLDEN / "digits"
    for num in (10**9, 10**19):
        refused("--num", "sample", run, "--num", num, "--out", "folder")
        scored = ["--data", "digits", "--metrics", "fd:pixel"]
        refused("--num", "evaluate", run, *scored, "--num", num)
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "folder").exists()
