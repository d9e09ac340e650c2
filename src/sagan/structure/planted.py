"""Pictures to test the checkers on: planted violations, and pictures made worse.

Dimensions: i images, h w their sides.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage  # type: ignore[import-untyped]

from sagan.data.procedural.barcode import BITS, Barcode
from sagan.data.procedural.draws import Draws
from sagan.data.procedural.quadrupeds import MOST_LEGS, Quadrupeds, kept_inside
from sagan.data.procedural.sets import PROCEDURAL
from sagan.data.procedural.twins import Twins

WRONG_BY_DEG = (30.0, 180.0)  # a wrong twin's hue is off by so much, either way
_SHARE_PX = 1 / 40  # a medium blur and warp: .4, .8, 1.6 px at 16, 32, 64 px
_NOISE = 0.05
_WAVE = 1 / 8  # standard deviation of the smoothing that makes a warp, of the side
LEVELS = {"clean": 0.0, "medium": 1.0, "strong": 2.0}  # times a medium blur and warp

Plant = Callable[[Any, Draws], Any]


def one_wrong_twin(scenes: Twins, draws: Draws) -> Twins:
    """Turn the hue of one disc."""
    rows = np.arange(len(scenes.hue_deg))
    hue = scenes.hue_deg.copy()
    off = draws.between(*WRONG_BY_DEG) * (draws.whole(2) * 2 - 1)
    hue[rows, draws.whole(4)] += off
    return replace(scenes, hue_deg=hue % 360)


def three_legs(scenes: Quadrupeds, draws: Draws) -> Quadrupeds:
    """Take one leg away, any; the others stay where they are."""
    rows = np.arange(len(scenes.legs))
    left = np.argsort(np.arange(MOST_LEGS) == draws.whole(4)[:, None], axis=1, kind="stable")
    hips = np.take_along_axis(scenes.hips, left, axis=1)
    hips[:, 3:] = hips[rows, 0][:, None]
    return replace(scenes, legs=np.full(len(rows), 3), hips=hips)


def five_legs(scenes: Quadrupeds, draws: Draws) -> Quadrupeds:
    """Add one leg a gap beyond the foremost, and centre them again: the body is longer."""
    gap = draws.between(0.105, 0.13)
    hips = scenes.hips.copy()
    hips[:, 4] = hips[:, 3] + gap
    longer = replace(scenes, legs=np.full(len(hips), 5), hips=hips - gap[:, None] / 2)
    return kept_inside(longer)


def one_wrong_bit(scenes: Barcode, draws: Draws) -> Barcode:
    """Turn one bit over."""
    rows = np.arange(len(scenes.bits))
    bits = scenes.bits.copy()
    where = (rows, draws.whole(2), draws.whole(BITS))
    bits[where] = 1 - bits[where]
    return replace(scenes, bits=bits)


VIOLATIONS: dict[str, dict[str, Plant]] = {
    "twins": {"one wrong twin": one_wrong_twin},
    "quadrupeds": {"three legs": three_legs, "five legs": five_legs},
    "barcode": {"one wrong bit": one_wrong_bit},
}


def paint(
    name: str, num: int, *, resolution: int, seed: int = 0, plant: Plant | None = None
) -> NDArray[np.uint8]:
    """Paint the first images of a set, as they are or with a violation: uint8 `i 3 h w`."""
    chosen = PROCEDURAL[name]
    images = []
    for start in range(0, num, 64):
        rows = np.arange(start, min(num, start + 64))
        scenes = chosen.draw(seed, rows)
        if plant is not None:
            scenes = plant(scenes, Draws(seed, f"{name} {plant.__name__}", rows))
        images.append(chosen.paint(scenes, resolution))
    return np.concatenate(images)


def perturbed(
    images: NDArray[np.uint8], *, strength: float = 1.0, seed: int = 0
) -> NDArray[np.uint8]:
    """Blur, warp and add noise to uint8 `i c h w`; strength 1 is medium, 0 changes nothing."""
    # At 1: a Gaussian blur with a standard deviation of a 40th of the side (.8 px at 32 px), a
    # smooth warp that moves pixels by as much along each axis (root mean square), then noise with
    # one of .05 of the range. Other strengths scale blur and warp only.
    if strength == 0:
        return images
    side = images.shape[-1]
    px = strength * _SHARE_PX * side
    grid = np.stack(np.meshgrid(np.arange(side), np.arange(side), indexing="ij"))
    made = np.empty_like(images)
    for row, image in enumerate(images):
        rng = np.random.default_rng([seed, row])
        waves = ndimage.gaussian_filter(
            rng.standard_normal(grid.shape), (0, _WAVE * side, _WAVE * side), mode="wrap"
        )
        waves *= px / np.sqrt((waves**2).mean(axis=(1, 2), keepdims=True))
        for channel, plane in enumerate(image.astype(np.float64)):
            blurred = ndimage.gaussian_filter(plane, px, mode="nearest")
            warped = ndimage.map_coordinates(blurred, grid + waves, order=1, mode="nearest")
            noisy = warped + rng.standard_normal(plane.shape) * (255 * _NOISE)
            made[row, channel] = np.clip(np.round(noisy), 0, 255)
    return made
