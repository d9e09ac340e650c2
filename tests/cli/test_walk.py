"""Walks as GIF, and as a video where ffmpeg is."""

import sys

import numpy as np
import pytest
import torch
from command_line import SMALL, sagan
from PIL import Image, ImageSequence

from sagan.images import gif, image_grid, walk_frames


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("walk") / "run"
    assert sagan("train", path, *SMALL, "--images", "64") == 0
    return path


def frames_of(path):
    with Image.open(path) as file:
        return file.info, [np.asarray(f.convert("RGB")) for f in ImageSequence.Iterator(file)]


@pytest.mark.parametrize(
    ("options", "cells", "size_px"),
    [
        (["--interpolate", "3,7", "--classes", "4,5,6"], 3, 22),
        (["--interpolate", "3,7"], 10, 42),
        (["--interpolate-classes", "3,7"], 1, 12),
    ],
)
def test_a_gif_goes_there_and_back_for_ever(run, tmp_path, options, cells, size_px):
    out = tmp_path / "new" / "walk.gif"
    assert sagan("sample", run, "--num", "5", *options, "--out", out) == 0
    info, frames = frames_of(out)
    assert (info["loop"], info["duration"]) == (0, 80)
    assert len(frames) == 8  # five there, and back to before the first
    for there, back in ((1, 7), (2, 6), (3, 5)):
        assert np.array_equal(frames[there], frames[back])
    scale = -(-640 // size_px)
    assert frames[0].shape[1] == size_px * scale  # whole pixels
    blocks = frames[0][: scale * 12].reshape(12, scale, size_px, scale, 3)
    assert (blocks == blocks[:, :1, :, :1]).all()
    assert sagan("sample", run, "--num", "5", *options, "--out", tmp_path / "s") == 0
    files = sorted((tmp_path / "s").iterdir())
    assert len(files) == 5 * cells
    inside = slice(2 * scale, 10 * scale, scale)
    for step, frame in zip(range(5), frames, strict=False):
        cell = np.asarray(Image.open(files[step]).convert("RGB"))
        assert np.array_equal(frame[inside, inside], cell)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_frames_hold_a_cell_for_each_walk(channels):
    images = torch.randint(0, 256, (3, 4, channels, 8, 8), dtype=torch.uint8)
    frames = walk_frames(images)
    assert len(frames) == 6
    for step, frame in enumerate([0, 1, 2, 3, 2, 1]):
        assert frames[step].tobytes() == image_grid(images[:, frame], 2).tobytes()
    assert gif(frames).startswith(b"GIF89a")


def test_two_frames_are_a_walk_too():
    assert len(walk_frames(torch.zeros(1, 2, 3, 8, 8, dtype=torch.uint8))) == 2


def test_what_is_transparent_is_white_in_a_gif(tmp_path):
    images = torch.zeros(1, 2, 4, 8, 8, dtype=torch.uint8)
    images[:, 1, ::3] = 255  # red
    (tmp_path / "a.gif").write_bytes(gif(walk_frames(images)))
    _, (first, second) = frames_of(tmp_path / "a.gif")
    scale = first.shape[0] // 12
    inside = slice(2 * scale, 10 * scale)
    assert (first[inside, inside] == 255).all()
    assert (second[inside, inside] == (255, 0, 0)).all()


FFMPEG = """#!{python}
import json, pathlib, sys
pixels = sys.stdin.buffer.read()
if {fails}:
    sys.exit("first line\\nno such codec")
pathlib.Path(sys.argv[-1]).write_text(json.dumps([len(pixels), *sys.argv[1:]]))
"""


@pytest.fixture
def on_the_path(tmp_path, monkeypatch):
    """Put a program called ffmpeg on the PATH, and nothing else."""

    def put(*, fails):
        folder = tmp_path / "bin"
        folder.mkdir()
        (folder / "ffmpeg").write_text(FFMPEG.format(python=sys.executable, fails=fails))
        (folder / "ffmpeg").chmod(0o755)
        monkeypatch.setenv("PATH", str(folder))

    return put


def test_a_video_is_what_ffmpeg_makes_of_the_frames(run, tmp_path, on_the_path):
    on_the_path(fails=False)
    out = tmp_path / "walk.mp4"
    options = ["--num", "3", "--interpolate", "1,2", "--classes", "3"]
    assert sagan("sample", run, *options, "--out", out) == 0
    side = 12 * 54
    made = out.read_text()
    assert made.startswith(f"[{4 * side * side * 3}, ")
    for said in ('"rawvideo"', '"rgb24"', f'"{side}x{side}"', '"1000/80"', '"yuv420p"'):
        assert said in made


def test_a_failing_ffmpeg_is_one_line_and_leaves_nothing(run, tmp_path, on_the_path, capfd):
    on_the_path(fails=True)
    options = ["--num", "3", "--interpolate", "1,2", "--out", tmp_path / "walk.mp4"]
    assert sagan("sample", run, *options) == 1
    assert capfd.readouterr().err == "sagan: ffmpeg failed: no such codec\n"
    assert [path.name for path in tmp_path.iterdir()] == ["bin"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--out", "walk.gif"], "walk.gif is for a walk: add --interpolate"),
        (["--out", "walk.mp4", "--interpolate", "1,2"], "needs the program ffmpeg"),
        (["--out", "walk.webm", "--interpolate", "1,2"], "neither a .png, .gif or .mp4 file"),
    ],
)
def test_what_cannot_be_written_is_refused_in_one_line(
    run, tmp_path, monkeypatch, capfd, options, said
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert sagan("sample", run, "--num", "3", *options) == 2
    err = capfd.readouterr().err
    assert said in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
