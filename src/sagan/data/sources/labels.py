"""Which files of a folder or archive are pictures, and of which class."""

import posixpath
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from sagan.data.dataset import LeftOut
from sagan.data.decode import ENDINGS, is_picture
from sagan.data.sources.source import Item, Source
from sagan.files import parse_json
from sagan.text import listed, shown

_LABELS_FILE = "dataset.json"
_IGNORED = ("__MACOSX", "Thumbs.db", "desktop.ini")  # and names that begin with a dot
_TRAIN = ("train", "training")
_TEST = ("val", "valid", "validation", "test", "testing")


@dataclass(frozen=True)
class File:
    """A regular file of a folder or an archive, under its relative posix name."""

    name: str
    read: Callable[[], bytes]


@dataclass(frozen=True)
class Arrangement:
    """The class of each picture file, in order; without classes there are no class names."""

    class_of: dict[str, str | None]
    class_names: tuple[str, ...]
    left_out: tuple[LeftOut, ...] = ()
    test_of: dict[str, str | None] | None = None  # the same for pictures kept for testing
    test_folders: tuple[str, ...] = ()  # where those are

    def source(
        self, kind: str, stamp: str, items: Callable[[dict[str, str | None]], Iterator[Item]]
    ) -> Source:
        """Make a source, given how to read pictures of known classes."""
        test = None
        if self.test_of is not None:
            test = Source(
                f"{kind}, {listed(self.test_folders)}",
                stamp,
                partial(items, self.test_of),
                self.class_names,
                len(self.test_of),
                may_lack_classes=True,
            )
        return Source(
            kind,
            stamp,
            partial(items, self.class_of),
            self.class_names,
            len(self.class_of),
            self.left_out,
            test=test,
        )


def is_ignored(name: str) -> bool:
    """Whether a relative name is hidden, or left behind by an operating system.

    Example:
        >>> is_ignored("cat/.DS_Store"), is_ignored("cat/1.png")
        (True, False)
    """
    return any(part[0] == "." or part in _IGNORED for part in PurePosixPath(name).parts)


def arrange(
    files: Sequence[File], folders: Iterable[str], left_out: Iterable[LeftOut], rules: int
) -> Arrangement:
    """Find the class of each file, from its folder or `dataset.json`, and the testing side."""
    # `folders` are all sub-folders, to find empty ones; `left_out` is what the source already left
    # out.
    skipped = list(left_out)
    if not any(file.name != _LABELS_FILE for file in files):
        reasons = f"; left out: {listed([f'{n} ({why})' for n, why in skipped])}" if skipped else ""
        raise ValueError(f"it holds no pictures{reasons}")
    if rules > 1:
        barren = _barren(files, folders, skipped)
        folders = set(folders) - barren.keys()
        outermost = (f for f in sorted(barren) if not _around([f]) & barren.keys())
        skipped += [(folder, barren[folder]) for folder in outermost]
    base, train, tests = _sides(files, rules) if rules > 1 else ("", "", ())
    if not train:
        return _arrange_side(files, folders, skipped, rules)
    parts = tuple(base + top for top in (train, *tests))
    others = [*(f.name for f in files), *(f for f in folders if not base.startswith(f"{f}/"))]
    skipped += [(name, f"beside {train}") for name in others if not f"{name}/".startswith(parts)]
    side = _arrange_part(files, folders, base + train, rules)
    skipped += side.left_out
    test_of: dict[str, str | None] = {}
    for top in tests:
        part = _arrange_part(files, folders, base + top, rules)
        skipped += part.left_out
        if bool(part.class_names) != bool(side.class_names):
            skipped.append((base + top, f"its classes are not those of {train}"))
            continue
        for name in sorted(set(part.class_names) - set(side.class_names)):
            skipped.append((base + top + name, f"{train} has no such class"))
        known = (None, *side.class_names)
        test_of |= {file: name for file, name in part.class_of.items() if name in known}
    return Arrangement(side.class_of, side.class_names, tuple(skipped), test_of or None, tests)


def _barren(
    files: Sequence[File], folders: Iterable[str], left_out: Iterable[LeftOut]
) -> dict[str, str]:
    """Find empty folders that are not meant as classes, and say why they are left out."""
    empty = set(folders) - _around(file.name for file in files)
    endings = {f".{ending}" for known in ENDINGS.values() for ending in known.split()}
    odd = {name for name in empty if PurePosixPath(name).suffix.lower() in endings}
    holders = empty & _around([*odd, *(name for name, _ in left_out)])
    return {
        **dict.fromkeys(odd, "an empty folder named like a picture"),
        **dict.fromkeys(holders, "a folder with nothing readable in it"),
    }


def _around(names: Iterable[str]) -> set[str]:
    """List the folders around files and folders."""
    own = {name.rpartition("/")[0] for name in names}
    return {str(up) for name in own for up in (name, *PurePosixPath(name).parents)}


def _sides(files: Sequence[File], rules: int) -> tuple[str, str, tuple[str, ...]]:
    """The folder around a split, its training side and the others; all empty without a split."""
    # a split is train/ beside val/, test/ or the like, and nothing else
    nothing = "", "", ()
    inside = [file.name for file in files if "/" in file.name]
    if not inside or any(file.name == _LABELS_FILE for file in files):
        return nothing
    around = posixpath.commonpath([name.rpartition("/")[0] for name in inside])
    base = f"{around}/" if around else ""
    split = (name.removeprefix(base).partition("/") for name in inside)
    folders = sorted({top for top, slash, _ in split if slash})
    train = [top for top in folders if top.casefold() in _TRAIN]
    tests = [top for top in folders if top.casefold() in _TEST]
    beside = [f for f in files if not f.name.startswith(tuple(f"{base}{top}/" for top in folders))]
    if len(train) != 1 or not tests or len(folders) != 1 + len(tests):
        return nothing
    if any(_is_readable_picture(file, rules) for file in beside):
        return nothing
    return base, f"{train[0]}/", tuple(f"{top}/" for top in tests)


def _arrange_part(
    files: Sequence[File], folders: Iterable[str], top: str, rules: int
) -> Arrangement:
    """Arrange the content of one folder, under its full names."""
    part = _arrange_side(
        [File(f.name.removeprefix(top), f.read) for f in files if f.name.startswith(top)],
        [name.removeprefix(top) for name in folders if name.startswith(top)],
        [],
        rules,
        top,
    )
    return Arrangement(
        {top + name: class_name for name, class_name in part.class_of.items()},
        part.class_names,
        tuple((top + name, reason) for name, reason in part.left_out),
    )


def _arrange_side(
    files: Sequence[File],
    folders: Iterable[str],
    skipped: list[LeftOut],
    rules: int,
    top: str = "",  # the folder that names are relative to, for messages
) -> Arrangement:
    labels = next((file for file in files if file.name == _LABELS_FILE), None)
    files = [file for file in files if file.name != _LABELS_FILE]
    unlabelled: dict[str, str | None] = {file.name: None for file in files}
    if labels is not None:
        classes = _labels_of_json(labels.read(), list(unlabelled))
        if classes is None:
            return Arrangement(unlabelled, (), tuple(skipped))
        return Arrangement(classes, number_names(set(classes.values())), tuple(skipped))
    nested = [file for file in files if "/" in file.name]
    names = sorted({file.name.rpartition("/")[0] for file in nested})
    empty = sorted(top + name for name in set(folders) - _around(unlabelled))
    if empty:
        raise ValueError(
            f"no picture in the class folder{'s' * (len(empty) > 1)} {listed(empty)}; "
            "fill or remove"
        )
    if not nested:
        return Arrangement(unlabelled, (), tuple(skipped))
    for file in files:
        if "/" not in file.name:
            if _is_readable_picture(file, rules):
                raise ValueError(
                    f"pictures lie both in sub-folders and beside them ({shown(top + file.name)}); "
                    "put each into the sub-folder of its class, or all into one folder"
                )
            skipped.append((file.name, "not a picture, beside the class folders"))
    class_of: dict[str, str | None] = {f.name: f.name.rpartition("/")[0] for f in nested}
    check_class_names(names)
    return Arrangement(class_of, tuple(names), tuple(skipped))


def _is_readable_picture(file: File, rules: int) -> bool:
    try:
        return is_picture(file.read(), rules)
    except Exception:  # it will be listed as unreadable
        return False


def check_class_names(names: Iterable[str]) -> None:
    """Refuse classes that differ only in case or in Unicode encoding."""
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
    """Sort class names, as numbers if all are.

    Example:
        >>> number_names({"10", "9"}), number_names({"b", "a"})
        (('9', '10'), ('a', 'b'))
    """
    found = sorted(name for name in names if name is not None)
    return tuple(sorted(found, key=int) if all(n.isdecimal() for n in found) else found)


def _labels_of_json(content: bytes, files: Sequence[str]) -> dict[str, str | None] | None:
    """Read StyleGAN's `{"labels": [[file, label], ...]}`; labels may be null."""
    try:
        pairs = parse_json(content)["labels"]
        labels = None if pairs is None else {str(name): label for name, label in pairs}
    except (ValueError, KeyError, TypeError):
        raise ValueError(
            f'{_LABELS_FILE} is not StyleGAN\'s: {{"labels": [[file, label], ...]}} or null'
        ) from None
    if labels is None:
        return None
    missing = [name for name in files if name not in labels]
    if missing:
        raise ValueError(
            f"{len(missing)} of {len(files)} pictures have no label in {_LABELS_FILE}: "
            f"{listed(missing)}; label all, or set labels to null"
        )
    absent = sorted(set(labels) - set(files))
    if absent:
        raise ValueError(f"{_LABELS_FILE} labels files that do not exist: {listed(absent)}")
    return {name: label_name(labels[name]) for name in files}


def label_name(label: Any) -> str:
    """Make a class name from a number or a text.

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
