"""The example that draws emoji, with a font that matplotlib brings."""

from pathlib import Path

import emoji
import numpy as np
import pytest
from matplotlib import get_data_path
from PIL import Image

from sagan.data.sources.open_source import open_source

FONT = Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
LIST = """
# group: Smileys & Emotion
263A FE0F  ; fully-qualified     # ☺️ a smile
263A       ; unqualified         # ☺ the same
1F47D      ; fully-qualified     # 👽 the font has none
263A 1F3FB ; fully-qualified     # ☺🏻 a skin tone
# group: Component
2605       ; fully-qualified     # a part of others
# group: Symbols
# subgroup: hearts
2665       ; fully-qualified     # ♥ a heart
2665 2660  ; fully-qualified     # ♥♠ two beside each other
# group: Flags
2690       ; fully-qualified     # ⚐ a flag
"""


@pytest.fixture
def groups(tmp_path):
    path = tmp_path / "emoji-test.txt"
    path.write_text(LIST, encoding="utf-8")
    return path


def test_one_square_a_emoji_in_a_folder_a_group(groups, tmp_path, capsys):
    out = tmp_path / "emoji"
    emoji.main(out, FONT, groups)
    made = sorted(str(path.relative_to(out)) for path in out.rglob("*.png"))
    assert made == ["smileys-emotion/263a-fe0f.png", "symbols/2665.png"]
    said = capsys.readouterr().out
    assert said == f"{out}: 1 smileys-emotion, 2 left out, 1 symbols\n"
    assert open_source(str(out)).class_names == ("smileys-emotion", "symbols")
    for name in made:
        pixels = np.asarray(Image.open(out / name))
        assert pixels.shape == (136, 136, 3)
        dark = np.argwhere(pixels.mean(2) < 128)
        assert len(dark) > 500
        assert np.abs(dark.min(0) + dark.max(0) - 135).max() <= 4  # in the middle
        assert (pixels[0] == 255).all()


def test_a_folder_a_subgroup(groups, tmp_path):
    emoji.main(tmp_path / "emoji", FONT, groups, "subgroup")
    assert (tmp_path / "emoji/hearts/2665.png").is_file()


def test_what_is_not_there_is_named_with_its_package(groups, tmp_path):
    with pytest.raises(SystemExit, match="apt install unicode-data"):
        emoji.main(tmp_path, FONT, tmp_path / "nowhere.txt")
    with pytest.raises(SystemExit, match="apt install fonts-noto-color-emoji"):
        emoji.main(tmp_path, tmp_path / "nowhere.ttf", groups)
