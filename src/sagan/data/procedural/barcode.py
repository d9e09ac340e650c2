"""`barcode`: a column of six light or dark cells at the left, and the same six at the far right.

Dimensions: i images, 2 sides (left, right), 6 bits from the top, 3 RGB in [0, 1].
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sagan.data.procedural.draws import Draws, Floats
from sagan.data.procedural.raster import shaded_background, span_coverage, to_bytes

BITS = 6
_BORDER = 0.03


@dataclass(frozen=True)
class Barcode:
    """What is in the pictures; positions and lengths are shares of the side."""

    bits: NDArray[np.int64]  # i 2 6; 1 is light
    left: Floats  # i 2, of each column of cells
    width: Floats  # i 2
    top: Floats  # i 2
    pitch: Floats  # i, height of a cell
    light: Floats  # i 3
    dark: Floats  # i 3
    background: Floats  # i 3, between light and dark
    slope: Floats  # i 2, by how much the background changes along x and y


def draw_barcode(seed: int, indices: NDArray[np.integer]) -> Barcode:
    """Draw scenes in which the rule holds."""
    draws = Draws(seed, "barcode", indices)
    code = draws.whole(2, BITS)
    pitch = draws.between(0.13, 0.145)
    width = draws.between(0.17, 0.22, 2)
    from_edge = draws.between(_BORDER, 0.1, 2)
    top = draws.between(_BORDER, (1 - _BORDER - BITS * pitch)[:, None], 2)
    background = draws.between(0.46, 0.54)[:, None] + draws.between(-0.08, 0.08, 3)
    return Barcode(
        bits=np.stack([code, code], axis=1),
        left=np.stack([from_edge[:, 0], 1 - from_edge[:, 1] - width[:, 1]], axis=1),
        width=width,
        top=top,
        pitch=pitch,
        light=background + draws.between(0.27, 0.36)[:, None],
        dark=background - draws.between(0.27, 0.36)[:, None],
        background=background,
        slope=draws.between(-0.06, 0.06, 2),
    )


def paint_barcode(scenes: Barcode, px: int) -> NDArray[np.uint8]:
    """Paint scenes: uint8 `i 3 h w`."""
    images = shaded_background(scenes.background, scenes.slope, px)
    for side in range(2):
        start = scenes.top[:, side, None] + scenes.pitch[:, None] * np.arange(BITS)
        rows = span_coverage(start, start + scenes.pitch[:, None], px)  # i 6 h
        left = scenes.left[:, side]
        columns = span_coverage(left, left + scenes.width[:, side], px)  # i w
        light = scenes.bits[:, side].astype(bool)[..., None]
        for ink, chosen in ((scenes.light, light), (scenes.dark, ~light)):
            along = np.where(chosen, rows, np.float32(0)).sum(axis=1)
            share = (along[:, :, None] * columns[:, None, :])[..., None]
            images += share * (ink - scenes.background).astype(np.float32)[:, None, None]
    return to_bytes(images)
