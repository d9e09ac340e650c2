"""`quadrupeds`: an animal from the side, a dog, a horse or a pig, with exactly four legs.

Dimensions: i images, 5 places for legs, 3 RGB in [0, 1].
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sagan.data.procedural.draws import Draws, Floats
from sagan.data.procedural.raster import (
    Pixels,
    capsule_distance,
    coverage,
    hsv_to_rgb,
    shaded_background,
    to_bytes,
)

KINDS = ("dog", "horse", "pig")
LEGS = 4
MOST_LEGS = 5
_BORDER = 0.045
# Lengths at size 1, as shares of the side, of a dog, a horse and a pig that look to the right.
_BODY_RADIUS = np.array([0.075, 0.08, 0.105])
_LEG_LENGTH = np.array([0.19, 0.25, 0.15])  # below the belly
_OVERHANG = np.array([0.0, 0.0, 0.01])  # of the body's axis beyond the outer legs
# strokes from the end of the body's axis: x0 y0 x1 y1 radius
_NECK = np.array([[0, 0, 0.07, -0.1, 0.045], [0, 0, 0.09, -0.15, 0.042], [0, 0, 0.07, -0.01, 0.08]])
_HEAD = np.array(
    [
        [0.07, -0.1, 0.14, -0.085, 0.04],
        [0.09, -0.15, 0.15, -0.115, 0.036],
        [0.08, 0.01, 0.15, 0.03, 0.04],
    ]
)
_EAR = np.array(
    [
        [0.055, -0.12, 0.04, -0.175, 0.02],
        [0.08, -0.17, 0.075, -0.205, 0.016],
        [0.06, -0.06, 0.05, -0.1, 0.022],
    ]
)
_TAIL = np.array(
    [
        [0, -0.03, -0.12, -0.14, 0.02],
        [-0.04, -0.03, -0.12, 0.05, 0.024],
        [-0.08, -0.03, -0.13, -0.07, 0.016],
    ]
)


@dataclass(frozen=True)
class Quadrupeds:
    """What is in the pictures; positions and lengths are shares of the side."""

    kind: NDArray[np.int64]  # i, of `KINDS`
    facing: Floats  # i, 1 to the right or -1 to the left
    size: Floats  # i, of the animal; around 1
    x: Floats  # i, the middle of the body
    y: Floats  # i
    legs: NDArray[np.int64]  # i, how many: only so many of the five places count
    hips: Floats  # i 5, x of the legs' upper ends from the middle, at size 1, from the rear
    feet: Floats  # i 5, how much farther to the front the lower ends are
    leg_length: Floats  # i, from the belly, at size 1
    leg_radius: Floats  # i, at size 1
    coat: Floats  # i 3
    background: Floats  # i 3
    slope: Floats  # i 2, by how much the background changes along x and y


def draw_quadrupeds(seed: int, indices: NDArray[np.integer]) -> Quadrupeds:
    """Draw scenes in which the rule holds."""
    draws = Draws(seed, "quadrupeds", indices)
    kind = draws.whole(len(KINDS))
    gaps = draws.between(0.105, 0.13, LEGS - 1)
    hips = np.concatenate([np.zeros((len(kind), 1)), gaps.cumsum(axis=1)], axis=1)
    hips = np.pad(hips - hips[:, -1:] / 2, ((0, 0), (0, MOST_LEGS - LEGS)))
    coat, background = _colours(draws)
    scenes = Quadrupeds(
        kind=kind,
        facing=np.where(draws.whole(2), 1.0, -1.0),
        size=draws.between(0.85, 1.12),
        x=np.zeros(len(kind)),
        y=np.zeros(len(kind)),
        legs=np.full(len(kind), LEGS),
        hips=hips,
        feet=draws.between(-0.012, 0.012, MOST_LEGS),
        leg_length=_LEG_LENGTH[kind] * draws.between(0.92, 1.08),
        leg_radius=draws.between(0.023, 0.028),
        coat=coat,
        background=background,
        slope=draws.between(-0.05, 0.05, 2),
    )
    left, top, right, bottom = _extent(scenes)
    # More often near either border than evenly, so that the left half of a picture says little by
    # chance of the right: of the four legs it has none to all (.08, .29, .25, .3, .08).
    across = 0.5 - 0.5 * np.cos(np.pi * draws.between(0, 1))
    return replace(
        scenes,
        x=_BORDER - left + across * (1 - 2 * _BORDER - right + left),
        y=draws.between(_BORDER - top, 1 - _BORDER - bottom),
    )


def kept_inside(scenes: Quadrupeds) -> Quadrupeds:
    """Move animals that have grown back into the picture."""
    left, _, right, _ = _extent(scenes)
    right_of = np.maximum(_BORDER - left, 0)
    left_of = np.maximum(right - (1 - _BORDER), 0)
    return replace(scenes, x=scenes.x + right_of - left_of)


def _colours(draws: Draws) -> tuple[Floats, Floats]:
    """A coat and a background, one light and the other dark."""
    light = hsv_to_rgb(draws.between(0, 360), draws.between(0.05, 0.35), draws.between(0.75, 0.97))
    dark = hsv_to_rgb(draws.between(0, 360), draws.between(0.1, 0.7), draws.between(0.12, 0.36))
    coat_is_dark = draws.whole(2).astype(bool)[:, None]
    return np.where(coat_is_dark, dark, light), np.where(coat_is_dark, light, dark)


def strokes(scenes: Quadrupeds) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """All strokes, the legs first: ends `i k 4`, radius `i k`, and which are there, `i k`."""
    kind = scenes.kind
    radius = _BODY_RADIUS[kind]
    there = np.arange(MOST_LEGS) < scenes.legs[:, None]
    outer = np.where(there, np.abs(scenes.hips), 0).max(axis=1)
    end = outer + _OVERHANG[kind] - radius / 2  # of the body's axis, to either side
    nothing = np.zeros(len(kind))
    body = np.stack([-end, nothing, end, nothing, radius], axis=1)
    belly = radius * 0.6  # legs begin inside of the body
    foot = radius + scenes.leg_length - scenes.leg_radius
    legs = np.stack(
        np.broadcast_arrays(
            scenes.hips,
            belly[:, None],
            scenes.hips + scenes.feet,
            foot[:, None],
            scenes.leg_radius[:, None],
        ),
        axis=2,
    )
    front = np.stack([end, nothing, end, nothing, nothing], axis=1)
    rear = front * np.array([-1, 1, -1, 1, 1])
    parts = [body, front + _NECK[kind], front + _HEAD[kind], front + _EAR[kind], rear + _TAIL[kind]]
    whole = np.concatenate([legs, np.stack(parts, axis=1)], axis=1) * scenes.size[:, None, None]
    whole[:, :, [0, 2]] *= scenes.facing[:, None, None]
    at = np.stack([scenes.x, scenes.y, scenes.x, scenes.y], axis=1)
    present = np.concatenate([there, np.ones((len(kind), len(parts)), bool)], axis=1)
    return whole[:, :, :4] + at[:, None], whole[:, :, 4], present


def _extent(scenes: Quadrupeds) -> tuple[Floats, Floats, Floats, Floats]:
    """Left, top, right and bottom of the animals."""
    ends, radius, there = strokes(scenes)
    low = np.where(there[..., None], np.minimum(ends[..., :2], ends[..., 2:]), np.inf)
    high = np.where(there[..., None], np.maximum(ends[..., :2], ends[..., 2:]), -np.inf)
    low, high = (low - radius[..., None]).min(axis=1), (high + radius[..., None]).max(axis=1)
    return low[:, 0], low[:, 1], high[:, 0], high[:, 1]


def paint_quadrupeds(scenes: Quadrupeds, px: int) -> NDArray[np.uint8]:
    """Paint scenes: uint8 `i 3 h w`."""
    ends, radius, there = strokes(scenes)
    distance: Pixels = np.full((len(ends), px, px), 9, np.float32)
    for k in range(ends.shape[1]):
        to_stroke = capsule_distance(ends[:, k], radius[:, k], px)
        to_stroke[~there[:, k]] = 9
        np.minimum(distance, to_stroke, out=distance)
    images = shaded_background(scenes.background, scenes.slope, px)
    coat = scenes.coat.astype(np.float32)[:, None, None]
    images += coverage(distance, px)[..., None] * (coat - images)
    return to_bytes(images)
