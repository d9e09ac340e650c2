"""`twins`: four discs near the corners; those at opposite corners have the same hue.

Dimensions: i images, 4 corners (top left, top right, bottom left, bottom right), 3 RGB in [0, 1].
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sagan.data.procedural.draws import Draws, Floats
from sagan.data.procedural.raster import (
    coverage,
    disc_distance,
    hsv_to_rgb,
    shaded_background,
    to_bytes,
)

PAIRS = ((0, 3), (1, 2))
LEAST_APART_DEG = 60.0
RADII = (0.13, 0.17)
_MARGIN = 0.03  # between a disc and the border of its quarter


@dataclass(frozen=True)
class Twins:
    """What is in the pictures; positions and lengths are shares of the side."""

    x: Floats  # i 4
    y: Floats  # i 4
    radius: Floats  # i 4
    hue_deg: Floats  # i 4, in [0, 360)
    saturation: Floats  # i, of all four discs
    value: Floats  # i, of all four discs
    background: Floats  # i 3
    slope: Floats  # i 2, by how much the background changes along x and y


def draw_twins(seed: int, indices: NDArray[np.integer]) -> Twins:
    """Draw scenes in which the rule holds."""
    draws = Draws(seed, "twins", indices)
    radius = draws.between(*RADII, 4)
    low, high = radius + _MARGIN, 0.5 - _MARGIN - radius
    first = draws.between(0, 360)
    second = first + LEAST_APART_DEG + draws.between(0, 360 - 2 * LEAST_APART_DEG)
    grey = draws.between(0.12, 0.88)
    return Twins(
        x=draws.between(low, high, 4) + np.array([0, 0.5, 0, 0.5]),
        y=draws.between(low, high, 4) + np.array([0, 0, 0.5, 0.5]),
        radius=radius,
        hue_deg=np.stack([first, second, second, first], axis=1) % 360,
        saturation=draws.between(0.75, 1),
        value=draws.between(0.75, 1),
        background=grey[:, None] + draws.between(-0.025, 0.025, 3),
        slope=draws.between(-0.1, 0.1, 2),
    )


def paint_twins(scenes: Twins, px: int) -> NDArray[np.uint8]:
    """Paint scenes: uint8 `i 3 h w`."""
    saturation, value = (each[:, None] + np.zeros(4) for each in (scenes.saturation, scenes.value))
    colours = hsv_to_rgb(scenes.hue_deg, saturation, value).astype(np.float32)
    images = shaded_background(scenes.background, scenes.slope, px)
    for k in range(4):  # discs are apart: the order does not matter
        distance = disc_distance(scenes.x[:, k], scenes.y[:, k], scenes.radius[:, k], px)
        images += coverage(distance, px)[..., None] * (colours[:, k, None, None] - images)
    return to_bytes(images)
