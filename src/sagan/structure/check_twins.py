"""The checker of `twins`: the hue of the one disc in each quarter of the picture.

The quarters are read apart from each other, background and all, so a picture put together from the
quarters of four pictures would be read as the four hues put together.

Dimensions: i images, q = 4 i quarters (top left, top right, bottom left, bottom right).
"""

import numpy as np
from numpy.typing import NDArray

from sagan.data.procedural.twins import LEAST_APART_DEG, PAIRS
from sagan.structure.checker import Checker, Parts
from sagan.structure.masks import Floats, as_floats, hue_distance, hue_of, largest_parts

SAME_DEG = 15.0  # twins' hues may differ by so much
_SLACK_DEG = 10.0  # and the pairs may be closer by so much than they are drawn
_LEAST_CHROMA = 0.25
_OF_STRONGEST = 0.55  # chroma of a disc's pixels, as a share of the strongest
_AREA = (0.09, 0.6)  # of a disc in its quarter; drawn ones have .21 to .36
_MOST_BESIDE = 0.35  # of the disc's area in another blob
_SPREAD_DEG = 25.0
_LEAST_WITHIN = 0.65  # of a disc's pixels, with a hue within that spread


def read_twins(images: NDArray[np.uint8]) -> Parts:
    """Read the hue in degrees of each quarter's disc: `i 4 1`."""
    pixels = as_floats(images)
    half = pixels.shape[1] // 2
    quarters = np.stack(
        [pixels[:, y : y + half, x : x + half] for y in (0, half) for x in (0, half)], axis=1
    )
    hues = _hue_of_disc(quarters.reshape(-1, half, half, 3)).reshape(len(images), 4)
    hues[np.isnan(hues).any(axis=1)] = np.nan
    return hues[..., None]


def _hue_of_disc(quarters: Floats) -> Floats:
    """Hue `q` of the one coloured blob in each of `q h w 3`; NaN where there is none, or no one."""
    chroma = quarters.max(axis=-1) - quarters.min(axis=-1)
    strongest = np.quantile(chroma, 0.95, axis=(1, 2))
    masks = chroma > np.maximum(_OF_STRONGEST * strongest, _LEAST_CHROMA)[:, None, None]
    disc, area, beside = largest_parts(masks)
    weights = np.where(disc, chroma, 0)
    total = np.maximum(weights.sum(axis=(1, 2)), 1e-9)
    hue = hue_of((weights[..., None] * quarters).sum(axis=(1, 2)) / total[:, None])
    off = hue_distance(hue_of(quarters), hue[:, None, None])
    within = (disc & (off < _SPREAD_DEG)).sum(axis=(1, 2)) / np.maximum(area, 1)
    share = area / chroma[0].size
    readable = (_AREA[0] <= share) & (share <= _AREA[1])
    readable &= (beside <= _MOST_BESIDE * area) & (within >= _LEAST_WITHIN)
    return np.where(readable, hue, np.nan)


def _differences(parts: Parts) -> tuple[Floats, Floats]:
    """Degrees between the twins of each pair, `i 2`, and between the pairs, `i`."""
    hues = parts[..., 0]
    within = np.stack([hue_distance(hues[:, a], hues[:, b]) for a, b in PAIRS], axis=1)
    (a, b), (c, d) = PAIRS
    between = np.stack([hue_distance(hues[:, x], hues[:, y]) for x in (a, b) for y in (c, d)])
    return within, between.mean(axis=0)


def twins_pass(parts: Parts) -> NDArray[np.bool_]:
    """Whether both pairs have one hue each, and the two differ."""
    within, between = _differences(parts)
    return (within <= SAME_DEG).all(axis=1) & (between >= LEAST_APART_DEG - _SLACK_DEG)


def twins_rules(parts: Parts) -> dict[str, float]:
    """The hue difference of each pair, and how often each part of the rule holds."""
    within, between = _differences(parts)
    return {
        "hue_difference_first_pair_deg": float(np.median(within[:, 0])),
        "hue_difference_second_pair_deg": float(np.median(within[:, 1])),
        "first_pair_same": float((within[:, 0] <= SAME_DEG).mean()),
        "second_pair_same": float((within[:, 1] <= SAME_DEG).mean()),
        "pairs_apart_deg": float(np.median(between)),
        "pairs_apart": float((between >= LEAST_APART_DEG - _SLACK_DEG).mean()),
    }


TWINS = Checker(read_twins, twins_pass, twins_rules)
