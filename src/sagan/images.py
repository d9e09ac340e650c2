"""Convert images between [-1, 1] inside and uint8 [0, 255] outside; lay them out, and in motion.

Dimensions: b batch, r rows, f frames, c channels, h w the image's sides.
"""

import math
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

_MIN_GRID_PX = 640  # narrower grids are enlarged for viewing
_NAME_PX = 16  # height of a name above a picture
_FRAME_MSEC = 80  # a multiple of 10, GIF's unit


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


def side_by_side(pictures: Mapping[str, Image.Image], *, gap: int = 16) -> Image.Image:
    """Lay pictures out from left to right on white, each under its name."""
    font = ImageFont.load_default(_NAME_PX)
    names_px = [math.ceil(font.getlength(name)) for name in pictures]
    widths = [max(p.width, px) + gap for p, px in zip(pictures.values(), names_px, strict=True)]
    top = 2 * _NAME_PX
    size = sum(widths) + gap, top + max(p.height for p in pictures.values()) + gap
    canvas = Image.new("RGB", size, "white")
    x = gap
    for (name, picture), width in zip(pictures.items(), widths, strict=True):
        ImageDraw.Draw(canvas).text((x, _NAME_PX // 2), name, "black", font)
        canvas.paste(_without_alpha(picture), (x, top))
        x += width
    return canvas


def walk_frames(images: Tensor) -> list[Image.Image]:
    """Grids of walks `r f c h w`, one a frame with a cell a row, there and back without a jump."""
    columns = math.ceil(math.sqrt(len(images)))
    there = [image_grid(frame, columns) for frame in images.transpose(0, 1)]
    return there + there[-2:0:-1]


def gif(frames: Sequence[Image.Image]) -> bytes:
    """Encode frames as a GIF that repeats for ever; what is transparent becomes white."""
    first, *others = (_without_alpha(frame) for frame in frames)
    file = BytesIO()
    first.save(
        file, "GIF", save_all=True, append_images=others, duration=_FRAME_MSEC, loop=0, disposal=1
    )
    return file.getvalue()


def mp4(frames: Sequence[Image.Image]) -> bytes:
    """Encode frames as an H.264 video by the program ffmpeg, which has to be there.

    Raises OSError with what it said if it fails.
    """
    width, height = frames[0].size
    with tempfile.TemporaryDirectory(prefix="sagan-") as folder:
        made = Path(folder, "walk.mp4")
        command = ["ffmpeg", "-v", "error", "-f", "rawvideo", "-pix_fmt", "rgb24"]
        command += ["-s", f"{width}x{height}", "-r", f"1000/{_FRAME_MSEC}", "-i", "-"]
        # the colours' resolution is halved in what every player shows, so sides have to be even
        command += ["-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2:color=gray", "-pix_fmt", "yuv420p"]
        pixels = b"".join(_without_alpha(frame).convert("RGB").tobytes() for frame in frames)
        done = subprocess.run([*command, str(made)], input=pixels, capture_output=True)
        if done.returncode:
            last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
            raise OSError(f"ffmpeg failed: {''.join(last) or f'exit code {done.returncode}'}")
        return made.read_bytes()


def _without_alpha(image: Image.Image) -> Image.Image:
    if image.mode != "RGBA":
        return image
    white = Image.new("RGBA", image.size, "white")
    white.alpha_composite(image)
    return white.convert("RGB")


def png(image: Image.Image) -> bytes:
    """Encode a picture as the content of a PNG file."""
    content = BytesIO()
    image.save(content, "PNG")
    return content.getvalue()


def figure_png(figure: Any, *, dpi: int) -> bytes:
    """Encode a figure of matplotlib as the content of a PNG file."""
    content = BytesIO()
    figure.savefig(content, dpi=dpi, format="png")
    return content.getvalue()
