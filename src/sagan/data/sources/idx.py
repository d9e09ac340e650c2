"""IDX files, as MNIST, Fashion-MNIST and EMNIST come: uint8 images and labels, maybe gzipped.

A file is two zero bytes, a type, the number of dimensions, each dimension as big-endian 32 bits,
and the values. Dimensions: i images, h w the image's sides, c channels.
"""

import gzip
import math
import re
import struct
import zlib
from dataclasses import replace
from io import BufferedReader
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sagan.data.sources.arrays import array_source
from sagan.data.sources.folder import file_stamp
from sagan.data.sources.labels import is_ignored
from sagan.data.sources.source import Source, stamp_of
from sagan.text import listed

_UINT8 = 8
_TYPES = (_UINT8, 9, 11, 12, 13, 14)  # int8, int16, int32, float32, float64: no images are of these
_GZIP = b"\x1f\x8b"
_IMAGES = re.compile(r"(.*)images([-.])idx[34]-ubyte(\.gz)?", re.IGNORECASE)
_TEST = re.compile(r"(?<![a-z])(t10k|test)", re.IGNORECASE)
_CHUNK_BYTES = 2**20


class _Set(NamedTuple):
    images: Path
    labels: Path | None


def is_idx(path: Path) -> bool:
    """Whether a file begins as an IDX file."""
    try:
        with _open(path) as file:
            head = file.read(4)
    except (OSError, EOFError, zlib.error):
        return False
    return len(head) == 4 and head[:2] == b"\0\0" and head[2] in _TYPES and 1 <= head[3] <= 4


def image_files(folder: Path) -> list[Path]:
    """Find a folder's IDX files of images by name, each once: unpacked rather than gzipped."""
    found = sorted(p for p in folder.iterdir() if _IMAGES.fullmatch(p.name) and p.is_file())
    return [path for path in found if path.suffix != ".gz" or path.with_suffix("") not in found]


def open_idx(path: Path) -> Source:
    """Open one IDX file of images, with the labels found beside it by name."""
    return _source(_Set(path, _labels_of(path)))


def open_idx_folder(folder: Path, images: list[Path]) -> Source:
    """Open the training images of a folder, and those for testing (t10k or test) if any."""
    sets = [_Set(path, _labels_of(path)) for path in images]
    tests = [s for s in sets if _TEST.search(s.images.name)]
    trains = [s for s in sets if s not in tests] or tests
    if len(trains) > 1 or len(tests) > 1:
        files = listed([path.name for path in images])
        raise ValueError(f"there are several sets of IDX images; name the file of one: {files}")
    source = _source(trains[0])
    used = {p.name.removesuffix(".gz") for s in sets for p in s if p is not None}
    there = (p.name for p in folder.iterdir() if p.name.removesuffix(".gz") not in used)
    others = sorted(name for name in there if not is_ignored(name))
    source = replace(source, left_out=tuple((name, "beside the IDX files") for name in others))
    if not tests or tests == trains:
        return source
    test = _source(tests[0])
    if bool(test.class_names) != bool(source.class_names):
        without = tests[0] if source.class_names else trains[0]
        raise ValueError(f"the labels of {without.images.name} are missing; put them beside it")
    unknown = sorted(set(test.class_names or ()) - set(source.class_names or ()))
    if unknown:
        raise ValueError(f"no training image is of the class {listed(unknown)} of the test labels")
    kind = f"IDX, {tests[0].images.name}"
    names = source.class_names
    return replace(source, test=replace(test, kind=kind, class_names=names, may_lack_classes=True))


def _labels_of(images: Path) -> Path | None:
    """Find `train-labels-idx1-ubyte` beside `train-images-idx3-ubyte`; either may be gzipped."""
    name = _IMAGES.fullmatch(images.name)
    if name is None:
        return None
    stem, separator, _ = name.groups()
    same_case = "LABELS" if "IMAGES" in images.name else "labels"
    base = f"{stem}{same_case}{separator}idx1-ubyte"
    found = (images.with_name(base + ending) for ending in ("", ".gz"))
    return next((path for path in found if path.is_file()), None)


def _source(files: _Set) -> Source:
    images = _read(files.images, (3, 4), "images (n h w, or n h w c)")
    labels = None if files.labels is None else _read(files.labels, (1,), "labels (n)")
    stamp = stamp_of((path.name, *file_stamp(path)) for path in files if path is not None)
    return array_source(images, labels, (), "IDX", stamp)


def _open(path: Path) -> gzip.GzipFile | BufferedReader:
    with open(path, "rb") as file:
        is_gzip = file.read(2) == _GZIP
    return gzip.open(path) if is_gzip else open(path, "rb")


def _read(path: Path, dimensions: tuple[int, ...], what: str) -> NDArray[np.uint8]:
    """Read an array, its size checked against what the file holds before memory is taken."""
    try:
        with _open(path) as file:
            head = file.read(4)
            if len(head) < 4 or head[:2] != b"\0\0" or head[3] not in dimensions:
                raise ValueError(f"{path.name} does not hold {what}")
            if head[2] != _UINT8:
                raise ValueError(f"{path.name} holds values of type 0x{head[2]:02x}, not of uint8")
            sizes = file.read(4 * head[3])
            if len(sizes) < 4 * head[3]:
                raise ValueError(f"{path.name} is cut short")
            shape = struct.unpack(f">{head[3]}I", sizes)
            start, claimed = file.tell(), math.prod(shape)
            held = _bytes_left(file, path, claimed)
            if held != claimed:
                is_short = held < claimed
                raise ValueError(
                    f"{path.name} is {'cut short' if is_short else 'damaged'}: its header says "
                    f"{claimed:,} values, and it holds {f'{held:,}' if is_short else 'more'}"
                )
            if not isinstance(file, gzip.GzipFile) and claimed:
                return np.memmap(path, np.uint8, "r", start, shape)
            file.seek(start)
            return np.frombuffer(file.read(claimed), np.uint8).reshape(shape)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path.name} is damaged or cut short: {error}") from None


def _bytes_left(file: gzip.GzipFile | BufferedReader, path: Path, claimed: int) -> int:
    """Count the bytes after the header, stopping soon after more than are claimed."""
    if not isinstance(file, gzip.GzipFile):
        return path.stat().st_size - file.tell()
    count = 0  # gzip does not tell its size, so it is unpacked twice
    while count <= claimed and (part := file.read(_CHUNK_BYTES)):
        count += len(part)
    return count
