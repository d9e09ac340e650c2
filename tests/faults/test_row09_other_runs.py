"""Row 9: a checkpoint of another run, or of another step, is not taken for one of this run."""

import json
import shutil

import pytest
from command_line import SMALL, sagan

from sagan.errors import CheckpointError
from sagan.files import hashed_json
from sagan.runs.identity import read_identity
from sagan.runs.run import Run

OPTIONS = [*SMALL, "--log-every", 32, "--snapshot-every", 32]


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """Two runs of the same configuration, the second trained further."""
    path = tmp_path_factory.mktemp("runs")
    for name, images in (("a", 64), ("b", 96)):
        assert sagan("train", path / name, "--images", images, *OPTIONS) == 0
    return path


@pytest.fixture
def runs(two, tmp_path):
    shutil.copytree(two, tmp_path / "runs")
    return Run(tmp_path / "runs/a"), Run(tmp_path / "runs/b")


@pytest.mark.fault(9)
def test_a_whole_checkpoint_of_another_run_is_refused(runs, capfd):
    own, other = runs
    assert len({read_identity(run.path) for run in runs}) == 2
    foreign = own.path / "checkpoints/step-00000003"
    shutil.copytree(other.path / "checkpoints/step-00000003", foreign)
    found, faults = own.newest_sound_checkpoint()
    assert found.step == 2
    assert "is a checkpoint of another run" in faults[0]
    (own.path / "latest").write_text("step-00000003\n")
    assert own.checkpoint(verify_files=()).step == 2
    assert sagan("train", own.path, "--images", 64, *OPTIONS) == 0
    assert "skipped a checkpoint" in capfd.readouterr().err


@pytest.mark.fault(9)
def test_a_checkpoint_under_another_steps_name_is_refused(runs):
    own, _ = runs
    shutil.copytree(own.path / "checkpoints/step-00000001", own.path / "checkpoints/step-00000009")
    found, faults = own.newest_sound_checkpoint()
    assert found.step == 2
    assert "holds step 1: it was renamed" in faults[0]


@pytest.mark.fault(9)
def test_a_copy_of_a_run_is_that_run_and_one_begun_again_is_another(runs, tmp_path):
    own, _ = runs
    shutil.copytree(own.path, tmp_path / "copy")
    copy = Run(tmp_path / "copy")
    assert copy.checkpoint(verify_files=()).step == 2
    before = read_identity(copy.path)
    assert sagan("train", copy.path, "--images", 64, *OPTIONS, "--from-scratch") == 0
    assert read_identity(copy.path) not in ("", before)
    assert copy.checkpoint(verify_files=()).manifest["run"] == read_identity(copy.path)
    assert read_identity(copy.path / "before-1") == before


@pytest.mark.fault(9, 11)
def test_a_run_older_than_identities_is_read_and_gets_one(runs):
    own, other = runs
    (own.path / "run.json").unlink()
    for path in own.checkpoint_paths():
        manifest = json.loads((path / "manifest.json").read_text())
        del manifest["run"]
        (path / "manifest.json").write_bytes(hashed_json(manifest))
    assert own.checkpoint(verify_files=()).step == 2
    assert sagan("train", own.path, "--images", 96, *OPTIONS) == 0
    assert own.checkpoint(verify_files=()).manifest["run"] == read_identity(own.path)
    assert own.checkpoint_paths()[0].name == "step-00000001"  # still read
    assert other.checkpoint(verify_files=()).step == 3


@pytest.mark.fault(9)
@pytest.mark.parametrize("content", [None, b"", b"[1]", b'{"id": 3}'])
def test_a_lost_identity_is_that_of_the_checkpoints(runs, content):
    own, _ = runs
    before = read_identity(own.path)
    file = own.path / "run.json"
    file.write_bytes(content) if content is not None else file.unlink()
    assert own.checkpoint(verify_files=()).step == 2
    own.write_config(own.config())
    assert read_identity(own.path) == before


@pytest.mark.fault(11)
def test_a_newer_format_is_refused_and_nothing_is_skipped_or_changed(runs, capfd):
    own, _ = runs
    file = own.checkpoint_paths()[-1] / "manifest.json"
    manifest = {**json.loads(file.read_text()), "format": 2}
    file.write_bytes(hashed_json(manifest))
    before = {path: path.read_bytes() for path in own.path.rglob("*") if path.is_file()}
    for command in (
        ["train", own.path, "--images", 96, *OPTIONS],
        ["sample", own.path, "--num", 1],
    ):
        out = [] if command[0] == "train" else ["--out", own.path.parent / "x.png"]
        assert sagan(*command, *out) == 2
        assert "is of format 2, newer than 1: update sagan" in capfd.readouterr().err
    after = {path: path.read_bytes() for path in own.path.rglob("*") if path.is_file()}
    assert after == before
    file.write_bytes(json.dumps(manifest).encode())  # without its checksum it is only damaged
    with pytest.raises(CheckpointError, match="not of format 1"):
        own.open(file.parent)
