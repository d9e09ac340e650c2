"""The checker of `quadrupeds`: legs below the belly, left and right of the picture's middle.

Which parts are recombined? Not the animal's front and rear: two front legs of one and two rear legs
of another are always four. Not halves of pixels either: coats and backlines that do not meet would
fail nearly every recombined picture, so that any generator whose animals hang together would have
its full pass rate as lift. So it is legs by where they stand: those left of the picture's middle of
one, those right of it of another. Animals stand anywhere, so the left half has none to four, and
only a right half that fits makes four. Halves of real pictures meet by chance in a quarter of the
cases, so real data reach a lift of about three quarters.

Dimensions: i images, h w their sides, 3 RGB.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.signal import find_peaks  # type: ignore[import-untyped]

from sagan.data.procedural.quadrupeds import LEGS
from sagan.structure.checker import Checker, Parts
from sagan.structure.masks import Floats, Masks, as_floats, largest_parts

_LEAST_CONTRAST = 0.2  # of the coat with the background, in RGB of length up to 1.7
_AREA = (0.03, 0.5)  # of an animal in the picture
_MOST_BESIDE = 0.2  # of the animal's area in another blob
_BODY = 0.8  # of the widest row's pixels: rows with so many are body
_ZONE = (0.3, 0.85)  # of the way from belly to feet: legs are counted in there
_LEAST_LEG_PX = 2.0
_PROMINENCE = 0.14  # of a leg above the gaps beside it, coverage
_LEAST_PEAK = 0.3


def read_quadrupeds(images: NDArray[np.uint8]) -> Parts:
    """Count legs left and right of the middle: `i 2 1`."""
    share, contrast = _coverage(as_floats(images))
    animal, area, beside = largest_parts(share > 0.5)
    part = area / share[0].size
    readable = (contrast >= _LEAST_CONTRAST) & (_AREA[0] <= part) & (part <= _AREA[1])
    readable &= beside <= _MOST_BESIDE * area
    edge = np.ones(share.shape[1:], bool)
    edge[1:-1, 1:-1] = False
    readable &= ~animal[:, edge].any(axis=1)  # else it may go on out of the picture
    legs = np.full((len(images), 2, 1), np.nan)
    for row in np.flatnonzero(readable):
        at = _legs(share[row], animal[row])
        if at is not None:
            left = int((at < (share.shape[2] - 1) / 2).sum())
            legs[row, :, 0] = left, len(at) - left
    return legs


def _coverage(pixels: Floats) -> tuple[Floats, Floats]:
    """Share of each pixel that is coat, `i h w`, and the coat's contrast, `i`."""
    # A pixel on the edge mixes coat and background, so the share is how far it lies from the one to
    # the other. The background is the plane that fits the picture's rim.
    side = pixels.shape[1]
    rim = np.ones((side, side), bool)
    rim[max(1, side // 32) : -max(1, side // 32), max(1, side // 32) : -max(1, side // 32)] = False
    at = np.linspace(-1, 1, side)
    plane = np.stack([np.ones((side, side)), *np.meshgrid(at, at)], axis=-1)
    fit = np.linalg.pinv(plane[rim])  # 3 rim
    colours = np.einsum("kr,irc->ikc", fit, pixels[:, rim])
    from_background = pixels - np.einsum("hwk,ikc->ihwc", plane, colours)
    distance = np.sqrt((from_background**2).sum(axis=-1))
    strong = distance >= 0.75 * np.quantile(distance, 0.97, axis=(1, 2))[:, None, None]
    total = np.maximum(strong.sum(axis=(1, 2)), 1)[:, None]
    coat = (from_background * strong[..., None]).sum(axis=(1, 2)) / total
    square = np.maximum((coat**2).sum(axis=1), 1e-9)
    share = np.einsum("ihwc,ic->ihw", from_background, coat) / square[:, None, None]
    return share, np.sqrt(square)


def _legs(share: Floats, animal: Masks) -> Floats | None:
    """Columns of the legs of one animal `h w`; None where there is no room below its belly."""
    rows = animal.sum(axis=1)
    belly = int(np.flatnonzero(rows >= _BODY * rows.max())[-1]) + 1
    foot = int(np.flatnonzero(rows)[-1]) + 1
    if foot - belly < _LEAST_LEG_PX:
        return None
    start, end = (belly + part * (foot - belly) for part in _ZONE)
    zone = share[round(start) : max(round(end), round(start) + 1)]
    profile = np.pad(zone.mean(axis=0), 1)
    peaks, _ = find_peaks(profile, height=_LEAST_PEAK, prominence=_PROMINENCE)
    return peaks.astype(float) - 1


def quadrupeds_pass(parts: Parts) -> NDArray[np.bool_]:
    """Whether there are four legs in all."""
    return parts[..., 0].sum(axis=1) == LEGS


def quadrupeds_rules(parts: Parts) -> dict[str, float]:
    """The share of animals with each number of legs, and the mean number."""
    legs = parts[..., 0].sum(axis=1)
    counts = {f"legs_{k}": float((legs == k).mean()) for k in range(2, 7)}
    more = {"legs_fewer": float((legs < 2).mean()), "legs_more": float((legs > 6).mean())}
    return {"legs_mean": float(legs.mean()), **counts, **more}


QUADRUPEDS = Checker(read_quadrupeds, quadrupeds_pass, quadrupeds_rules)
