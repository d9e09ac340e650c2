"""The example that draws letters, of the typefaces that matplotlib brings."""

import shutil
from pathlib import Path

import letters
import numpy as np
import pytest
from matplotlib import get_data_path
from PIL import Image

from sagan.data import load_dataset

FONTS = Path(get_data_path()) / "fonts" / "ttf"
FACES = "DejaVuSans", "DejaVuSerif", "cmr10", "DejaVuSansMono-Bold"
SIGNS = "cmsy10", "cmex10", "STIXSizFiveSymReg"


@pytest.fixture
def fonts(tmp_path):
    folder = tmp_path / "fonts" / "of-all-kinds"
    folder.mkdir(parents=True)
    for name in (*FACES, *SIGNS):
        shutil.copy(FONTS / f"{name}.ttf", folder)
    shutil.copy(FONTS / "cmr10.ttf", folder / "the-same-again.ttf")
    (folder / "broken.ttf").write_bytes(b"no font")
    return tmp_path / "fonts"


def test_a_folder_a_letter_without_signs_copies_and_broken_files(
    fonts, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(letters, "TEST_EVERY", 4)
    out = tmp_path / "letters"
    letters.main(out, [fonts])
    assert capsys.readouterr().out == f"{out}: 104 letters of 4 typefaces, of 9 files\n"
    names = {p.stem.split("-", 1)[1] for p in out.glob("*/A/*.png")}
    assert names == set(FACES)
    pixels = np.asarray(Image.open(next(out.glob("train/I/*-DejaVuSans.png"))))
    bright = np.argwhere(pixels > 128)
    assert np.abs(bright.min(0) + bright.max(0) - 63).max() <= 2  # in the middle
    data = load_dataset(str(out), resolution=16)
    assert data.images.shape == (78, 1, 16, 16)
    assert len(data.class_names) == 26


def test_a_folder_without_typefaces_is_one_line(tmp_path):
    with pytest.raises(SystemExit, match=r"no .ttf or .otf file in "):
        letters.main(tmp_path / "out", [tmp_path])
