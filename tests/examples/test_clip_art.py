"""The example that squares clip art, on made pictures."""

import clip_art
import numpy as np
import pytest
from PIL import Image

from sagan.data.sources.open_source import open_source


@pytest.fixture
def library(tmp_path):
    """Two categories with 3 pictures and more that are left out, and one with fewer."""
    folder = tmp_path / "png"
    for k, (category, num) in enumerate([("animals", 3), ("tools", 3), ("few", 2), ("special", 3)]):
        (folder / category / "sub").mkdir(parents=True)
        for i in range(num):
            red = (200, 10 * k, 10 * i, 255)
            Image.new("RGBA", (64, 40), red).save(folder / category / "sub" / f"{i}.png")
    animals = folder / "animals"
    Image.new("RGB", (64, 4), "red").save(animals / "strip.png")
    Image.new("RGB", (8, 8), "red").save(animals / "tiny.png")
    Image.new("RGBA", (64, 64)).save(animals / "empty.png")
    (animals / "damaged.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (animals / "copy.png").write_bytes((animals / "sub/0.png").read_bytes())
    (animals / "link.png").symlink_to("sub/1.png")
    (animals / "sub/0.txt").write_text("by someone")
    return folder


def test_each_category_with_enough_pictures_is_a_class_of_squares(library, tmp_path, capsys):
    out = tmp_path / "out"
    clip_art.main(library, out, fewest=3)
    made = {str(path.relative_to(out)) for path in out.rglob("*.png")}
    assert made == {"animals/copy.png", "animals/sub-1.png", "animals/sub-2.png"} | {
        f"tools/sub-{i}.png" for i in range(3)
    }
    assert "animals: 3" in capsys.readouterr().out
    assert open_source(str(out)).class_names == ("animals", "tools")
    with Image.open(out / "tools/sub-0.png") as picture:
        assert (picture.mode, picture.size) == ("RGB", (64, 64))


def test_margins_are_cut_and_what_is_transparent_becomes_white(tmp_path):
    picture = Image.new("RGBA", (600, 600), (0, 0, 0, 0))
    picture.paste((0, 0, 255, 255), (100, 200, 500, 300))
    picture.paste((0, 0, 0, 0), (100, 200, 110, 210))  # a hole at the corner
    picture.paste((0, 0, 255, 255), (300, 300, 310, 380))
    picture.save(tmp_path / "a.png")
    made = np.asarray(clip_art.square(tmp_path / "a.png")).astype(int)
    assert made.shape == (256, 256, 3)
    assert (made[128 - 57 + 10, 20:250] == (0, 0, 255)).all()  # as wide as the square
    assert (made[:60] == 255).all()
    assert (made[200:] == 255).all()


def test_a_folder_without_enough_pictures_is_said(library, tmp_path):
    with pytest.raises(SystemExit, match="no category with at least 100 pictures"):
        clip_art.main(library, tmp_path / "out")
    with pytest.raises(SystemExit, match="apt install openclipart-png"):
        clip_art.main(tmp_path / "nowhere", tmp_path / "out")


def test_huge_pictures_are_left_out(library, tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(SystemExit, match="no category"):
        clip_art.main(library, tmp_path / "out", fewest=3)
