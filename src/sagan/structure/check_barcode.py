"""The checker of `barcode`: six bits from each half of the picture, by the runs of their column.

The halves are read apart from each other, background and all.

Dimensions: i images, s = 2 i halves (left, right), h w a half's sides.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from sagan.data.procedural.barcode import BITS
from sagan.structure.checker import Checker, Parts
from sagan.structure.masks import Floats, Masks, as_floats

_INNER = 0.3  # of a half's width beside the middle of the picture: plain background
_LEAST_CONTRAST = 0.1  # of cells with the background
_OF_TYPICAL = 0.5  # contrast of a column's cells, as a share of the typical
_HEIGHT = (0.66, 0.98)  # of a column, as a share of the side; drawn ones have .78 to .87
_WIDTH = (0.08, 0.34)  # drawn ones have .17 to .22
_CLEAR = 0.1  # the second best sharing of cells among runs must be worse by so many cells squared


def read_barcode(images: NDArray[np.uint8]) -> Parts:
    """Read the code of each side, 1 for light: `i 2 6`."""
    pixels = as_floats(images).mean(axis=-1)
    half = pixels.shape[2] // 2
    sides = np.stack([pixels[:, :, :half], pixels[:, :, : -half - 1 : -1]], axis=1)
    parts = _bits(sides.reshape(-1, pixels.shape[1], half)).reshape(len(images), 2, BITS)
    parts[np.isnan(parts).any(axis=(1, 2))] = np.nan
    return parts


def _bits(halves: Floats) -> Floats:
    """Read the bits `s 6` of halves `s h w` whose last column is the middle of the picture."""
    height, width = halves.shape[1:]
    inner = max(2, round(_INNER * width))
    contrast = halves - np.median(halves[:, :, -inner:], axis=(1, 2))[:, None, None]
    start, end = _longest_run(np.abs(contrast).mean(axis=1))
    found = _is_between((end - start) / (2 * width), _WIDTH)
    columns = np.arange(width)
    weights = ((columns >= start[:, None]) & (columns < end[:, None])).astype(float)
    weights /= np.maximum(weights.sum(axis=1, keepdims=True), 1)
    line = np.einsum("shw,sw->sh", contrast, weights)  # the column of cells, from the top
    top, bottom = _ends(np.abs(line))
    found &= _is_between((bottom - top) / height, _HEIGHT)
    rows = np.arange(height) + 0.5
    cells = (rows > top[:, None]) & (rows < bottom[:, None])
    typical = np.sqrt(_mean_over(line**2, cells))
    found &= typical >= _LEAST_CONTRAST
    bits, clear = _bits_of_runs(line, cells, top, bottom)
    return np.where((found & clear)[:, None], bits, np.nan)


def _bits_of_runs(lines: Floats, cells: Masks, top: Floats, bottom: Floats) -> tuple[Floats, Masks]:
    """Tell bits `s 6`, and whether they are clear, from the lengths of light and dark runs."""
    # A warp moves borders between runs along together, so lengths are truer than places. Of all
    # ways to share six cells among the runs the one nearest to their lengths is taken.
    between = cells[:, 1:] & cells[:, :-1] & ((lines[:, 1:] > 0) != (lines[:, :-1] > 0))
    step = np.where(between, lines[:, :-1] - lines[:, 1:], 1)
    places = np.arange(lines.shape[1] - 1) + 0.5 + lines[:, :-1] / step
    borders = np.sort(np.where(between, places, np.inf), axis=1)
    runs = between.sum(axis=1) + 1
    first = lines[np.arange(len(lines)), cells.argmax(axis=1)] > 0  # whether the top one is light
    bits = np.zeros((len(lines), BITS))
    clear = runs <= BITS
    for count in range(1, BITS + 1):
        rows = np.flatnonzero(runs == count)
        edges = np.concatenate(
            [top[rows, None], borders[rows, : count - 1], bottom[rows, None]], axis=1
        )
        lengths = np.diff(edges, axis=1) * (BITS / (bottom - top)[rows, None])
        ways = np.array([*_ways(BITS, count)])
        cost = ((lengths[:, None] - ways) ** 2 / ways).sum(axis=2)
        ranked = np.sort(cost, axis=1)
        if len(ways) > 1:
            clear[rows] = ranked[:, 1] - ranked[:, 0] >= _CLEAR
        # run j has the cells before whose end it lies: count how many runs end before each cell
        ends = ways[cost.argmin(axis=1)].cumsum(axis=1) if len(rows) else np.zeros((0, count))
        run = (ends[:, None, :] <= np.arange(BITS)[:, None]).sum(axis=2)
        bits[rows] = (run % 2 == 0) == first[rows, None]
    return bits, clear


def _ways(cells: int, runs: int) -> Iterator[tuple[int, ...]]:
    """All ways to share so many cells among so many runs, each with one at least."""
    if runs == 1:
        yield (cells,)
        return
    for own in range(1, cells - runs + 2):
        for rest in _ways(cells - own, runs - 1):
            yield own, *rest


def _mean_over(lines: Floats, chosen: Masks) -> Floats:
    return (lines * chosen).sum(axis=1) / np.maximum(chosen.sum(axis=1), 1)


def _is_between(values: Floats, limits: tuple[float, float]) -> NDArray[np.bool_]:
    return (limits[0] <= values) & (values <= limits[1])


def _level(lines: Floats) -> Floats:
    """Half of what the stronger pixels of each line have: `s 1`."""
    return _OF_TYPICAL * np.quantile(lines, 0.85, axis=1, keepdims=True)


def _longest_run(lines: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Start and end of the longest run of strong pixels of each line."""
    strong = lines > _level(lines)
    run = np.zeros(len(lines), np.int64)
    longest, end = run.copy(), run.copy()
    for x in range(lines.shape[1]):
        run = np.where(strong[:, x], run + 1, 0)
        end = np.where(run > longest, x + 1, end)
        longest = np.maximum(run, longest)
    return end - longest, end


def _ends(lines: Floats) -> tuple[Floats, Floats]:
    """Where each line first and last crosses its level, between pixels; from 0 to its length."""
    level = _level(lines)
    padded = np.pad(lines, ((0, 0), (1, 1)))
    strong = padded > level
    rows = np.arange(len(lines))
    first = strong.argmax(axis=1)
    last = padded.shape[1] - 1 - strong[:, ::-1].argmax(axis=1)
    # pixel k of the padded line has its centre at k - .5
    rise = _share(padded[rows, first - 1], padded[rows, first], level[:, 0])
    fall = _share(padded[rows, (last + 1) % padded.shape[1]], padded[rows, last], level[:, 0])
    return first - 0.5 - (1 - rise), last - 0.5 + (1 - fall)


def _share(outside: Floats, inside: Floats, level: Floats) -> Floats:
    """How far from outside to inside the level is crossed, from 0 to 1."""
    return np.clip((level - outside) / np.maximum(inside - outside, 1e-9), 0, 1)


def barcode_pass(parts: Parts) -> NDArray[np.bool_]:
    """Whether the two codes are the same."""
    return (parts[:, 0] == parts[:, 1]).all(axis=1)


def barcode_rules(parts: Parts) -> dict[str, float]:
    """The share of bits that agree: of all six, and of each from the top."""
    agree = (parts[:, 0] == parts[:, 1]).mean(axis=0)
    return {
        "bit_agreement": float(agree.mean()),
        **{f"bit_{k + 1}_agreement": float(agree[k]) for k in range(BITS)},
    }


BARCODE = Checker(read_barcode, barcode_pass, barcode_rules)
