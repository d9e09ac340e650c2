"""What a RUN argument is, told from names alone."""

from pathlib import Path

import pytest

from sagan.config import RunConfig
from sagan.runs.checkpoint import open_checkpoint
from sagan.runs.place import RUN_OR_CHECKPOINT, locate
from sagan.runs.run import Run


@pytest.fixture
def folder(tmp_path):
    """A folder with one of each kind in it."""
    run = Run(tmp_path / "run")
    run.write_config(RunConfig())
    run.save(3, {}, config=RunConfig(), keep=1)
    for name in ("model.onnx", "Model.SafeTensors", "notes.txt"):
        (tmp_path / name).write_text("as it may be")
    for name in ("pictures", "shared", "theirs"):
        (tmp_path / name).mkdir()
    (tmp_path / "shared/model.safetensors").write_text("as it may be")
    (tmp_path / "theirs/config.json").write_text('{"model_type": "gpt2"}')
    return tmp_path


KINDS = {
    "run": "run",
    "run/checkpoints/step-00000003": "checkpoint",
    "model.onnx": "model file",
    "Model.SafeTensors": "model file",
    "notes.txt": "file",
    "pictures": "folder",
    "shared": "shared folder",
    "theirs": "shared folder",
    "nowhere": "nothing",
    "nowhere.onnx": "nothing",
}


@pytest.mark.parametrize("name", KINDS)
def test_each_kind_is_told(folder, name):
    place = locate(folder / name)
    assert (place.kind, place.path) == (KINDS[name], folder / name)
    assert place.run == (folder / "run" if place.kind in RUN_OR_CHECKPOINT else None)
    if place.kind in RUN_OR_CHECKPOINT:
        assert place.require(*RUN_OR_CHECKPOINT) is place
    else:
        with pytest.raises(ValueError, match=name):
            place.require(*RUN_OR_CHECKPOINT)


def test_an_address_of_the_hub_is_no_path(folder, monkeypatch):
    monkeypatch.chdir(folder)
    for address in ("hub:me/cats", "hub:me/cats@v1"):
        assert locate(address).kind == "hub"
        with pytest.raises(ValueError, match=f"{address} is a generator alone"):
            locate(address).require(*RUN_OR_CHECKPOINT)


def test_a_run_may_lack_its_configuration(folder):
    (folder / "run/config.json").unlink()
    assert locate(folder / "run").kind == "run"


def test_a_checkpoint_named_from_inside_has_its_run(folder, monkeypatch):
    path, inside = folder / "run", folder / "run/checkpoints/step-00000003"
    monkeypatch.chdir(inside.parent)
    assert locate(inside.name).run == path
    monkeypatch.chdir(inside)
    assert locate(".").run == path
    assert open_checkpoint(Path()).run == path
