"""What a source is: items in a fixed order, each with a name, a class and its content.

And the arrangement that folders and archives share: which files are pictures, and of which class.
"""

import hashlib
import json
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sagan.data.dataset import LeftOut
from sagan.data.decode import is_picture
from sagan.text import listed, shown

LABELS_FILE = "dataset.json"
_IGNORED = ("__MACOSX", "Thumbs.db", "desktop.ini")  # and names that begin with a dot

Content = bytes | NDArray[np.uint8]


@dataclass(frozen=True)
class Item:
    """One picture, not read yet.

    Args:
        name: unique in its source.
        class_name: or None without classes.
        read: gives a file's bytes, or uint8 `h w c`.
    """

    name: str
    class_name: str | None
    read: Callable[[], Content]


@dataclass(frozen=True)
class Source:
    """A place that images come from.

    Args:
        kind: folder, zip, ...
        stamp: another one when the source has changed.
        items: gives all items, in the same order each time.
        class_names: in label order; empty without classes; None when only reading tells.
        length: how many items, where known before reading.
        left_out: what is no item, with the reason.
    """

    kind: str
    stamp: str
    items: Callable[[], Iterator[Item]]
    class_names: tuple[str, ...] | None
    length: int | None
    left_out: tuple[LeftOut, ...] = ()


@dataclass(frozen=True)
class File:
    """A regular file of a folder or an archive, under its relative posix name."""

    name: str
    read: Callable[[], bytes]


@dataclass(frozen=True)
class Arrangement:
    """The class of each picture file, in order; no class names without classes."""

    class_of: dict[str, str | None]
    class_names: tuple[str, ...]
    left_out: tuple[LeftOut, ...]


def is_ignored(name: str) -> bool:
    """Whether a relative name is hidden, or what a system leaves behind.

    Example:
        >>> is_ignored("cat/.DS_Store"), is_ignored("cat/1.png")
        (True, False)
    """
    return any(part[0] == "." or part in _IGNORED for part in PurePosixPath(name).parts)


def arrange(
    files: Sequence[File], folders: Iterable[str], left_out: Iterable[LeftOut]
) -> Arrangement:
    """Tell a flat source from one with a sub-folder per class, or with a `dataset.json`.

    Args:
        files: in their order.
        folders: relative names of all sub-folders, to find the empty ones.
        left_out: what the source left out already.

    Returns:
        An `Arrangement`.

    Raises:
        ValueError: there are no pictures, a class is empty, two differ in case only, pictures lie
            both beside and in sub-folders, or labels are partial.
    """
    skipped = list(left_out)
    labels = next((file for file in files if file.name == LABELS_FILE), None)
    files = [file for file in files if file.name != LABELS_FILE]
    if not files:
        reasons = f"; left out: {listed([f'{n} ({why})' for n, why in skipped])}" if skipped else ""
        raise ValueError(f"there is no picture in it{reasons}")
    if labels is not None:
        classes = _labels_of_json(labels.read(), [file.name for file in files])
        if classes is not None:
            return Arrangement(classes, number_names(set(classes.values())), tuple(skipped))
        return Arrangement({file.name: None for file in files}, (), tuple(skipped))
    nested = [file for file in files if "/" in file.name]
    if not nested:
        empty = sorted(set(folders))
        if empty:
            raise ValueError(_empty_classes(empty))
        return Arrangement({file.name: None for file in files}, (), tuple(skipped))
    for file in files:
        if "/" not in file.name:
            if _is_readable_picture(file):
                raise ValueError(
                    f"pictures lie both in sub-folders and beside them ({shown(file.name)}); "
                    "put each into the sub-folder of its class, or all into one folder"
                )
            skipped.append((file.name, "not a picture, beside the class folders"))
    class_of: dict[str, str | None] = {f.name: f.name.rpartition("/")[0] for f in nested}
    names = sorted({f.name.rpartition("/")[0] for f in nested})
    filled = {str(up) for name in names for up in (name, *PurePosixPath(name).parents)}
    empty = sorted(set(folders) - filled)
    if empty:
        raise ValueError(_empty_classes(empty))
    check_class_names(names)
    return Arrangement(class_of, tuple(names), tuple(skipped))


def _is_readable_picture(file: File) -> bool:
    try:
        return is_picture(file.read())
    except Exception:  # what cannot be read is listed later on
        return False


def _empty_classes(names: Sequence[str]) -> str:
    return f"no picture in the class folder{'s' * (len(names) > 1)} {listed(names)}; fill or remove"


def check_class_names(names: Iterable[str]) -> None:
    """Refuse classes that differ only in case, or in how their letters are encoded.

    Raises:
        ValueError: naming the two.
    """
    seen: dict[str, str] = {}
    for name in names:
        folded = unicodedata.normalize("NFC", name).casefold()
        if folded in seen:
            raise ValueError(
                f"classes {shown(seen[folded])!r} and {shown(name)!r} differ only in case or "
                "encoding; merge or rename one"
            )
        seen[folded] = name


def number_names(names: Iterable[str | None]) -> tuple[str, ...]:
    """Sort class names, as numbers where all are.

    Example:
        >>> number_names({"10", "9"}), number_names({"b", "a"})
        (('9', '10'), ('a', 'b'))
    """
    found = sorted(name for name in names if name is not None)
    return tuple(sorted(found, key=int) if all(n.isdecimal() for n in found) else found)


def _labels_of_json(content: bytes, files: Sequence[str]) -> dict[str, str | None] | None:
    """Read StyleGAN's `{"labels": [[file, label], ...]}`, or null for no labels."""
    try:
        pairs = json.loads(content)["labels"]
        labels = None if pairs is None else {str(name): label for name, label in pairs}
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ValueError(
            f'{LABELS_FILE} is not StyleGAN\'s: {{"labels": [[file, label], ...]}} or null'
        ) from None
    if labels is None:
        return None
    missing = [name for name in files if name not in labels]
    if missing:
        raise ValueError(
            f"{len(missing)} of {len(files)} pictures have no label in {LABELS_FILE}: "
            f"{listed(missing)}; label all, or set labels to null"
        )
    absent = sorted(set(labels) - set(files))
    if absent:
        raise ValueError(f"{LABELS_FILE} labels files that are not there: {listed(absent)}")
    return {name: label_name(labels[name]) for name in files}


def label_name(label: Any) -> str:
    """A class's name from a number or a text.

    Raises:
        ValueError: a label that is neither, or below 0.

    Example:
        >>> label_name(3), label_name("cat")
        ('3', 'cat')
    """
    if isinstance(label, np.generic):
        label = label.item()
    if isinstance(label, float) and label.is_integer():
        label = int(label)
    if isinstance(label, str) and label:
        return label
    if isinstance(label, int) and not isinstance(label, bool) and label >= 0:
        return str(label)
    raise ValueError(f"label {label!r} is out of range: labels are numbers from 0, or names")


def stamp_of(facts: Iterable[tuple[Any, ...]]) -> str:
    """Hash what changes with a source: names, sizes, times."""
    digest = hashlib.sha256()
    for fact in facts:
        digest.update(repr(fact).encode("utf-8", "backslashreplace") + b"\n")
    return digest.hexdigest()
