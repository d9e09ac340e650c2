"""Make squares of the Open Clip Art Library's pictures, a sub-folder a category.

    apt install openclipart-png
    python examples/clip_art.py clipart
    sagan data check clipart --out sheet.png
    sagan train runs/clipart --data clipart --preset small --resolution 64

The pictures (https://openclipart.org) are in the public domain; a .txt file beside each names its
author. Classes are the categories with at least 100 pictures, sub-categories included. Left out:
links, copies, what is tiny, a mere strip or huge, and what cannot be read. Empty margins are cut.
Squares on white, 32 to 256 px.
"""

import argparse
import hashlib
import warnings
from collections.abc import Iterator
from pathlib import Path

from PIL import Image, ImageOps

DEBIAN = Path("/usr/share/openclipart/png")
FEWEST = 100  # pictures of a class
NO_CATEGORY = {"special", "unsorted"}  # examples and patterns, and all kinds of things
SIDE_PX = 256
SMALLEST_PX = 32  # of the longer side
LONGEST = 3  # times the other side
HUGE = (Image.DecompressionBombWarning, Image.DecompressionBombError)


def square(path: Path) -> Image.Image | None:
    """Read a picture as a square on white; None if it is left out."""
    try:
        with Image.open(path) as file:
            picture = file.convert("RGBA")
    except (OSError, ValueError, SyntaxError, *HUGE):
        return None
    picture = picture.crop(picture.getchannel("A").getbbox() or (0, 0, 1, 1))
    if not max(SMALLEST_PX, min(picture.size)) <= max(picture.size) <= LONGEST * min(picture.size):
        return None
    picture.thumbnail((SIDE_PX, SIDE_PX), Image.Resampling.LANCZOS, reducing_gap=3.0)
    white = Image.new("RGBA", picture.size, "white")
    white.alpha_composite(picture)
    side = max(picture.size)
    return ImageOps.pad(white.convert("RGB"), (side, side), color="white")


def different(folder: Path, seen: set[bytes]) -> Iterator[tuple[Path, Image.Image]]:
    """The pictures of a category in the order of their names, without those seen before."""
    for path in sorted(folder.rglob("*.png")):
        if path.is_symlink() or not path.is_file():
            continue
        picture = square(path)
        if picture is None:
            continue
        digest = hashlib.sha256(repr(picture.size).encode() + picture.tobytes()).digest()
        if digest not in seen:
            seen.add(digest)
            yield path, picture


def main(folder: Path, out: Path, fewest: int = FEWEST) -> None:
    """Write a folder of PNG files, a sub-folder a category."""
    if not folder.is_dir():
        raise SystemExit(f"{folder} is not there: apt install openclipart-png, or name the folder")
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    seen: set[bytes] = set()
    for category in sorted(path for path in folder.iterdir() if path.is_dir()):
        if category.name in NO_CATEGORY or len(list(category.rglob("*.png"))) < fewest:
            continue
        chosen = list(different(category, seen))
        if len(chosen) < fewest:
            continue
        (out / category.name).mkdir(parents=True, exist_ok=True)
        for path, picture in chosen:
            name = "-".join(path.relative_to(category).parts)
            picture.save(out / category.name / name)
        print(f"{out / category.name}: {len(chosen)}")
    if not out.exists():
        raise SystemExit(f"{folder} has no category with at least {fewest} pictures")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="folder to write")
    parser.add_argument("--folder", type=Path, default=DEBIAN, help="of the categories")
    parser.add_argument("--fewest", type=int, default=FEWEST, help="pictures of a class")
    options = parser.parse_args()
    main(options.folder, options.out, options.fewest)
