"""Draw the letters A to Z of many typefaces into a folder, a sub-folder a letter.

    apt install fonts-aenigma fonts-adf-* fonts-lato fonts-roboto-fontface   # the more the better
    python examples/letters.py letters
    sagan data check letters --out sheet.png
    sagan train runs/letters --data letters --time 1h

Any folders of .ttf and .otf files do (`--fonts`, by default where Linux has them). A typeface is
left out if it lacks a letter, or if fewer than half of its letters look most like their own among
those of DejaVu Sans: signs and pictures in the letters' places. Every tenth typeface goes to
`test`. White on black, 64 px, each typeface as large as fits. Mind the licences of yours before you
share what you make of them.
"""

import argparse
import string
from pathlib import Path

import numpy as np
from matplotlib import get_data_path
from PIL import Image, ImageDraw, ImageFont

FONTS = Path("/usr/share/fonts")
LIKE = Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
SIDE_PX, LETTER_PX, SMALL_PX = 64, 54, 16
TEST_EVERY = 10
NOWHERE = chr(0x10FFFF)  # no font draws it: what is drawn instead is the mark of a missing glyph


def draw(face: Path) -> dict[str, Image.Image] | None:
    """The letters of a typeface, or None if one is missing or the file cannot be read."""
    try:
        font = ImageFont.truetype(str(face), 64)
        boxes = [font.getbbox(letter) for letter in string.ascii_uppercase]
        largest = max(max(right - left, bottom - top) for left, top, right, bottom in boxes)
        font = ImageFont.truetype(str(face), 64 * LETTER_PX // max(1, int(largest)))
        pictures = {c: _square(c, font) for c in (*string.ascii_uppercase, NOWHERE)}
    except (OSError, ValueError):  # a font of another kind, or a damaged one
        return None
    missing = pictures.pop(NOWHERE).tobytes()
    drawn = {picture.tobytes() for picture in pictures.values()}
    return pictures if len(drawn) == len(pictures) and missing not in drawn else None


def _square(letter: str, font: ImageFont.FreeTypeFont) -> Image.Image:
    picture = Image.new("L", (SIDE_PX, SIDE_PX))
    left, top, right, bottom = font.getbbox(letter)
    corner = (SIDE_PX - left - right) // 2, (SIDE_PX - top - bottom) // 2
    ImageDraw.Draw(picture).text(corner, letter, 255, font)
    return picture


def shapes(pictures: dict[str, Image.Image]) -> np.ndarray:
    """The letters small, of mean 0 and length 1, `26 256`."""
    small = [np.asarray(p.resize((SMALL_PX, SMALL_PX)), np.float32) for p in pictures.values()]
    flat = np.stack(small).reshape(len(small), -1)
    flat = flat - flat.mean(1, keepdims=True)
    return flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)


def main(out: Path, fonts: list[Path]) -> None:
    """Write PNG files named by a number and the typeface into `train` and `test`."""
    faces = sorted(f for folder in fonts for f in folder.rglob("*") if f.suffix in (".ttf", ".otf"))
    if not faces:
        raise SystemExit(f"no .ttf or .otf file in {', '.join(map(str, fonts))}")
    reference = draw(LIKE)
    assert reference is not None
    own = shapes(reference)
    seen: set[bytes] = set()
    kept = total = 0
    for face in faces:
        pictures = draw(face)
        if pictures is None:
            continue
        nearest = (shapes(pictures) @ own.T).argmax(1)
        if (nearest == np.arange(len(own))).mean() < 0.5:
            continue
        new = {c: p for c, p in pictures.items() if p.tobytes() not in seen}
        if not new:
            continue
        kept += 1
        for letter, picture in new.items():
            seen.add(picture.tobytes())
            folder = out / ("train" if kept % TEST_EVERY else "test") / letter
            folder.mkdir(parents=True, exist_ok=True)
            picture.save(folder / f"{kept:04}-{face.stem}.png")
            total += 1
    print(f"{out}: {total:,} letters of {kept:,} typefaces, of {len(faces):,} files")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="folder to write")
    parser.add_argument("--fonts", type=Path, nargs="+", default=[FONTS], help="folders")
    options = parser.parse_args()
    main(options.out, options.fonts)
