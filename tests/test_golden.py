"""Golden files: what earlier versions wrote opens and resumes (tests/golden/make.py made them).

Where a later version cannot go on with a run, it must say so in a sentence that names what to do,
and change nothing.
"""

import shutil
from pathlib import Path

import numpy as np
import pytest
from command_line import sagan
from PIL import Image

from sagan.data import load_dataset
from sagan.runs.run import Run

GOLDEN = Path(__file__).parent / "golden"
VERSIONS = sorted(path.name for path in GOLDEN.glob("v*"))
GENERATORS = [  # what `sagan sample` opens, and beside it the images that it made
    (path.parent.name, path.stem) for path in sorted(GOLDEN.glob("v*/*.png"))
]
PICTURES = {  # how many are trained on, and their classes: since then, val/ is a split of its own
    "v0.1.0": (24, ("train/blue", "train/red", "val/blue", "val/red")),
    "v0.1.0-grown": (16, ("blue", "red")),
}
ROUNDING = 2  # of 255, between builds of PyTorch


@pytest.fixture
def version(request, tmp_path, monkeypatch):
    """A version's files, in a copy beside which the working folder is, as when they were made."""
    shutil.copytree(GOLDEN / request.param, tmp_path / request.param)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Path(request.param)


each_version = pytest.mark.parametrize("version", VERSIONS, indirect=True)


def pixels(path):
    return np.asarray(Image.open(path), np.int16)


def test_there_are_golden_files():
    assert VERSIONS == ["v0.1.0", "v0.1.0-grown"]
    assert len(GENERATORS) == 5 + 7


@pytest.mark.parametrize(("version", "name"), GENERATORS, indirect=["version"])
@pytest.mark.fault(11)
def test_a_generator_of_before_makes_the_images_of_before(version, name, tmp_path):
    assert sagan("sample", version / name, "--num", 4, "--out", "now.png") == 0
    assert abs(pixels("now.png") - pixels(version / f"{name}.png")).max() <= ROUNDING


@pytest.mark.parametrize("ending", ["safetensors", "onnx"])
@each_version
@pytest.mark.fault(11)
def test_an_exported_file_of_before_makes_the_images_of_its_run(version, ending):
    if ending == "onnx":
        pytest.importorskip("onnxruntime")
    assert sagan("sample", version / f"exported.{ending}", "--num", 4, "--out", "now.png") == 0
    assert abs(pixels("now.png") - pixels(version / "digits.png")).max() <= ROUNDING


@pytest.mark.parametrize("name", ["digits", "squares", "of-packed"])
@each_version
@pytest.mark.fault(11)
def test_a_run_of_before_goes_on_with_its_own_data_and_options(version, name):
    path = version / name
    before = Run(path).config()
    assert sagan("train", path, "--images", 96, "--device", "cpu") == 0
    run = Run(path)
    assert run.pointed_to("latest").name == "step-00000006"
    assert run.config().data == before.data
    assert run.config().network == before.network
    if name != "digits":  # as it was begun
        assert run.config().data.class_names == PICTURES[version.name][1]


@pytest.mark.parametrize("version", ["v0.1.0-grown"], indirect=True)
@pytest.mark.fault(11)
def test_a_run_of_before_that_grew_goes_on_and_one_by_time_is_done(version, capfd):
    assert sagan("train", version / "grown", "--images", 96, "--device", "cpu") == 0
    last = Run(version / "grown").checkpoint(verify_files=()).manifest
    assert (last["images"], last["stage"]) == (96, 1)
    (timed,) = Run(version / "timed").checkpoint_paths()
    assert sagan("train", version / "timed", "--time", "90s", "--device", "cpu") == 0
    assert "timed is done: its 90 s are used" in capfd.readouterr().err
    assert Run(version / "timed").checkpoint_paths() == [timed]


@each_version
@pytest.mark.fault(11)
def test_a_packed_cache_of_before_opens(version):
    packed = load_dataset(str(version / "packed"), resolution=8)
    read = load_dataset(str(version / "pictures"), resolution=8)
    count, names = PICTURES[version.name]
    assert packed.images.shape == (count, 3, 8, 8)
    assert packed.class_names == names
    assert np.array_equal(packed.images[:16], read.images[:16])


@each_version
@pytest.mark.fault(11)
def test_a_run_of_before_is_scored_and_exported(version, capsys):
    args = "--data", "digits", "--metrics", "fd:pixel", "--num", 64
    assert sagan("evaluate", version / "digits", *args) == 0
    assert sagan("export", version / "digits", "--out", "again.safetensors") == 0
    assert sagan("sample", "again.safetensors", "--num", 4, "--out", "now.png") == 0
    assert abs(pixels("now.png") - pixels(version / "digits.png")).max() <= ROUNDING


@pytest.mark.parametrize("version", ["v0.1.0"], indirect=True)
def test_a_run_of_before_is_scored_by_the_pictures_it_was_begun_with(version, capsys):
    args = "--metrics", "fd:pixel", "--num", 24
    assert sagan("evaluate", version / "squares", *args) == 0
    assert '"n_real": 24' in capsys.readouterr().out
