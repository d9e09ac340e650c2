"""A new run's resolution follows its pictures; a run that is there keeps its own."""

import numpy as np
import pytest
from command_line import SMALL, sagan
from PIL import Image

from sagan.data.load import native_resolution
from sagan.runs.run import Run


def pictures(folder, *sizes):
    folder.mkdir()
    draw = np.random.default_rng(0)
    for i, (width, height) in enumerate(sizes):
        pixels = draw.integers(0, 255, (height, width, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{i:02d}.png")
    return folder


@pytest.mark.parametrize(
    ("sizes", "side"),
    [([(5, 9)], 8), ([(28, 28)], 32), ([(32, 40)], 32), ([(33, 33)], 64), ([(500, 300)], 64),
     ([(20, 100), (100, 20), (100, 100)], 32), ([(16, 16), (16, 16), (64, 64)], 16)],
)  # fmt: skip
def test_the_resolution_is_that_of_the_median_shorter_side(tmp_path, sizes, side):
    assert native_resolution(str(pictures(tmp_path / "p", *sizes))) == side


def test_what_is_no_picture_does_not_count(tmp_path):
    folder = pictures(tmp_path / "p", (16, 16))
    (folder / "99.png").write_bytes(b"\x89PNG\r\n\x1a\n damaged")
    assert native_resolution(str(folder)) == 16


def test_arrays_and_packed_folders_tell_theirs(tmp_path):
    np.savez(tmp_path / "a.npz", images=np.zeros((9, 28, 28), np.uint8), labels=np.arange(9) % 3)
    assert native_resolution(str(tmp_path / "a.npz")) == 32
    array = np.zeros((2, 9, 9), np.float32)
    array[0] = np.nan
    np.save(tmp_path / "nan.npy", array)
    assert native_resolution(str(tmp_path / "nan.npy")) == 16
    folder, out = pictures(tmp_path / "p", (9, 9)), tmp_path / "packed"
    assert sagan("data", "pack", folder, "--resolution", 128, "--out", out) == 0
    assert native_resolution(str(out)) == 128


def test_a_new_run_is_at_its_pictures_size_and_the_same_command_goes_on_without_packing_again(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SAGAN_CACHE", str(tmp_path / "cache"))
    pictures(tmp_path / "p", *[(9, 12)] * 36)  # of which 32 are trained on
    assert sagan("train", "--data", "p", "--images", 32, *SMALL) == 0
    assert "at 16 px" in capsys.readouterr().err
    path = tmp_path / "runs/p-quick-few"
    assert Run(path).config().network.resolution == 16
    caches = sorted((tmp_path / "cache").iterdir())
    for run in ((), (path,)):
        assert sagan("train", *run, "--data", "p", "--images", 64, *SMALL) == 0
    assert Run(path).checkpoint(verify_files=()).step == 2
    assert sorted((tmp_path / "cache").iterdir()) == caches


def test_a_run_at_another_resolution_than_its_pictures_is_gone_on_with(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SAGAN_CACHE", str(tmp_path / "cache"))
    pictures(tmp_path / "p", *[(9, 12)] * 36)  # of which 32 are trained on
    options = ["--data", "p", *SMALL]
    assert sagan("train", *options, "--resolution", 8, "--images", 32) == 0
    caches = sorted((tmp_path / "cache").iterdir())
    assert sagan("train", *options, "--images", 64) == 0
    run = Run(tmp_path / "runs/p-quick-few")
    assert (run.checkpoint(verify_files=()).step, run.config().network.resolution) == (2, 8)
    assert sorted((tmp_path / "cache").iterdir()) == caches
