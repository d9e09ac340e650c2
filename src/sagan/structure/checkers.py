"""The checkers by the name of their set, and what they can read.

Dimensions: i images, h w their sides.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from sagan.data.procedural.sets import RESOLUTIONS_PX
from sagan.structure.check_barcode import BARCODE
from sagan.structure.check_quadrupeds import QUADRUPEDS
from sagan.structure.check_twins import TWINS
from sagan.structure.checker import Checker, Parts

CHECKERS: dict[str, Checker] = {"twins": TWINS, "quadrupeds": QUADRUPEDS, "barcode": BARCODE}
LEAST_PX = {"twins": 16, "quadrupeds": 32, "barcode": 16}
_AT_ONCE = 128  # images: arrays that stay in a core's cache


def checker_of(name: str) -> Checker:
    """The checker of a set, by name."""
    if name not in CHECKERS:
        raise ValueError(f"no checker for {name!r}; choose from {', '.join(CHECKERS)}")
    return CHECKERS[name]


def refuse_unreadable(name: str, resolution: int, channels: int) -> None:
    """Raise ValueError for images of a kind that the checker's error rates do not hold for."""
    checker_of(name)
    if channels != 3:
        raise ValueError(f"{name} is told by its colours: images need 3 channels, not {channels}")
    if resolution not in RESOLUTIONS_PX or resolution < LEAST_PX[name]:
        sides = ", ".join(str(px) for px in RESOLUTIONS_PX if px >= LEAST_PX[name])
        reason = ": legs are one pixel wide" if name == "quadrupeds" and resolution == 16 else ""
        raise ValueError(f"{name} can be checked at {sides} px, not at {resolution}{reason}")


def read_parts(checker: Checker, batches: Iterable[NDArray[np.uint8]]) -> Parts:
    """Read the parts of images, `i 3 h w` a batch."""
    return np.concatenate(
        [
            checker.read(batch[start : start + _AT_ONCE])
            for batch in batches
            for start in range(0, len(batch), _AT_ONCE)
        ]
    )
