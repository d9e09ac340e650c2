"""What a source is: items in a fixed order, each with a name, a class and its content."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sagan.config import READING_RULES
from sagan.data.dataset import LeftOut

Content = bytes | NDArray[np.uint8]


@dataclass(frozen=True)
class Item:
    """A picture that is not read yet."""

    name: str  # unique in its source
    class_name: str | None
    read: Callable[[], Content]  # gives a file's bytes, or uint8 `h w c`


@dataclass(frozen=True)
class Source:
    """A place that images come from."""

    kind: str  # folder, zip, ...
    stamp: str  # changes with the source
    items: Callable[[], Iterator[Item]]  # in the same order each time
    class_names: tuple[str, ...] | None  # in label order; () without classes; None until read
    length: int | None  # None until read
    left_out: tuple[LeftOut, ...] = ()
    rules: int = READING_RULES  # by which it was opened and is to be read
    test: "Source | None" = None  # pictures that are kept for testing
    may_lack_classes: bool = False  # some of class_names have no picture, as on a testing side


def stamp_of(facts: Iterable[tuple[Any, ...]]) -> str:
    """Hash what changes with a source: names, sizes, times."""
    digest = hashlib.sha256()
    for fact in facts:
        digest.update(repr(fact).encode("utf-8", "backslashreplace") + b"\n")
    return digest.hexdigest()
