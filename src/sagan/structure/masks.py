"""What the checkers look with: hue, and connected components of many masks at once.

Dimensions: i images, h w their sides, 3 RGB in [0, 1].
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage  # type: ignore[import-untyped]

Floats = NDArray[np.float64]
Masks = NDArray[np.bool_]
_IN_PLANE = np.zeros((3, 3, 3), bool)
_IN_PLANE[1] = True  # neighbours of the same image, corners included


def as_floats(images: NDArray[np.uint8]) -> Floats:
    """Turn uint8 `i 3 h w` into `i h w 3` in [0, 1]."""
    return images.transpose(0, 2, 3, 1) / 255.0


def hue_of(colours: Floats) -> Floats:
    """Hue in degrees, [0, 360), of RGB `... 3`, 0 for grey; mixing grey in does not change it."""
    red, green, blue = np.moveaxis(colours, -1, 0)
    most = colours.max(axis=-1)
    chroma = np.maximum(most - colours.min(axis=-1), 1e-9)
    hue = np.where(
        most == red,
        (green - blue) / chroma,
        np.where(most == green, 2 + (blue - red) / chroma, 4 + (red - green) / chroma),
    )
    return hue * 60 % 360


def hue_distance(one: Floats, other: Floats) -> Floats:
    """Degrees between hues the shorter way round, [0, 180].

    Example:
        >>> float(hue_distance(np.array(350.0), np.array(20.0)))
        30.0
    """
    return 180 - np.abs((one - other) % 360 - 180)


def largest_parts(masks: Masks) -> tuple[Masks, NDArray[np.int64], NDArray[np.int64]]:
    """Find each mask's largest connected part, `i h w`; its pixels, `i`, and the second's, `i`."""
    labelled, count = ndimage.label(masks, _IN_PLANE)
    sizes = np.bincount(labelled.ravel(), minlength=count + 1)
    image_of = np.zeros(count + 1, np.int64)
    image_of[labelled.reshape(len(masks), -1)] = np.arange(len(masks))[:, None]
    sizes[0] = 0
    largest, second = np.zeros(len(masks), np.int64), np.zeros(len(masks), np.int64)
    winner = np.full(len(masks), -1)
    order = np.argsort(sizes[1:], kind="stable") + 1  # the last ones written are the largest
    winner[image_of[order]] = order
    largest[image_of[order]] = sizes[order]
    others = order[winner[image_of[order]] != order]
    second[image_of[others]] = sizes[others]
    return labelled == winner[:, None, None], largest, second
