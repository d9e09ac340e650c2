"""Draw the Chinese characters of a font into a folder, a sub-folder a radical, to make up new ones.

    apt install fonts-wqy-zenhei unicode-data
    python examples/hanzi.py hanzi
    sagan data check hanzi --out sheet.png
    sagan train runs/hanzi --data hanzi --time 2h

A character is made of parts in a frame, and its radical is one of them: 氵 to the left stands for
water. So a class is a part that must be there, beside others that must fit it. Radicals with at
least 150 characters are drawn; one character in ten goes to `test`. Black on white, 64 px.

The font is WenQuanYi Zen Hei (GPL with font embedding exception); radicals are those of Unicode's
Unihan database (https://www.unicode.org/license.txt).
"""

import argparse
import bz2
import re
import unicodedata
from collections import defaultdict
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

FONT = Path("/usr/share/fonts/truetype/wqy/wqy-zenhei.ttc")
RADICALS = Path("/usr/share/unicode/Unihan_IRGSources.txt.bz2")
SIDE_PX, GLYPH_PX = 64, 56
BLOCK = range(0x4E00, 0x9FFF + 1)  # CJK Unified Ideographs
LEAST = 150  # characters of a radical
TEST_EVERY = 10
NOWHERE = chr(0x10FFFF)  # no font draws it: what is drawn instead is the mark of a missing glyph


def by_radical(path: Path) -> dict[int, list[str]]:
    """The characters of the block by the number of their radical, 1 to 214, from Unihan."""
    content = path.read_bytes()
    text = (bz2.decompress(content) if path.suffix == ".bz2" else content).decode()
    found = defaultdict(list)
    for point, radical in re.findall(r"^U\+([0-9A-F]+)\tkRSUnicode\t(\d+)", text, re.MULTILINE):
        if int(point, 16) in BLOCK:
            found[int(radical)].append(chr(int(point, 16)))
    return dict(sorted(found.items()))


def draw(character: str, font: ImageFont.FreeTypeFont) -> Image.Image:
    """Draw a character in black in the middle of a white square."""
    picture = Image.new("L", (SIDE_PX, SIDE_PX), "white")
    middle = SIDE_PX / 2, SIDE_PX / 2
    ImageDraw.Draw(picture).text(middle, character, "black", font, anchor="mm")
    return picture


def main(out: Path, font_file: Path, radicals: Path, least: int) -> None:
    """Write PNG files named by code points into `train` and `test`, a sub-folder a radical."""
    for path, package in ((font_file, "fonts-wqy-zenhei"), (radicals, "unicode-data")):
        if not path.is_file():
            raise SystemExit(f"{path} is not there: apt install {package}, or name the file")
    font = ImageFont.truetype(str(font_file), GLYPH_PX)
    missing = draw(NOWHERE, font).tobytes()
    classes = total = 0
    for number, characters in by_radical(radicals).items():
        drawn = {character: draw(character, font) for character in characters}
        drawn = {c: picture for c, picture in drawn.items() if picture.tobytes() != missing}
        if len(drawn) < least:
            continue
        called = unicodedata.name(chr(0x2F00 + number - 1)).removeprefix("KANGXI RADICAL ")
        name = f"{number:03}-{called.lower().replace(' ', '-')}"
        for i, (character, picture) in enumerate(drawn.items()):
            folder = out / ("train" if (i + 1) % TEST_EVERY else "test") / name
            folder.mkdir(parents=True, exist_ok=True)
            picture.save(folder / f"{ord(character):x}.png")
        classes, total = classes + 1, total + len(drawn)
    print(f"{out}: {total:,} characters, {classes} radicals")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="folder to write")
    parser.add_argument("--font", type=Path, default=FONT)
    parser.add_argument("--radicals", type=Path, default=RADICALS, help="Unihan's kRSUnicode")
    parser.add_argument("--least", type=int, default=LEAST, help="characters of a radical")
    options = parser.parse_args()
    main(options.out, options.font, options.radicals, options.least)
