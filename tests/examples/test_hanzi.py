"""The example that draws Chinese characters, with letters in their place: no font here has them."""

import bz2
from pathlib import Path

import hanzi
import numpy as np
import pytest
from matplotlib import get_data_path
from PIL import Image

from sagan.data import load_dataset

FONT = Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
UNIHAN = (
    "# a comment\nU+4E00\tkIRG_GSource\tG0-523B\n"
    + "".join(f"U+{0x41 + i:04X}\tkRSUnicode\t85.{i}\n" for i in range(20))
    + "".join(f"U+{0x61 + i:04X}\tkRSUnicode\t140'.{i}\n" for i in range(4))
    + "U+0378\tkRSUnicode\t85.3\nU+20000\tkRSUnicode\t85.3\n"  # not in the font; not in the block
)


@pytest.fixture
def radicals(tmp_path, monkeypatch):
    monkeypatch.setattr(hanzi, "BLOCK", range(0x9FFF))
    path = tmp_path / "Unihan.txt.bz2"
    path.write_bytes(bz2.compress(UNIHAN.encode()))
    return path


def test_a_folder_a_radical_of_which_one_character_in_ten_is_for_the_test(
    radicals, tmp_path, capsys
):
    out = tmp_path / "hanzi"
    hanzi.main(out, FONT, radicals, least=5)
    assert capsys.readouterr().out == f"{out}: 20 characters, 1 radicals\n"
    assert {p.name for p in (out / "test/085-water").iterdir()} == {"4a.png", "54.png"}
    assert not (out / "train/140-grass").exists()  # fewer than five
    pixels = np.asarray(Image.open(out / "train/085-water/48.png"))
    assert pixels.shape == (64, 64)
    dark = np.argwhere(pixels < 128)
    assert np.abs(dark.min(0) + dark.max(0) - 63).max() <= 8  # in the middle
    data = load_dataset(str(out), resolution=16)
    assert data.images.shape == (18, 1, 16, 16)
    assert data.class_names == ("085-water",)


def test_what_is_not_there_is_named_with_its_package(radicals, tmp_path):
    with pytest.raises(SystemExit, match="apt install unicode-data"):
        hanzi.main(tmp_path / "out", FONT, tmp_path / "nowhere.bz2", 5)
    with pytest.raises(SystemExit, match="apt install fonts-wqy-zenhei"):
        hanzi.main(tmp_path / "out", tmp_path / "nowhere.ttc", radicals, 5)
