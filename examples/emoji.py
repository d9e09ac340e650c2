"""Draw the emoji of a colour font into a folder, a sub-folder a group (of 8) or a subgroup (of 89).

    apt install fonts-noto-color-emoji unicode-data
    python examples/emoji.py emoji
    sagan data check emoji --out sheet.png
    sagan train runs/emoji --data emoji --time 2h

The pictures are the bitmaps of Noto Color Emoji (https://github.com/googlefonts/noto-emoji), by
Google Inc., under the SIL Open Font License 1.1. The list of emoji and their groups is Unicode's
emoji-test.txt (https://www.unicode.org/license.txt). Skin tones and flags are left out, and so is
what the font, or Pillow without Raqm, does not draw as one picture. Squares on white, 136 px.
"""

import argparse
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

FONT = Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
GROUPS = Path("/usr/share/unicode/emoji/emoji-test.txt")
BITMAPS_PX = 109  # the only size of the font's bitmaps, in FreeType's measure
SIDE_PX = 136
SKIN_TONES = range(0x1F3FB, 0x1F3FF + 1)
LEFT_OUT = {"Component", "Flags"}  # parts that are no emoji by themselves; 258 flags
NOWHERE = chr(0x10FFFF)  # no font draws it: what is drawn instead is the mark of a missing glyph


def listed(path: Path, by: str = "group") -> Iterator[tuple[str, str]]:
    """The emoji of an emoji-test.txt with their groups, or subgroups."""
    group = subgroup = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("# group:"):
            group = line.removeprefix("# group:").strip()
        elif line.startswith("# subgroup:"):
            subgroup = line.removeprefix("# subgroup:").strip()
        elif found := re.match(r"([0-9A-F ]+?) *; fully-qualified", line):
            code_points = [int(number, 16) for number in found[1].split()]
            if group not in LEFT_OUT and not any(point in SKIN_TONES for point in code_points):
                yield "".join(map(chr, code_points)), subgroup if by == "subgroup" else group


def draw(emoji: str, font: ImageFont.FreeTypeFont) -> Image.Image | None:
    """Draw an emoji on a white square; None if the font has no one picture of it."""
    if font.getlength(emoji) > 1.5 * font.getlength(emoji[0]):  # its parts, one after the other
        return None
    picture, missing = (Image.new("RGB", (SIDE_PX, SIDE_PX), "white") for _ in range(2))
    for text, canvas in ((emoji, picture), (NOWHERE, missing)):
        left, top, right, bottom = font.getbbox(text)
        corner = (SIDE_PX - left - right) // 2, (SIDE_PX - top - bottom) // 2
        ImageDraw.Draw(canvas).text(corner, text, "black", font, embedded_color=True)
    return None if picture.tobytes() == missing.tobytes() else picture


def main(out: Path, font_file: Path, groups: Path, by: str = "group") -> None:
    """Write a folder of PNG files named by code points, a sub-folder a group or subgroup."""
    for path, package in ((font_file, "fonts-noto-color-emoji"), (groups, "unicode-data")):
        if not path.is_file():
            raise SystemExit(f"{path} is not there: apt install {package}, or name the file")
    font = ImageFont.truetype(str(font_file), BITMAPS_PX)
    counts: Counter[str] = Counter()
    seen: set[bytes] = set()
    for emoji, group in listed(groups, by):
        picture = draw(emoji, font)
        if picture is not None and picture.tobytes() in seen:  # one family has two names
            picture = None
        name = re.sub(r"\W+", "-", group.lower()) if picture else "left out"
        counts[name] += 1
        if picture is not None:
            seen.add(picture.tobytes())
            (out / name).mkdir(parents=True, exist_ok=True)
            picture.save(out / name / f"{'-'.join(f'{ord(point):x}' for point in emoji)}.png")
    print(f"{out}: {', '.join(f'{number} {name}' for name, number in counts.items())}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="folder to write")
    parser.add_argument("--font", type=Path, default=FONT)
    parser.add_argument("--groups", type=Path, default=GROUPS, help="Unicode's emoji-test.txt")
    parser.add_argument("--by", choices=("group", "subgroup"), default="group")
    options = parser.parse_args()
    main(options.out, options.font, options.groups, options.by)
