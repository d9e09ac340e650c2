"""A corpus of odd and damaged image files, made in code: what each is, and what becomes of it."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sagan.data.sources.source import Source

SIDE = 24


def gradient(channels: int = 3) -> np.ndarray:
    """uint8 `h w c`: channel 0 grows rightwards, 1 downwards, 2 is 60, 3 is alpha 128."""
    ramp = np.arange(SIDE) * 10
    planes = [np.tile(ramp, (SIDE, 1)), np.tile(ramp[:, None], (1, SIDE))]
    planes += [np.full((SIDE, SIDE), 60), np.full((SIDE, SIDE), 128)]
    return np.stack(planes[:channels], axis=2).astype(np.uint8)


def encoded(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def rgb() -> Image.Image:
    return Image.fromarray(gradient())


def grey() -> Image.Image:
    return Image.fromarray(gradient()[:, :, 0])


def rgba() -> Image.Image:
    return Image.fromarray(gradient(4))


def put(root: Path, files: dict[str, bytes]) -> Path:
    """Write files, by relative name, into a folder."""
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def classes(source: Source) -> dict[str, str | None]:
    """The class of each item, in order."""
    return {item.name: item.class_name for item in source.items()}


def exif(orientation: int) -> bytes:
    """A PNG that EXIF says is to be turned; upright, its red grows rightwards."""
    back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Pillow's numbers of the inverse turns
    stored = rgb() if orientation == 1 else rgb().transpose(Image.Transpose(back[orientation]))
    data = Image.Exif()
    data[0x0112] = orientation
    return encoded(stored, "PNG", exif=data.tobytes())


def bomb() -> bytes:
    """A PNG header that claims 60,000 x 60,000 pixels."""
    content = encoded(Image.new("1", (8, 8)))
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 1, 0, 0, 0, 0)
    chunk = b"IHDR" + header
    return content[:12] + chunk + struct.pack(">I", zlib.crc32(chunk)) + content[33:]


def palette_with_hole() -> bytes:
    image = rgb().quantize(8)
    return encoded(image, transparency=image.getpixel((0, 0)))


def animated() -> bytes:
    frames = [rgb(), Image.new("RGB", (SIDE, SIDE), "black")]
    return encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])


def broken_exif() -> bytes:
    return encoded(rgb(), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\x01\x12")


def noise() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8))


def flipped(content: bytes) -> bytes:
    """One bit flipped in the middle."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 4]) + content[middle + 1 :]


def sixteen_bit(form: str = "PNG") -> bytes:
    return encoded(Image.fromarray(gradient()[:, :, 0].astype(np.uint16) * 257), form)


def floats(values: np.ndarray) -> bytes:
    return encoded(Image.fromarray(values.astype(np.float32)), "TIFF")


RAMP = gradient()[:, :, 0].astype(float)
READABLE: dict[str, tuple[bytes, str]] = {  # content; what the red channel is
    "rgb.png": (encoded(rgb()), "ramp"),
    "rgb.jpg": (encoded(rgb(), "JPEG", quality=95), "about"),
    "rgb.webp": (encoded(rgb(), "WEBP", lossless=True), "ramp"),
    "rgb.bmp": (encoded(rgb(), "BMP"), "ramp"),
    "grey.png": (encoded(grey()), "ramp"),
    "la.png": (encoded(Image.merge("LA", [grey(), Image.new("L", (SIDE, SIDE), 128)])), "half"),
    "rgba.png": (encoded(rgba()), "half"),
    "cmyk.jpg": (encoded(rgb().convert("CMYK"), "JPEG", quality=95), "about"),
    "cmyk.tif": (encoded(rgb().convert("CMYK"), "TIFF"), "ramp"),
    "palette.png": (encoded(grey().convert("P")), "ramp"),
    "one-bit.png": (encoded(grey().point(lambda v: 255 * (v >= 120)).convert("1")), "step"),
    "sixteen.png": (sixteen_bit(), "ramp"),
    "sixteen.tif": (sixteen_bit("TIFF"), "ramp"),
    "thirty-two.tif": (encoded(Image.fromarray(RAMP.astype(np.int32) * 257), "TIFF"), "ramp"),
    "float-1.tif": (floats(RAMP / 255), "ramp"),
    "float-255.tif": (floats(RAMP), "ramp"),
    "float-signed.tif": (floats(RAMP / 127.5 - 1), "ramp"),
    "float-large.tif": (floats(RAMP * 1e6 - 1e6), "stretched"),
    "animated.gif": (animated(), "about"),
    "broken-exif.jpg": (broken_exif(), "about"),
    "photo.png.jpg": (encoded(rgb()), "ramp"),  # wrong extension
    "no extension": (encoded(rgb()), "ramp"),
    "odd \N{SNOWMAN}\nname.png": (encoded(rgb()), "ramp"),
    "icon.ico": (encoded(rgb(), "ICO", sizes=[(16, 16), (SIDE, SIDE)]), "ramp"),
    "no-end.jpg": (encoded(rgb(), "JPEG", quality=95)[:-2], "about"),
    "half-end.jpg": (encoded(rgb(), "JPEG", quality=95, progressive=True)[:-1], "about"),
    **{f"exif-{k}.png": (exif(k), "ramp") for k in range(1, 9)},
}
UNREADABLE: dict[str, tuple[bytes, str]] = {  # content; what the reason says
    "truncated.png": (encoded(noise())[:-600], "damaged"),
    "truncated.jpg": (encoded(noise(), "JPEG")[:-300], "damaged"),
    "cut-4.jpg": (encoded(noise(), "JPEG")[:-4], "damaged"),
    "cut-header.jpg": (encoded(noise(), "JPEG")[:100], "damaged"),
    "flipped.png": (flipped(encoded(noise())), "damaged"),
    "zero.png": (b"", "empty file"),
    "text.jpg": (b"this is no picture\n", "not a picture"),
    "page.png": (b"<!DOCTYPE html><html></html>", "not a picture"),
    "drawing.svg": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "not a picture"),
    "script.eps": (encoded(rgb(), "EPS"), "not a picture"),
    "bomb.png": (bomb(), "pixels"),
    "nan.tif": (floats(np.where(RAMP > 100, np.nan, 0.5)), "NaN"),
    "header.png": (encoded(rgb())[:20], "damaged"),
}
