"""NumPy files: `.npy`, and `.npz` with or without labels. Nothing is unpickled.

Dimensions: i images, c channels, h w the image's sides.
"""

import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sagan.data.decode import Unreadable, scale, value_range
from sagan.data.sources.folder import file_stamp
from sagan.data.sources.labels import label_name, number_names
from sagan.data.sources.source import Item, Source, stamp_of
from sagan.text import listed

_IMAGE_KEYS = ("images", "x", "x_train", "data", "arr_0")
_LABEL_KEYS = ("labels", "y", "y_train", "label")
_NAME_KEYS = ("class_names", "classes")
_HEADER_ERRORS = (SyntaxError, TypeError, RecursionError, tokenize.TokenError)  # it is Python
_ERRORS = (*_HEADER_ERRORS, ValueError, OSError, EOFError, MemoryError, OverflowError)
_AT_ONCE = 1024  # images, in the search for the smallest and largest value


def open_npy(path: Path) -> Source:
    """Open one array of images."""
    try:
        images = np.load(path, mmap_mode="r", allow_pickle=False)
    except _ERRORS as error:
        raise ValueError(_damaged(error)) from None
    return array_source(images, None, (), "npy", stamp_of([(path.name, *file_stamp(path))]))


def open_npz(path: Path) -> Source:
    """Open an array of images (`images`, `x`, `x_train`, ... or the only one) and any labels."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            _check_sizes(path)
            found = {key: arrays[key] for key in arrays.files}
    except (*_ERRORS, KeyError, zipfile.BadZipFile, NotImplementedError, zlib.error) as error:
        raise ValueError(_damaged(error)) from None
    lower = {key.lower(): array for key, array in found.items()}
    images = next((lower[key] for key in _IMAGE_KEYS if key in lower), None)
    if images is None and len(found) == 1:
        images = next(iter(found.values()))
    if images is None:
        raise ValueError(
            f"which array holds the images? name it images; it has {listed(sorted(found))}"
        )
    labels = next((lower[key] for key in _LABEL_KEYS if key in lower), None)
    names = next((lower[key] for key in _NAME_KEYS if key in lower), np.array([], str))
    stamp = stamp_of([(path.name, *file_stamp(path))])
    return array_source(images, labels, tuple(str(name) for name in names), "npz", stamp)


def _damaged(error: Exception) -> str:
    if "pickle" in str(error).lower() or "Python objects" in str(error):
        return "it holds Python objects, which could run code; save plain numbers"
    return f"the NumPy file is damaged: {error}"


def _check_sizes(path: Path) -> None:
    """Refuse a header that claims more than the file holds, before memory is allocated."""
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            with archive.open(info) as file:
                version = np.lib.format.read_magic(file)
                read = (
                    np.lib.format.read_array_header_1_0
                    if version == (1, 0)
                    else np.lib.format.read_array_header_2_0
                )
                shape, _, dtype = read(file)
            if dtype.itemsize * int(np.prod(shape, dtype=object)) > info.file_size:
                raise ValueError(f"{info.filename} is shorter than its header says")


def array_source(
    images: NDArray[Any],  # `i h w`, `i h w c` or `i c h w`, of any kind of number
    labels: NDArray[Any] | None,  # `i` numbers from 0, or names
    names: tuple[str, ...],  # of the classes when labels are numbers; may be empty
    kind: str,
    stamp: str,
) -> Source:
    """Make a source of arrays."""
    channels_first = _channels_first(images)
    classes = _classes(labels, names, len(images))
    as_uint8 = _scaling(images)

    def row(index: int) -> NDArray[np.uint8]:
        values = np.asarray(images[index])
        return as_uint8(values.transpose(1, 2, 0) if channels_first else values)

    def items() -> Iterator[Item]:
        for index in range(len(images)):
            name = None if classes is None else classes[index]
            yield Item(f"#{index}", name, partial(row, index))

    found: tuple[str, ...] = ()
    if classes is not None:
        found = names or number_names(set(classes))
        empty = sorted(set(found) - set(classes))
        if empty:
            raise ValueError(f"no picture of the class {listed(empty)}")
    return Source(kind, stamp, items, found, len(images))


def _channels_first(images: NDArray[Any]) -> bool:
    shape = images.shape
    if images.dtype.kind not in "buif" or images.ndim not in (3, 4) or 0 in shape:
        raise ValueError(
            f"an array of {images.dtype} with shape {shape} holds no images: expected numbers of "
            "shape (n, h, w), (n, h, w, c) or (n, c, h, w)"
        )
    if images.ndim == 3:
        return False
    first, last = shape[1] in (1, 2, 3, 4), shape[3] in (1, 2, 3, 4)
    if first and last:  # take the axes that make the images square
        first, last = shape[2] == shape[3], shape[1] == shape[2]
    if first == last:
        why = "both (n, h, w, c) and (n, c, h, w) fit" if first else "no axis of 1 to 4 channels"
        raise ValueError(f"an array of shape {shape} cannot be read as images: {why}")
    return first


def _classes(labels: NDArray[Any] | None, names: tuple[str, ...], length: int) -> list[str] | None:
    if labels is None:
        if names:
            raise ValueError("it has class names but no labels; add an array named labels")
        return None
    if labels.shape not in ((length,), (length, 1)):
        raise ValueError(f"labels of shape {labels.shape} do not fit {length} images")
    found = [label_name(label) for label in labels.reshape(length)]
    if not names:
        return found
    if labels.dtype.kind not in "iu":
        if unknown := sorted(set(found) - set(names)):
            raise ValueError(f"the label {unknown[0]} is not among its {len(names)} class names")
        return found
    largest = int(labels.max())
    if largest >= len(names):
        raise ValueError(f"label {largest} is out of range: there are {len(names)} class names")
    if len(set(names)) != len(names):
        raise ValueError("a class name occurs twice")
    return [names[int(label)] for label in found]


def _scaling(images: NDArray[Any]) -> Callable[[NDArray[Any]], NDArray[np.uint8]]:
    """Choose one scaling for the whole array, so that images keep their relative brightness."""
    low, high = np.inf, -np.inf
    if images.dtype.name not in ("bool", "uint8", "uint16"):
        for start in range(0, len(images), _AT_ONCE):
            part = images[start : start + _AT_ONCE]
            finite = part[np.isfinite(part)]
            if finite.size:
                low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    if low > high:
        low, high = 0.0, 1.0
    black, white = value_range(images.dtype, low, high)

    def as_uint8(values: NDArray[Any]) -> NDArray[np.uint8]:
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise Unreadable("it holds NaN or infinite values")
        return scale(values, black, white)

    return as_uint8
