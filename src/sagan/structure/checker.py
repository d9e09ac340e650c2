"""What a checker is: it reads the parts of each picture, and says of any parts whether they agree.

The rule is judged on the parts that were read, never on pixels. So parts read in different pictures
can be put together and judged in the same way: that is what structure lift needs.

Dimensions: i images, k parts of one, v numbers of a part.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Parts = NDArray[np.float64]  # i k v; NaN where a picture cannot be read


@dataclass(frozen=True)
class Checker:
    """How the rule of one set is checked, without any network: `read` takes uint8 in [0, 255]."""

    read: Callable[[NDArray[np.uint8]], Parts]  # of `i 3 h w`; all NaN where it abstains
    passes: Callable[[Parts], NDArray[np.bool_]]  # without NaN: whether the rule holds, `i`
    rules: Callable[[Parts], dict[str, float]]  # without NaN: the numbers behind it, by name


def abstained(parts: Parts) -> NDArray[np.bool_]:
    """Which pictures could not be read, `i`."""
    return np.asarray(np.isnan(parts).any(axis=(1, 2)))
