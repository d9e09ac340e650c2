"""The procedural sets by name: images from seeds, and the source that the packed cache reads.

Dimensions: i images, h w their sides.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sagan.data.dataset import Split
from sagan.data.procedural.barcode import draw_barcode, paint_barcode
from sagan.data.procedural.quadrupeds import KINDS, draw_quadrupeds, paint_quadrupeds
from sagan.data.procedural.twins import draw_twins, paint_twins
from sagan.data.sources.source import Item, Source, stamp_of

RESOLUTIONS_PX = (16, 32, 64)
DEFAULT_PX = 32
_VERSION = 1  # another one when a set's pictures change
_NUM: dict[Split, int] = {"train": 20_000, "test": 4_000}
_SEED: dict[Split, int] = {"train": 0, "test": 1}
_AT_ONCE = 64  # images: arrays that stay in a core's cache


@dataclass(frozen=True)
class Procedural:
    """A set: how its scenes are drawn from seeds and painted, and the names of its classes."""

    draw: Callable[[int, NDArray[np.integer]], Any]
    paint: Callable[[Any, int], NDArray[np.uint8]]
    class_names: tuple[str, ...] = ()


PROCEDURAL = {
    "twins": Procedural(draw_twins, paint_twins),
    "quadrupeds": Procedural(draw_quadrupeds, paint_quadrupeds, KINDS),
    "barcode": Procedural(draw_barcode, paint_barcode),
}


def render(
    name: str, indices: NDArray[np.integer] | range, *, resolution: int, seed: int = 0
) -> tuple[NDArray[np.uint8], NDArray[np.int64] | None]:
    """Images of a set, uint8 `i 3 h w`, and labels `i` if it has classes."""
    # image i depends on (seed, i) alone
    chosen = _checked(name, resolution, seed)
    rows = np.asarray(indices, np.int64)
    if rows.size and rows.min() < 0:
        raise ValueError(f"images are numbered from 0, not {rows.min()}")
    images = np.empty((len(rows), 3, resolution, resolution), np.uint8)
    labels = np.zeros(len(rows), np.int64)
    for start in range(0, len(rows), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        scenes = chosen.draw(seed, rows[part])
        images[part] = chosen.paint(scenes, resolution)
        if chosen.class_names:
            labels[part] = scenes.kind
    return images, labels if chosen.class_names else None


def procedural_source(
    name: str,
    *,
    resolution: int = DEFAULT_PX,
    num: int | None = None,
    seed: int | None = None,
    split: Split = "train",
) -> Source:
    """The set as a source: images 0 to `num` of a seed, by default those of the split."""
    # with the defaults, the training side brings the test side along
    own_split = split == "train" and num is None and seed is None
    num = _NUM[split] if num is None else num
    seed = _SEED[split] if seed is None else seed
    names = _checked(name, resolution, seed).class_names
    if num < 1:
        raise ValueError(f"the number of images must be at least 1, not {num}")

    def items() -> Iterator[Item]:
        for start in range(0, num, _AT_ONCE):
            rows = range(start, min(num, start + _AT_ONCE))
            images, labels = render(name, rows, resolution=resolution, seed=seed)
            pictures = images.transpose(0, 2, 3, 1)
            for k, row in enumerate(rows):
                kind = None if labels is None else names[labels[k]]
                yield Item(str(row), kind, partial(np.ascontiguousarray, pictures[k]))

    stamp = stamp_of([(name, _VERSION, resolution, num, seed)])
    # so few images may lack a class: which there are is found in packing
    test = procedural_source(name, resolution=resolution, split="test") if own_split else None
    return Source("procedural", stamp, items, None if names else (), num, test=test)


def _checked(name: str, resolution: int, seed: int) -> Procedural:
    if name not in PROCEDURAL:
        raise ValueError(f"unknown procedural set {name!r}; choose from {', '.join(PROCEDURAL)}")
    if resolution not in RESOLUTIONS_PX:
        sides = ", ".join(map(str, RESOLUTIONS_PX))
        raise ValueError(f"{name} is drawn at {sides} px, not at {resolution}")
    if seed < 0:
        raise ValueError(f"the seed must be 0 or more, not {seed}")
    return PROCEDURAL[name]
