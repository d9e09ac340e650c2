"""Reads other programs' `.pth` files: tensors and plain values, never code.

Only this file calls `torch.load`, always with `weights_only=True`. Memory is bounded by the size of
the file.
"""

import os
import re
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

_MAX_PICKLE_BYTES = 64 << 20  # names and shapes; the largest peers' have some 100 KB
_MAX_ENTRIES = 100_000
_SLACK_BYTES = 1 << 20  # that small tensors in a small file may take beyond its size


class _Ignored:
    """Stands in for NumPy numbers: training scripts save scores as such."""

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, _: object) -> None:
        pass


_NUMBERS: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    (_Ignored, name)
    for name in ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar", "numpy.dtype")
]


def read_pth(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a `.pth` file's dictionary: CPU tensors, numbers, strings and containers of them."""
    # PyTorch's zip format and the stream used before 2020; NumPy numbers are ignored. A one-line
    # ValueError for anything else, for damage, and for more memory than the file's size.
    path = Path(path)
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if zipfile.is_zipfile(file):
            _check_zip(path, size)
        file.seek(0)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # deprecated storages are fine
                with torch.serialization.safe_globals(_NUMBERS):
                    content = torch.load(file, map_location="cpu", weights_only=True)
        except MemoryError:
            raise
        except Exception as error:  # whatever a bad file provokes
            raise ValueError(f"{path} {_reason(str(error))}") from None
    if not isinstance(content, Mapping) or not all(isinstance(key, str) for key in content):
        raise ValueError(f"{path} holds a {type(content).__name__}, not a dictionary of weights")
    claimed = sum(tensor.numel() * tensor.element_size() for tensor in _tensors(content))
    if claimed > 2 * size + _SLACK_BYTES:  # twice: a tensor may have two names
        raise ValueError(f"{path} claims {claimed:,} bytes of weights in a file of {size:,}")
    return dict(content)


def _check_zip(path: Path, size: int) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except zipfile.BadZipFile:
        raise ValueError(f"{path} is not a PyTorch checkpoint, or it is damaged") from None
    if len(entries) > _MAX_ENTRIES or sum(entry.file_size for entry in entries) > size:
        raise ValueError(f"{path} claims more than its {size:,} bytes: not a checkpoint")
    if any(e.file_size > _MAX_PICKLE_BYTES for e in entries if e.filename.endswith(".pkl")):
        raise ValueError(f"{path} holds an object of over {_MAX_PICKLE_BYTES >> 20} MB")


def _reason(message: str) -> str:
    foreign = re.search(r"GLOBAL ([\w.]+)", message) or re.search(r"[Cc]lass ([\w.]+)", message)
    if foreign:
        return f"holds {foreign[1]}, which is code or an object: only weights are read from files"
    return "is not a PyTorch checkpoint, or it is damaged"


def _tensors(value: Any) -> Iterator[Tensor]:
    """Yield every tensor in nested containers, however deep, even if they contain themselves."""
    left, seen = [value], set()
    while left:
        value = left.pop()
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, Mapping | list | tuple) and id(value) not in seen:
            seen.add(id(value))
            left.extend(value.values() if isinstance(value, Mapping) else value)
