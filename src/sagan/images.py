"""Convert images between [-1, 1] inside and uint8 [0, 255] outside; lay them out in grids.

Dimensions: b batch, c channels, h w the image's sides.
"""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

_MIN_GRID_PX = 640  # narrower grids are enlarged for viewing


def to_uint8(images: Tensor) -> Tensor:
    """Turn images in [-1, 1] into uint8 in [0, 255], rounding.

    Args:
        images: float, of any shape; values outside [-1, 1] are clipped.

    Example:
        >>> to_uint8(torch.tensor([-1.0, 0.0, 1.0])).tolist()
        [0, 128, 255]
    """
    return ((images.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def to_float(images: Tensor) -> Tensor:
    """Turn uint8 images in [0, 255] into float32 in [-1, 1]; `to_uint8` undoes it exactly.

    Args:
        images: uint8, of any shape.

    Example:
        >>> to_float(torch.tensor([0, 255], dtype=torch.uint8)).tolist()
        [-1.0, 1.0]
    """
    return images.float() / 127.5 - 1


def image_grid(images: Tensor, columns: int, *, scale: int = 0, gutter: int = 2) -> Image.Image:
    """Lay out uint8 images in rows with a gutter, enlarged by an integer factor.

    Args:
        images: uint8 `b c h w`.
        columns: images per row.
        scale: enlargement; 0 makes the grid at least 640 px wide.
        gutter: width in source pixels between images.

    Returns:
        A Pillow image of mode L, RGB or RGBA.

    Example:
        >>> image_grid(torch.zeros(6, 1, 8, 8, dtype=torch.uint8), 3, scale=1).size
        (32, 22)
    """
    b, c, h, w = images.shape
    rows = math.ceil(b / columns)
    cell_h, cell_w = h + gutter, w + gutter
    canvas = np.full((rows * cell_h + gutter, columns * cell_w + gutter, c), 128, np.uint8)
    for i, image in enumerate(images.permute(0, 2, 3, 1).numpy()):
        y, x = gutter + i // columns * cell_h, gutter + i % columns * cell_w
        canvas[y : y + h, x : x + w] = image
    picture = array_to_image(canvas)
    scale = scale or max(1, math.ceil(_MIN_GRID_PX / picture.width))
    size = (picture.width * scale, picture.height * scale)
    return picture.resize(size, Image.Resampling.NEAREST)


def array_to_image(array: NDArray[np.uint8]) -> Image.Image:
    """Make a Pillow image from uint8 `h w c`."""
    return Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array)
