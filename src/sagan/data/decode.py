"""Decode bytes or an array to an upright 8-bit picture, and that to a uint8 square.

The table in docs/data.md is the rule; anything it does not cover is unreadable, never guessed. The
content decides what a file is, not its name.

Dimensions: c channels, h w the picture's sides.
"""

import functools
import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, UnidentifiedImageError

from sagan.config import READING_RULES, Crop
from sagan.text import one_line

MOST_BYTES = 2**30  # of one file
_EXIF_ORIENTATION = 0x0112
# No EPS (it starts another program), and none that any bytes could pass for.
ENDINGS = {  # of the names of files, by the formats that are read
    "PNG": "png apng",
    "JPEG": "jpg jpeg jpe jfif mpo",
    "MPO": "jpg jpeg jpe jfif mpo",
    "GIF": "gif",
    "BMP": "bmp dib",
    "TIFF": "tif tiff",
    "WEBP": "webp",
    "PPM": "ppm pgm pbm pnm pfm",
    "JPEG2000": "jp2 j2k jpf jpx j2c jpc",
    "AVIF": "avif avifs",
    "QOI": "qoi",
    "ICO": "ico",
}
_SINCE_RULES_2 = ("ICO",)
_EIGHTH = 8  # the smallest scale that libjpeg decodes at
_JPEG, _JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"
_TAILS, _TAIL_BYTES = 8, 64
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = [turn for orientation, turn in _TURNS.items() if orientation > 4]
ODD_KINDS = {  # what the doctor says of each
    "EXIF rotation": "turned upright",
    "broken EXIF": "ignored, the picture taken as stored",
    "transparency": "laid over the background; kept with --channels 4",
    "palette": "colours looked up",
    "1-bit": "0 and 1 become 0 and 255",
    "16-bit grey": "divided by 257",
    "32-bit or float": "scaled to 0-255 by its range",
    "CMYK": "converted to RGB",
    "other colours": "converted to RGB",
    "animation": "the first frame taken",
    "not square": "made square, as --crop says",
    "too small": "enlarged",
    "wrong extension": "read by its content",
    "huge JPEG": "decoded at an eighth of its sides",
    "no end marker": "read; no pixel of the JPEG is missing",
}


class Unreadable(ValueError):
    """A picture that cannot be read; the message is the reason."""


@dataclass(frozen=True)
class Picture:
    """An upright 8-bit picture."""

    image: Image.Image  # of mode L, RGB or RGBA
    stored_mode: str  # Pillow's mode of the pixels as stored, or an array's channels
    format: str  # as Pillow names it, or `array`
    odd: tuple[str, ...]  # keys of `ODD_KINDS`
    size_px: tuple[int, int]  # width and height upright, even if the image was decoded smaller


@contextmanager
def quiet_pillow() -> Iterator[None]:
    """Silence Pillow's warnings: those that matter become reasons."""
    # filters belong to the process: enter it once around the threads, not in each
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="PIL")
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        yield


@functools.cache
def _formats(rules: int) -> tuple[str, ...]:
    Image.init()
    too_new = _SINCE_RULES_2 if rules < 2 else ()
    return tuple(name for name in ENDINGS if name in Image.OPEN and name not in too_new)


def parse_background(text: str) -> tuple[int, int, int]:
    """Read an opaque colour: a CSS name or `#rrggbb`."""
    colour: tuple[int, ...] = ()
    with suppress(ValueError):
        colour = ImageColor.getrgb(text)
    if len(colour) != 3:
        raise ValueError(f"background {text!r} is not an opaque colour; give a name or #rrggbb")
    return colour[0], colour[1], colour[2]


def is_picture(data: bytes, rules: int = READING_RULES) -> bool:
    """Whether bytes begin as a picture of a format that is read."""
    try:
        with quiet_pillow(), Image.open(io.BytesIO(data), formats=_formats(rules)):
            return True
    except Image.DecompressionBombError:
        return True
    except Exception:
        return False


def read_picture(
    data: bytes | NDArray[np.uint8], *, least_px: int = 0, rules: int = READING_RULES
) -> Picture:
    """Decode a file's content, or uint8 `h w` or `h w c`, and turn the picture upright."""
    # A JPEG is decoded at 1/2, 1/4 or 1/8, several times faster, while its sides keep `least_px`
    # pixels; 0 decodes it whole.
    if isinstance(data, np.ndarray):
        return _of_array(data, rules)
    if not data:
        raise Unreadable("empty file")
    try:
        return _decode(data, least_px, rules)
    except Unreadable:
        raise
    except UnidentifiedImageError:
        raise Unreadable("not a picture of a known format") from None
    except Image.DecompressionBombError:
        raise Unreadable(_bomb_reason()) from None
    except MemoryError:
        raise Unreadable("not enough memory to decode it") from None
    except Exception as error:  # decoders raise anything on broken bytes
        if rules > 1 and data.startswith(_JPEG) and (whole := _with_end_marker(data)):
            picture = _decode(whole, least_px, rules)
            return replace(picture, odd=(*picture.odd, "no end marker"))
        raise Unreadable(f"damaged: {one_line(error)}") from None


def _bomb_reason() -> str:
    return f"more than {Image.MAX_IMAGE_PIXELS or 0:,} pixels"


def _with_end_marker(data: bytes) -> bytes | None:
    """End a JPEG that lacks its end marker alone; None where it lacks more."""
    body = data.rstrip(_JPEG[:1])  # the marker may be cut in two
    # The pixels of a whole scan are the same whatever bytes follow it; those of one that is cut
    # short are decoded from these bytes too. (A progressive JPEG cut between two of its scans
    # passes as well: it is whole, only coarser.)
    random = np.random.default_rng(0).integers(0, 255, (_TAILS, _TAIL_BYTES), np.uint8)
    tails = (b"", *(tail.tobytes() for tail in random))
    try:
        pixels = (_decode(body + t + _JPEG_END, 0, READING_RULES).image.tobytes() for t in tails)
        first = next(pixels)
        return body + _JPEG_END if all(other == first for other in pixels) else None
    except Exception:  # as above
        return None


def _decode(data: bytes, least_px: int, rules: int) -> Picture:
    with Image.open(io.BytesIO(data), formats=_formats(rules)) as image:
        odd = []
        if image.width * image.height > (Image.MAX_IMAGE_PIXELS or np.inf):
            # A progressive one is held in memory whole, at whatever scale it is decoded.
            if rules < 2 or image.format not in ("JPEG", "MPO") or image.info.get("progressive"):
                raise Unreadable(_bomb_reason())
            odd.append("huge JPEG")
            least_px = max(1, min(image.size) // _EIGHTH)
        if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":
            odd.append("animation")
        stored_mode, form, size = image.mode, image.format or "", image.size
        if least_px:
            image.draft(None, (least_px, least_px))
        image.load()
        turn, exif_is_broken = _turn(image)
        upright = _to_8_bit(image, odd, rules)
    if turn is not None:
        upright = upright.transpose(turn)
        odd.append("EXIF rotation")
        size = size[::-1] if turn in _SIDEWAYS else size
    if exif_is_broken:
        odd.append("broken EXIF")
    return Picture(upright, stored_mode, form, tuple(odd), size)


def _turn(image: Image.Image) -> tuple[Image.Transpose | None, bool]:
    """Find how to turn a picture upright, and whether its EXIF is broken."""
    try:
        orientation = image.getexif().get(_EXIF_ORIENTATION, 1)
        return _TURNS.get(orientation), orientation not in range(1, 9)
    except Exception:  # a decoder's, as above
        return None, True


def _to_8_bit(image: Image.Image, odd: list[str], rules: int) -> Image.Image:
    mode = image.mode
    if mode.startswith("I;16") or (mode == "I" and image.format in ("PNG", "PPM")):
        odd.append("16-bit grey")
        values = np.asarray(image).astype(np.uint16)
        grey = Image.fromarray(scale(values, *value_range(values.dtype, 0, 0)))
        clear = image.info.get("transparency")
        if rules > 2 and isinstance(clear, int) and (values == clear).any():
            odd.append("transparency")
            grey.putalpha(Image.fromarray(np.where(values == clear, 0, 255).astype(np.uint8)))
            return grey.convert("RGBA")
        return grey
    if mode in ("I", "F"):
        odd.append("32-bit or float")
        values = np.asarray(image)
        return Image.fromarray(scale(values, *value_range(values.dtype, *extent(values))))
    for name, modes in (("palette", "P PA"), ("1-bit", "1"), ("CMYK", "CMYK")):
        if mode in modes.split():
            odd.append(name)
    if mode in ("LA", "PA", "La", "RGBA", "RGBa") or "transparency" in image.info:
        if mode == "La":  # premultiplied, which Pillow turns back into LA only
            image = image.convert("LA")
        image = image.convert("RGBA")
        if image.getchannel("A").getextrema() != (255, 255):
            odd.append("transparency")
        return image
    if mode in ("1", "L"):
        return image.convert("L")
    if mode not in ("RGB", "P", "CMYK"):
        odd.append("other colours")
    return image.convert("RGB")


def extent(values: NDArray[Any]) -> tuple[float, float]:
    """Find the smallest and the largest value; NaN and infinity are unreadable."""
    low, high = float(values.min()), float(values.max())
    if not np.isfinite([low, high]).all():
        raise Unreadable("it holds NaN or infinite values")
    return low, high


def value_range(dtype: np.dtype[Any], low: float, high: float) -> tuple[float, float]:
    """Find which values are black and white from their type, the smallest and the largest."""
    whole = {"bool": 1.0, "uint8": 255.0, "uint16": 65535.0}.get(dtype.name)
    if whole is not None:
        return 0.0, whole
    if dtype.kind == "f" and low >= -1 and high <= 1:
        return (0.0 if low >= 0 else -1.0), 1.0
    if low >= 0 and high <= 65535:
        return 0.0, (255.0 if high <= 255 else 65535.0)
    return low, (high if high > low else low + 1.0)


def scale(values: NDArray[Any], black: float, white: float) -> NDArray[np.uint8]:
    """Scale values from [black, white] to uint8 [0, 255], rounded."""
    if values.dtype == np.uint8:
        return values
    scaled = (values.astype(np.float64) - black) * (255.0 / (white - black))
    return np.rint(scaled).clip(0, 255).astype(np.uint8)


def _of_array(array: NDArray[np.uint8], rules: int) -> Picture:
    assert array.dtype == np.uint8
    channels = 1 if array.ndim == 2 else array.shape[2]
    if array.size == 0 or channels not in (1, 2, 3, 4):
        raise Unreadable(f"an array of shape {array.shape} is not a picture")
    if channels == 1:
        array = array.reshape(array.shape[:2])
    image = Image.fromarray(np.ascontiguousarray(array))
    odd: list[str] = []
    return Picture(
        _to_8_bit(image, odd, rules), f"{channels} channels", "array", tuple(odd), image.size
    )


def to_square(
    image: Image.Image,
    resolution: int,
    channels: int,
    background: tuple[int, int, int],
    crop: Crop = "center",
) -> NDArray[np.uint8]:
    """Made square, over the background, resized with LANCZOS to uint8 `h w c`."""
    # 1 channel is ITU-R 601 luma; 4 keep alpha and ignore the background
    if crop in ("center", "top") and image.width != image.height:
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        top = 0 if crop == "top" else top
        image = image.crop((left, top, left + side, top + side))
    if image.mode == "RGBA" and channels != 4:
        under = Image.new("RGBA", image.size, (*background, 255))
        image = Image.alpha_composite(under, image).convert("RGB")
    coloured = crop == "fit" and len(set(background)) > 1
    if channels != 3 or image.mode != "L" or coloured:  # grey is resized as grey, repeated after
        image = image.convert({1: "L", 3: "RGB", 4: "RGBA"}[channels])
    longest, whole = max(image.size), (resolution, resolution)
    size = whole
    if crop == "fit":
        width, height = (max(1, round(resolution * side / longest)) for side in image.size)
        size = (width, height)
    if image.size != size:
        image = image.resize(size, Image.Resampling.LANCZOS)
    if size != whole:
        image = _on_square(image, resolution, background)
    array = np.asarray(image)
    if array.ndim == 2:
        array = np.repeat(array[:, :, None], channels, axis=2)
    return array


def _on_square(
    image: Image.Image, resolution: int, background: tuple[int, int, int]
) -> Image.Image:
    """In the middle of a square of the background, or of nothing if there is an alpha channel."""
    under = Image.new("RGBA", (resolution, resolution), (*background, 0))
    if image.mode != "RGBA":
        under = under.convert("RGB").convert(image.mode)
    under.paste(image, ((resolution - image.width) // 2, (resolution - image.height) // 2))
    return under


def is_grey(square: NDArray[np.uint8]) -> bool:
    """Whether `h w 3` is grey in every pixel.

    Example:
        >>> is_grey(np.full((2, 2, 3), 9, np.uint8))
        True
    """
    first = square[:, :, 0]
    return bool((first == square[:, :, 1]).all() and (first == square[:, :, 2]).all())
