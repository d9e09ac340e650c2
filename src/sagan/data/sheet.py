"""Draw the contact sheet: a few examples of each class, in labelled rows."""

from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from sagan.files import write_atomically

_TEXT_PX = 12
_GUTTER_PX = 2
_LEAST_CELL_PX = 48
_MOST_ROWS = 100


def contact_sheet(examples: dict[str, list[NDArray[np.uint8]]]) -> Image.Image:
    """Lay out examples of one size, uint8 `h w 3`, one row per class below its name."""
    rows = sorted(examples.items())[:_MOST_ROWS]
    if not rows:
        raise ValueError("no readable picture for a contact sheet")
    side = rows[0][1][0].shape[0]
    scale = -(-_LEAST_CELL_PX // side)
    cell = side * scale + _GUTTER_PX
    columns = max(len(images) for _, images in rows)
    height = cell + _TEXT_PX + 3 * _GUTTER_PX
    sheet = Image.new("RGB", (columns * cell + _GUTTER_PX, len(rows) * height), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(_TEXT_PX - 2)
    for row, (name, images) in enumerate(rows):
        top = row * height
        printable = "".join(c if c.isprintable() else "?" for c in name)
        draw.text((_GUTTER_PX, top + 1), printable, fill="black", font=font)
        for column, image in enumerate(images):
            picture = Image.fromarray(image).resize(
                (side * scale, side * scale), Image.Resampling.NEAREST
            )
            sheet.paste(picture, (_GUTTER_PX + column * cell, top + _TEXT_PX + 2 * _GUTTER_PX))
    return sheet


def check_name(out: Path) -> None:
    """Refuse a contact sheet's file name that does not end in `.png`."""
    if out.suffix.lower() != ".png":
        raise ValueError(f"{out} is not a .png file, as the contact sheet must be")


def write_sheet(examples: dict[str, list[NDArray[np.uint8]]], out: Path) -> None:
    """Write the contact sheet as a PNG file."""
    check_name(out)
    sheet = contact_sheet(examples)
    out.parent.mkdir(parents=True, exist_ok=True)
    content = BytesIO()
    sheet.save(content, "PNG")
    write_atomically(out, content.getvalue())
