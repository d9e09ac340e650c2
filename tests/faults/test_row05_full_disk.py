"""Rows 5 and 6: a full disk and a folder that cannot be written are one line and lose nothing."""

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from bounded import ForkServer, one_line
from command_line import SMALL, sagan

from sagan.runs.run import Run

GOLDEN = Path(__file__).parents[1] / "golden" / "v0.1.0"
ADVICE = "what was there before stands: free some space and run it again"


@pytest.fixture(scope="module")
def server():
    with ForkServer(preload=["sagan.training.loop"]) as server:
        yield server


@pytest.fixture
def run(tmp_path):
    shutil.copytree(GOLDEN / "digits", tmp_path / "run")
    return Run(tmp_path / "run")


def content(run):
    return {p.relative_to(run.path): p.read_bytes() for p in run.path.rglob("*") if p.is_file()}


def leftovers(path):
    return [p.name for p in path.rglob("*") if p.name.startswith((".partial-", ".removed-"))]


@pytest.mark.slow
@pytest.mark.fault(5)
def test_a_limit_on_files_stops_training_in_a_line_and_it_goes_on(server, run):
    """The kernel refuses to write beyond 30 kB of any file, as a full disk does."""
    go_on = ["train", run.path, "--images", 96, "--device", "cpu"]
    newest = run.checkpoint_paths()[-1].name
    ended = server.sagan(*go_on, FSIZE=30_000, room_mb=3_000, seconds=120)
    assert ended.code == 1
    said = one_line(ended.said)
    assert "safetensors: File too large" in said
    assert ADVICE in said
    assert leftovers(run.path) == []
    assert run.newest_sound_checkpoint()[0].path.name == newest
    assert server.sagan(*go_on, room_mb=3_000, seconds=120).code == 0
    assert run.checkpoint(verify_files=()).step >= 4


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 3 MB."""
    path = tmp_path / "disk"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(path)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only root may mount a small disk")
    yield path
    subprocess.run(["umount", str(path)], check=True)


@pytest.mark.fault(5)
def test_a_disk_that_is_full_keeps_its_checkpoints(server, small_disk):
    run = Run(small_disk / "run")
    options = [*SMALL, "--log-every", 32, "--snapshot-every", 32, "--images", 320, "--keep", 9]
    ended = server.sagan("train", run.path, *options, room_mb=3_000, seconds=120)
    assert ended.code == 1
    said = one_line(ended.said)
    assert "No space left on device" in said
    assert str(run.path) in said  # the file is named
    assert ADVICE in said
    assert leftovers(run.path) == []
    found, faults = run.newest_sound_checkpoint()
    assert found is not None
    assert faults == []
    for path in run.checkpoint_paths()[:-1]:  # space is made
        shutil.rmtree(path)
    for picture in run.samples_path.iterdir():
        picture.unlink()
    again = server.sagan("train", run.path, room_mb=3_000, seconds=120)
    assert Run(run.path).newest_sound_checkpoint()[0].step > found.step, again.said


@pytest.mark.fault(5)
def test_samples_and_exports_are_whole_or_not_there(server, run, tmp_path):
    for name, command in {
        "grid.png": ["sample", run.path, "--num", 100],
        "g.safetensors": ["export", run.path],
    }.items():
        out = tmp_path / name
        assert sagan(*command, "--out", out) == 0
        before = out.read_bytes()
        ended = server.sagan(*command, "--out", out, FSIZE=2_000)
        assert ended.code == 1, ended.said
        assert name in one_line(ended.said)
        assert ADVICE in ended.said
        assert out.read_bytes() == before
        assert leftovers(tmp_path) == []


READ_ONLY = {
    "read-only": (errno.EROFS, "Read-only file system"),
    "not allowed": (errno.EACCES, "Permission denied"),
    "another device": (errno.EXDEV, "Invalid cross-device link"),
}


@pytest.mark.fault(6)
@pytest.mark.parametrize("kind", READ_ONLY)
def test_a_folder_that_cannot_be_written_is_one_line(run, kind, monkeypatch, capfd):
    number, said = READ_ONLY[kind]

    def refused(source, *_, **__):
        raise OSError(number, os.strerror(number), str(source))

    before = content(run)
    for call in ("rename", "replace"):
        monkeypatch.setattr(os, call, refused)
    assert sagan("train", run.path, "--images", 96, "--device", "cpu") == 1
    assert said in one_line(capfd.readouterr().err)
    monkeypatch.undo()
    for name, old in before.items():
        assert (run.path / name).read_bytes() == old
    assert leftovers(run.path) == []


@pytest.mark.slow
@pytest.mark.fault(6)
def test_a_run_on_a_read_only_disk_is_read_and_not_written(server, run, tmp_path):
    bind = ["mount", "--bind", str(run.path), str(run.path)]
    read_only = ["mount", "-o", "remount,bind,ro", str(run.path)]
    if shutil.which("mount") is None or subprocess.run(bind, capture_output=True).returncode:
        pytest.skip("only root may mount a folder read-only")
    try:
        subprocess.run(read_only, check=True)
        out = tmp_path / "a.png"
        assert server.sagan("sample", run.path, "--num", 1, "--out", out).code == 0
        ended = server.sagan("train", run.path, "--images", 96, room_mb=3_000, seconds=120)
        assert ended.code == 1
        assert "Read-only file system" in one_line(ended.said)
    finally:
        subprocess.run(["umount", str(run.path)], check=True)


@pytest.mark.fault(5)
def test_more_samples_than_disk_or_memory_hold_are_refused_before_the_first(
    run, tmp_path, monkeypatch, capfd
):
    sample = sys.modules["sagan.cli.sample"]

    usage = shutil.disk_usage(tmp_path)._replace(free=1_000)
    monkeypatch.setattr(sample.shutil, "disk_usage", lambda _: usage)
    many = ["sample", run.path, "--num", 1_000, "--out"]
    assert sagan(*many, tmp_path / "folder") == 2
    assert "take about 0.0 GB" in one_line(capfd.readouterr().err)
    assert not (tmp_path / "folder").exists()
    monkeypatch.setattr(sample, "_MOST_HELD_BYTES", 1_000)
    assert sagan(*many, tmp_path / "a.png") == 2
    assert "too many for one file" in one_line(capfd.readouterr().err)
