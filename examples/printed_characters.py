"""Draw a small set of printed characters to fine-tune the digits' generator onto.

    python examples/printed_characters.py printed
    sagan train runs/printed --init runs/demo --data printed/train --images 25600
    sagan evaluate runs/printed --data printed/test --metrics cas

White on black at 8 px like the handwritten digits, in the typefaces that matplotlib brings: the ten
digits, whose names `--init` finds again, and six letters that are new to it.
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib import get_data_path
from PIL import Image, ImageDraw, ImageFont

CHARACTERS = "0123456789ACEHTX"
NUM = {"train": 20, "test": 200}  # a class
SIDE_PX, LARGE_PX = 8, 96
FACES = ("DejaVuSans*.ttf", "DejaVuSerif*.ttf", "STIXGeneral*.ttf", "cmr10.ttf", "cmss10.ttf")


def draw(character: str, face: Path, draws: np.random.Generator) -> Image.Image:
    """Draw a character large, somewhat turned, moved and scaled, and make it small."""
    font = ImageFont.truetype(str(face), int(LARGE_PX * draws.uniform(0.95, 1.2)))
    large = Image.new("L", (LARGE_PX, LARGE_PX))
    centre = LARGE_PX / 2 + draws.uniform(-4, 4, size=2)
    ImageDraw.Draw(large).text(tuple(centre), character, fill=255, font=font, anchor="mm")
    turned = large.rotate(draws.uniform(-8, 8), Image.Resampling.BICUBIC)
    return turned.resize((SIDE_PX, SIDE_PX), Image.Resampling.BOX)


def main(out: Path) -> None:
    """Write a folder of PNG files, a sub-folder a class, for training and one for testing."""
    fonts = Path(get_data_path()) / "fonts" / "ttf"
    faces = sorted(
        face for pattern in FACES for face in fonts.glob(pattern) if "Display" not in face.name
    )
    for seed, (split, num) in enumerate(NUM.items()):
        draws = np.random.default_rng(seed)
        for character in CHARACTERS:
            folder = out / split / character
            folder.mkdir(parents=True, exist_ok=True)
            for i in range(num):
                draw(character, faces[draws.integers(len(faces))], draws).save(
                    folder / f"{i:03}.png"
                )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
