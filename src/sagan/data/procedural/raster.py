"""Shapes on pixels, anti-aliased by how much of a pixel lies inside.

Positions and lengths of scenes are shares of the image's side: x to the right, y downwards.

Dimensions: i images, k shapes of one, h w the image's sides, 3 RGB in [0, 1].
"""

import numpy as np
from numpy.typing import NDArray

from sagan.data.procedural.draws import Floats

Pixels = NDArray[np.float32]


def hsv_to_rgb(hue_deg: Floats, saturation: Floats, value: Floats) -> Floats:
    """Colours `... 3` of hue in degrees, saturation and value in [0, 1]."""
    # red, green and blue fall off with the distance of the hue from 0, 120 and 240 degrees
    sector = (hue_deg[..., None] / 60 + np.array([5.0, 3.0, 1.0])) % 6
    fall = np.clip(np.minimum(sector, 4 - sector), 0, 1)
    return value[..., None] * (1 - saturation[..., None] * fall)


def centres(px: int) -> Pixels:
    """Positions of pixel centres along a side."""
    return ((np.arange(px) + 0.5) / px).astype(np.float32)


def shaded_background(colour: Floats, slope: Floats, px: int) -> Pixels:
    """A plain colour `i 3` that grows lighter along `slope` (`i 2`: x, y): `i h w 3`."""
    along = centres(px) - np.float32(0.5)
    slope = slope.astype(np.float32)
    shade = slope[:, 0, None, None] * along + slope[:, 1, None, None] * along[:, None]
    return colour.astype(np.float32)[:, None, None] + shade[..., None]


def coverage(distance: Pixels, px: int) -> Pixels:
    """Share of each pixel inside a shape, from the signed distance of its centre (inside < 0)."""
    # exact for a straight edge along the pixels, and within .06 for any other
    return np.clip(np.float32(0.5) - distance * np.float32(px), 0, 1)


def disc_distance(x: Floats, y: Floats, radius: Floats, px: int) -> Pixels:
    """Signed distance to discs `i`: `i h w`."""
    at = centres(px)
    dx = at - x.astype(np.float32)[:, None]
    dy = at - y.astype(np.float32)[:, None]
    square = (dx * dx)[:, None, :] + (dy * dy)[:, :, None]
    return np.sqrt(square) - radius.astype(np.float32)[:, None, None]


def capsule_distance(ends: Floats, radius: Floats, px: int) -> Pixels:
    """Signed distance to round-ended strokes, `ends` `i 4` (x0 y0 x1 y1), radius `i`: `i h w`."""
    x0, y0, x1, y1 = (ends[:, k].astype(np.float32) for k in range(4))
    along_x, along_y = x1 - x0, y1 - y0
    length = np.maximum(along_x * along_x + along_y * along_y, np.float32(1e-12))
    at = centres(px)
    dx, dy = at - x0[:, None], at - y0[:, None]
    # where the nearest point of the stroke lies, from 0 at its start to 1 at its end
    share_x = dx * (along_x / length)[:, None]
    share_y = dy * (along_y / length)[:, None]
    nearest = np.clip(share_x[:, None, :] + share_y[:, :, None], 0, 1)
    from_x = dx[:, None, :] - nearest * along_x[:, None, None]
    from_y = dy[:, :, None] - nearest * along_y[:, None, None]
    square = from_x * from_x + from_y * from_y
    return np.sqrt(square) - radius.astype(np.float32)[:, None, None]


def span_coverage(start: Floats, end: Floats, px: int) -> Pixels:
    """Share of each pixel of a line that lies between `start` and `end` (`...`): `... px`."""
    edges = np.arange(px, dtype=np.float32)
    low = np.maximum(edges, (start * px).astype(np.float32)[..., None])
    high = np.minimum(edges + 1, (end * px).astype(np.float32)[..., None])
    return np.maximum(high - low, 0)


def to_bytes(images: Pixels) -> NDArray[np.uint8]:
    """Round `i h w 3` in [0, 1] to uint8 `i 3 h w` in [0, 255]."""
    scaled = np.clip(images, 0, 1) * np.float32(255) + np.float32(0.5)
    return np.ascontiguousarray(scaled.astype(np.uint8).transpose(0, 3, 1, 2))
