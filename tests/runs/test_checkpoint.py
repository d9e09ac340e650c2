import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from sagan import files
from sagan.config import NetworkConfig, RunConfig, TrainingConfig
from sagan.errors import CheckpointError
from sagan.runs.checkpoint import open_checkpoint
from sagan.runs.run import Run, find_checkpoint

CONFIG = RunConfig(
    preset="paper", network=NetworkConfig(classes=3), training=TrainingConfig(seed=9)
)
FILES = ["generator.safetensors", "optimizer.safetensors", "manifest.json"]


def tensors_of(step: int) -> dict[str, dict[str, Tensor]]:
    draw = torch.Generator().manual_seed(step)
    weight = torch.randn(4, 3, 3, 3, generator=draw)
    weight[0, 0, 0] = torch.tensor([float("nan"), -0.0, float("inf")])
    return {
        "generator": {
            "weight": weight.contiguous(memory_format=torch.channels_last),
            "transposed": torch.randn(5, 2, generator=draw).T,
            "half": torch.randn(6, generator=draw).bfloat16(),
            "parameter": torch.nn.Parameter(torch.randn(2, generator=draw)),
        },
        "optimizer": {
            "step": torch.tensor(step),
            "double": torch.randn(3, generator=draw).double(),
            "empty": torch.empty(0, 7),
        },
    }


def save(run: Run, step: int, keep: int = 9) -> Path:
    return run.save(step, tensors_of(step), config=CONFIG, keep=keep, facts={"images": 64 * step})


def bits(tensor: Tensor) -> bytes:
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def assert_holds(path: Path, step: int) -> None:
    opened = open_checkpoint(path)
    opened.verify()
    assert opened.step == step
    for name, group in tensors_of(step).items():
        read = opened.tensors(name)
        assert set(read) == set(group)
        for key, tensor in group.items():
            assert (read[key].shape, read[key].dtype) == (tensor.shape, tensor.dtype)
            assert bits(read[key]) == bits(tensor)


def steps(run: Run) -> list[int]:
    return [int(path.name.removeprefix("step-")) for path in run.checkpoint_paths()]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    run = Run(tmp_path / "run")
    run.write_config(CONFIG)
    return run


def test_what_was_saved_is_read_back_bit_for_bit(run: Run) -> None:
    path = save(run, 12)
    assert path == run.path / "checkpoints" / "step-00000012"
    assert sorted(file.name for file in path.iterdir()) == sorted(FILES)
    assert_holds(path, 12)
    opened = open_checkpoint(path)
    assert opened.config == run.config() == CONFIG
    assert opened.manifest["images"] == 64 * 12


def test_latest_points_to_the_last_saved_and_best_goes_first(run: Run) -> None:
    assert run.pointed_to("latest") is None
    first, second = save(run, 1), save(run, 2)
    assert (run.path / "latest").read_text() == "step-00000002\n"
    assert run.pointed_to("latest") == second
    assert run.checkpoint(verify_files=()).step == 2
    assert find_checkpoint(run.path, verify_files=None).step == 2
    files.write_atomically(run.path / "best", f"{first.name}\n".encode())
    assert run.checkpoint(verify_files=()).step == 1
    assert find_checkpoint(run.path, verify_files=None).step == 1
    assert find_checkpoint(str(second), verify_files=None).step == 2


@pytest.mark.fault(3)
def test_retention_keeps_the_newest_and_best(run: Run) -> None:
    for step in (1, 2):
        save(run, step, keep=3)
    (run.path / "best").write_text("step-00000002\n")
    for step in (3, 4, 5, 10):
        save(run, step, keep=3)
    assert steps(run) == [2, 4, 5, 10]
    save(run, 11, keep=1)
    assert steps(run) == [2, 11]
    assert_holds(run.path / "checkpoints/step-00000002", 2)


@pytest.mark.fault(7)
def test_every_flipped_bit_is_noticed_and_the_file_named(run: Run) -> None:
    path = save(run, 1)
    draw = random.Random(0)
    for i in range(210):
        file = path / FILES[i % 3]
        content = file.read_bytes()
        flipped = bytearray(content)
        flipped[draw.randrange(len(flipped))] ^= 1 << draw.randrange(8)
        file.write_bytes(flipped)
        with pytest.raises(CheckpointError, match=file.name):
            open_checkpoint(path).verify()
        file.write_bytes(content)
    assert_holds(path, 1)


def cut(file: Path) -> None:
    os.truncate(file, file.stat().st_size * 2 // 3)


def cut_last_byte(file: Path) -> None:
    os.truncate(file, file.stat().st_size - 1)


def empty(file: Path) -> None:
    os.truncate(file, 0)


def append(file: Path) -> None:
    file.write_bytes(file.read_bytes() + b"\n")


def make_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("harm", [cut, cut_last_byte, empty, append, Path.unlink, make_folder])
@pytest.mark.fault(8)
def test_a_damaged_or_missing_file_is_refused_by_its_name(
    run: Run, name: str, harm: Callable[[Path], None]
) -> None:
    path = save(run, 1)
    harm(path / name)
    with pytest.raises(CheckpointError, match=name):
        open_checkpoint(path).verify()
    with pytest.raises(CheckpointError, match=name):
        run.checkpoint(verify_files=None)


def test_whoever_opens_a_checkpoint_says_which_files_are_verified(run: Run) -> None:
    path = save(run, 1)
    cut(path / "optimizer.safetensors")
    for opened in (run.checkpoint, partial(find_checkpoint, run.path)):
        assert opened(verify_files=()).step == opened(verify_files=["generator"]).step == 1
        for which in (None, ["optimizer"]):
            with pytest.raises(CheckpointError, match=r"optimizer\.safetensors is damaged"):
                opened(verify_files=which)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.fault(9)
def test_a_file_of_another_step_is_refused(run: Run, name: str) -> None:
    first, second = save(run, 1), save(run, 2)
    shutil.copy(first / name, second / name)
    with pytest.raises(CheckpointError, match=r"safetensors.* is damaged"):
        open_checkpoint(second).verify()


def test_a_manifest_edited_by_hand_is_refused(run: Run) -> None:
    file = save(run, 1) / "manifest.json"
    manifest = json.loads(file.read_text())
    manifest["step"] = 7
    file.write_text(json.dumps(manifest, sort_keys=True, indent=1))
    with pytest.raises(CheckpointError, match=r"manifest.json is damaged"):
        run.checkpoint(verify_files=())


@pytest.mark.parametrize("manifest", [[], {}, {"format": 2}, 3, None])
@pytest.mark.fault(11)
def test_another_format_is_refused(run: Run, manifest: Any) -> None:
    path = save(run, 1)
    (path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match="not of format 1"):
        open_checkpoint(path)


def test_a_file_that_was_never_saved_is_refused_by_its_name(run: Run) -> None:
    with pytest.raises(CheckpointError, match=r"has no ema.safetensors"):
        open_checkpoint(save(run, 1)).tensors("ema")


@pytest.mark.fault(7, 8)
def test_the_newest_sound_checkpoint_is_found_and_the_faults_told(run: Run) -> None:
    assert run.newest_sound_checkpoint() == (None, [])
    paths = [save(run, step) for step in (1, 2, 3)]
    cut(paths[2] / FILES[0])
    (paths[1] / FILES[2]).unlink()
    found, faults = run.newest_sound_checkpoint()
    assert found is not None
    assert found.step == 1
    assert all(str(path) in fault for path, fault in zip(paths[:0:-1], faults, strict=True))
    empty(paths[0] / FILES[1])
    found, faults = run.newest_sound_checkpoint()
    assert found is None
    assert len(faults) == 3


def test_a_step_that_is_saved_again_replaces_what_was_there(run: Run) -> None:
    save(run, 1)
    cut(save(run, 2) / FILES[0])
    assert_holds(save(run, 2), 2)
    assert steps(run) == [1, 2]
    assert run.checkpoint(verify_files=()).step == 2


CALLS = {"fsync": (os, "fsync"), "rename": (os, "rename"), "replace": (os, "replace")}


class Failing:
    """Counts calls, and lets the one with a given number fail."""

    def __init__(self, call: Callable[..., Any], fail_at: int) -> None:
        self.call, self.fail_at, self.count = call, fail_at, 0

    def __call__(self, *arguments: Any) -> Any:
        self.count += 1
        if self.count == self.fail_at:
            raise OSError(28, "No space left on device")
        return self.call(*arguments)


class FullDisk(io.FileIO):
    """A file of which the disk takes only half."""

    def write(self, content: Any) -> int:
        super().write(content[: len(content) // 2])
        raise OSError(28, "No space left on device")


def faults_in(call: str, monkeypatch: pytest.MonkeyPatch, fail_at: int) -> Failing:
    if call == "write":
        count = Failing(open, 0)

        def opener(path: Path, mode: str) -> Any:
            if mode == "rb":  # a file that is verified
                return open(path, mode)
            file = count(path, mode)
            if count.count == fail_at:
                file.close()
                return FullDisk(path, mode)
            return file

        monkeypatch.setattr(files, "open", opener, raising=False)
        return count
    failing = Failing(getattr(os, call), fail_at)
    monkeypatch.setattr(os, call, failing)
    return failing


def calls_of_a_save(call: str, run: Run) -> int:
    with pytest.MonkeyPatch.context() as patch:
        count = faults_in(call, patch, fail_at=0)
        save(run, 2, keep=1)
        return count.count


@pytest.mark.parametrize(
    ("call", "expected"), [("write", 4), ("fsync", 7), ("rename", 2), ("replace", 1)]
)
@pytest.mark.fault(2, 5)
def test_a_save_that_fails_anywhere_leaves_a_sound_checkpoint(
    tmp_path: Path, call: str, expected: int
) -> None:
    practice = Run(tmp_path / "practice")
    save(practice, 1)
    calls = calls_of_a_save(call, practice)
    assert calls >= expected  # the faults below do hit the save
    for fail_at in range(1, calls + 1):
        run = Run(tmp_path / f"{fail_at}")
        save(run, 1)
        with pytest.MonkeyPatch.context() as patch:
            faults_in(call, patch, fail_at)
            with pytest.raises(OSError, match="No space left"):
                save(run, 2, keep=1)
        usable = run.checkpoint(verify_files=())
        assert_holds(usable.path, usable.step)
        newest, faults = run.newest_sound_checkpoint()
        assert newest is not None
        assert faults == []
        assert newest.step >= usable.step >= 1
        assert_holds(newest.path, newest.step)
        run.remove_leftovers()
        left = {path.name for path in run.path.rglob("*")}
        assert left <= {"checkpoints", "latest", "step-00000001", "step-00000002", *FILES}
        assert_holds(save(run, 2, keep=1), 2)  # and goes on
        assert steps(run) == [2]


def test_leftovers_of_a_killed_save_are_no_checkpoints_and_are_removed(run: Run) -> None:
    save(run, 1)
    partial = run.path / "checkpoints/.partial-step-00000002"
    partial.mkdir()
    (partial / FILES[0]).write_bytes(b"half")
    (run.path / ".partial-latest").write_bytes(b"step-")
    assert run.newest_sound_checkpoint()[1] == []
    assert steps(run) == [1]
    run.remove_leftovers()
    assert not list(run.path.rglob(".partial*"))
    assert_holds(run.checkpoint(verify_files=()).path, 1)


def test_a_path_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nowhere does not exist: name a run folder"):
        find_checkpoint(tmp_path / "nowhere", verify_files=None)
    with pytest.raises(ValueError, match=r"is not a run folder: it has no config.json"):
        find_checkpoint(tmp_path, verify_files=None)
    run = Run(tmp_path / "new")
    assert not run.exists()
    run.write_config(CONFIG)
    assert run.exists()
    with pytest.raises(ValueError, match="has no checkpoint yet"):
        find_checkpoint(run.path, verify_files=None)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\x00", b"3", b"[1]", b'{"colour": 1}'])
def test_a_run_whose_configuration_cannot_be_read_is_refused(run: Run, content: bytes) -> None:
    (run.path / "config.json").write_bytes(content)
    with pytest.raises(ValueError, match="config"):
        run.config()


@pytest.mark.parametrize("pointer", ["latest", "best"])
@pytest.mark.parametrize("content", ["", "step-00000077\n"])
def test_a_pointer_to_nothing_gives_way_to_the_newest_checkpoint(
    run: Run, pointer: str, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = save(run, 1)
    (run.path / pointer).write_text(content)
    assert run.checkpoint(verify_files=()).path == path
    assert "is not a checkpoint: manifest.json" in caplog.text
    shutil.rmtree(path)
    with pytest.raises(CheckpointError, match=r"is not a checkpoint: manifest.json"):
        run.checkpoint(verify_files=())


def test_a_pointer_cannot_lead_out_of_the_run(run: Run) -> None:
    (run.path / "latest").write_text("../../other/step-00000001\n")
    assert run.pointed_to("latest") == run.path / "checkpoints" / "step-00000001"


HOLD_LOCK = """
import sys, time
from pathlib import Path
from sagan.runs.run import Run
with Run(Path(sys.argv[1])).lock():
    print("locked", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(run: Run) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the run's lock."""
    command = [sys.executable, "-c", HOLD_LOCK, str(run.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        yield process
        process.kill()


def test_a_second_writer_is_refused_until_the_first_is_killed(
    run: Run, holder: subprocess.Popen[str]
) -> None:
    with pytest.raises(ValueError, match="another process is training"), run.lock():
        pass
    holder.send_signal(signal.SIGKILL)
    holder.wait(timeout=10)
    for _ in range(2):  # taken, given back, and taken again
        with run.lock():
            pass


def test_the_lock_is_given_back_after_an_error(run: Run) -> None:
    with pytest.raises(KeyError), run.lock():
        raise KeyError
    with run.lock(), pytest.raises(ValueError, match="another process"), run.lock():
        pass
