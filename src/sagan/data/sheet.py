"""The contact sheet: a few examples of each class, in labelled rows."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

_TEXT_PX = 12
_GUTTER_PX = 2
_LEAST_CELL_PX = 48
_MOST_ROWS = 100


def contact_sheet(examples: dict[str, list[NDArray[np.uint8]]]) -> Image.Image:
    """Lay out examples, a row a class with the name above it.

    Args:
        examples: by class name, uint8 `h w 3`, all of one size; the name may be empty.

    Returns:
        An RGB image.

    Example:
        >>> contact_sheet({"cat": [np.zeros((48, 48, 3), np.uint8)] * 2}).size
        (102, 68)
    """
    rows = sorted(examples.items())[:_MOST_ROWS]
    if not rows:
        raise ValueError("there is no readable picture to draw a contact sheet of")
    side = rows[0][1][0].shape[0]
    scale = -(-_LEAST_CELL_PX // side)
    cell = side * scale + _GUTTER_PX
    columns = max(len(images) for _, images in rows)
    height = cell + _TEXT_PX + 2 * _GUTTER_PX + _GUTTER_PX
    sheet = Image.new("RGB", (columns * cell + _GUTTER_PX, len(rows) * height), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(_TEXT_PX - 2)
    for row, (name, images) in enumerate(rows):
        top = row * height
        draw.text((_GUTTER_PX, top + 1), _printable(name), fill="black", font=font)
        for column, image in enumerate(images):
            picture = Image.fromarray(image).resize(
                (side * scale, side * scale), Image.Resampling.NEAREST
            )
            at = (_GUTTER_PX + column * cell, top + _TEXT_PX + 2 * _GUTTER_PX)
            sheet.paste(picture, at)
    return sheet


def _printable(name: str) -> str:
    """Names as the built-in font has them."""
    return "".join(c if c.isprintable() else "?" for c in name)


def write_sheet(examples: dict[str, list[NDArray[np.uint8]]], out: Path) -> None:
    """Draw the contact sheet into a PNG file.

    Raises:
        ValueError: the file's name does not end in `.png`, or there is no example.
        OSError: it could not be written.
    """
    if out.suffix.lower() != ".png":
        raise ValueError(f"{out} is no .png file, which the contact sheet is")
    sheet = contact_sheet(examples)
    out.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(out)
