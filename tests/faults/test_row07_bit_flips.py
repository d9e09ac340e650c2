"""Row 7: a flipped bit is seen wherever it is, and what was sound before is used instead."""

import random
import shutil
from pathlib import Path

import pytest
from command_line import sagan
from faults.test_row02_kills_inside_a_save import two_saved

from sagan.errors import CheckpointError
from sagan.files import write_atomically
from sagan.runs.checkpoint import open_checkpoint
from sagan.runs.run import Run
from sagan.sharing.seal import check_seal

GOLDEN = Path(__file__).parents[1] / "golden" / "v0.1.0"


def flipped(content, draw):
    at = draw.randrange(8 * len(content))
    harmed = bytearray(content)
    harmed[at // 8] ^= 1 << at % 8
    return bytes(harmed)


@pytest.mark.fault(7)
def test_1000_of_1000_flips_in_a_checkpoint_are_caught_and_the_one_before_is_used(
    tmp_path, counted
):
    run, newest = two_saved(tmp_path / "run")
    files = sorted(newest.iterdir())
    draw = random.Random(0)
    for i in range(1000):
        file = files[i % len(files)]
        content = file.read_bytes()
        file.write_bytes(flipped(content, draw))
        with pytest.raises(CheckpointError, match=file.name):
            open_checkpoint(newest).verify()
        if i % 100 == 0:
            found, faults = run.newest_sound_checkpoint()
            assert (found.step, len(faults)) == (1, 1)
            assert run.checkpoint(verify_files=None).step == 1
        file.write_bytes(content)
    open_checkpoint(newest).verify()
    counted({"bits flipped in checkpoints": 1000, "caught in checkpoints": 1000})


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A run's generator in each of the formats that are passed on."""
    path = tmp_path_factory.mktemp("exported")
    run = GOLDEN / "digits"
    assert sagan("export", run, "--out", path / "g.safetensors") == 0
    assert sagan("export", run, "--format", "folder", "--out", path / "folder") == 0
    if pytest.importorskip("onnx"):
        assert sagan("export", run, "--out", path / "g.onnx") == 0
    return path


@pytest.mark.fault(7)
@pytest.mark.parametrize(
    "name",
    [
        "g.safetensors",
        pytest.param("g.onnx", marks=pytest.mark.slow),
        pytest.param("folder/model.safetensors", marks=pytest.mark.slow),
    ],
)
def test_1000_of_1000_flips_in_an_exported_file_are_caught(exported, tmp_path, name, counted):
    content = (exported / name).read_bytes()
    draw = random.Random(0)
    harmed = tmp_path / "harmed"
    caught = 0
    for _ in range(1000):
        harmed.write_bytes(flipped(content, draw))
        try:
            check_seal(harmed, harmed)
        except ValueError:
            caught += 1
    counted({"bits flipped in exported files": 1000, "caught in exported files": caught})
    assert caught == 1000


@pytest.mark.fault(7)
def test_the_checksums_own_names_are_no_weak_spot(exported, tmp_path):
    """A flip there must not make the file look like one without a checksum."""
    for name in ("g.safetensors", "g.onnx"):
        content = (exported / name).read_bytes()
        for key in (b"sagan.sha256", b"sagan.sealed"):
            at = content.index(key)
            for bit in range(8 * (len(key) + 3)):  # and what stands between it and the digits
                harmed = bytearray(content)
                harmed[at + bit // 8] ^= 1 << bit % 8
                (tmp_path / "harmed").write_bytes(harmed)
                with pytest.raises(ValueError, match="damaged"):
                    check_seal(tmp_path / "harmed", name)


@pytest.mark.fault(7)
@pytest.mark.parametrize("name", ["g.safetensors", "g.onnx", "folder"])
def test_a_flipped_export_is_not_sampled_from(exported, tmp_path, name, capfd):
    shutil.copytree(exported, tmp_path / "here")
    path = tmp_path / "here" / name
    assert sagan("sample", path, "--num", 1, "--out", tmp_path / "a.png") == 0
    assert "checksum" not in capfd.readouterr().err
    file = path / "model.safetensors" if path.is_dir() else path
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 4
    file.write_bytes(content)
    assert sagan("sample", path, "--num", 1, "--out", tmp_path / "b.png") == 2
    assert "is damaged: its content is not what was exported" in capfd.readouterr().err
    assert not (tmp_path / "b.png").exists()


@pytest.mark.fault(7, 11)
@pytest.mark.parametrize("name", ["exported.safetensors", "exported.onnx", "exported"])
def test_a_file_exported_before_there_were_checksums_opens_and_it_is_said(tmp_path, name, caplog):
    said = "carries no checksum: damage to it would not be noticed"
    copy = tmp_path / name
    (shutil.copytree if (GOLDEN / name).is_dir() else shutil.copy)(GOLDEN / name, copy)
    assert sagan("sample", copy, "--num", 1, "--out", tmp_path / "a.png") == 0
    assert caplog.text.count(said) == 1


@pytest.fixture
def run(tmp_path):
    shutil.copytree(GOLDEN / "digits", tmp_path / "run")
    return Run(tmp_path / "run")


def harm(file):
    content = bytearray(file.read_bytes())
    content[-2] ^= 1
    file.write_bytes(content)


@pytest.mark.fault(7)
def test_sampling_evaluating_and_exporting_fall_back_and_say_so(run, tmp_path, caplog):
    first, second = run.checkpoint_paths()
    write_atomically(run.path / "best", f"{second.name}\n".encode())
    assert sagan("sample", first, "--num", 2, "--out", tmp_path / "of-first.png") == 0
    harm(second / "ema.safetensors")
    score = ["--data", "digits", "--metrics", "fd:pixel", "--num", 32]
    assert sagan("sample", run.path, "--num", 2, "--out", tmp_path / "now.png") == 0
    assert sagan("evaluate", run.path, *score) == 0
    assert sagan("export", run.path, "--out", tmp_path / "g.safetensors") == 0
    assert f"{first.name} is used instead" in caplog.text
    assert "ema.safetensors is damaged" in caplog.text
    assert (tmp_path / "now.png").read_bytes() == (tmp_path / "of-first.png").read_bytes()
    assert sagan("sample", second, "--num", 2, "--out", tmp_path / "x.png") == 1  # as it was named


@pytest.mark.fault(7)
def test_weights_that_are_not_numbers_are_refused(tmp_path, capfd):
    import safetensors.torch

    file = tmp_path / "nan.safetensors"
    with safetensors.safe_open(GOLDEN / "exported.safetensors", "pt") as opened:
        strings = opened.metadata()
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    next(iter(tensors.values())).view(-1)[0] = float("nan")
    safetensors.torch.save_file(tensors, file, strings)
    assert sagan("sample", file, "--num", 1, "--out", tmp_path / "a.png") == 2
    assert "its weights are not finite" in capfd.readouterr().err
