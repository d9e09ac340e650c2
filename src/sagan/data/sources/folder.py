"""A folder of pictures, flat or with a sub-folder per class."""

import os
import stat
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from sagan.data.dataset import LeftOut
from sagan.data.decode import MOST_BYTES
from sagan.data.sources.labels import File, arrange, is_ignored
from sagan.data.sources.source import Item, Source, stamp_of

_SPECIAL = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISCHR, "a device"),
)


def open_folder(path: Path, rules: int) -> Source:
    """Find the pictures of a folder."""
    # Links to files within the folder are followed; links that leave it, links to folders, pipes
    # and devices are left out and never opened.
    root = path.resolve()
    names, folders, left_out = _walk(root)
    files = [File(name, partial(read_file, root / name)) for name in names]
    arranged = arrange(files, folders, left_out, rules)

    def items(class_of: dict[str, str | None]) -> Iterator[Item]:
        for name, class_name in class_of.items():
            yield Item(name, class_name, partial(read_file, root / name))

    stamp = stamp_of((name, *file_stamp(root / name)) for name in names)
    return arranged.source("folder", stamp, items)


def file_stamp(path: Path) -> tuple[int, int, int]:
    """Size, modification time and ctime."""
    # ctime shows an edit that reset the modification time; on Windows it shows nothing
    facts = path.stat()
    return facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns


def read_file(path: Path) -> bytes:
    """Read a file of at most `MOST_BYTES`."""
    with open(path, "rb") as file:
        if os.fstat(file.fileno()).st_size > MOST_BYTES:
            raise ValueError(f"larger than {MOST_BYTES:,} bytes")
        return file.read()


def _walk(root: Path) -> tuple[list[str], list[str], list[LeftOut]]:
    """List regular files, folders, and the rest with the reason to leave it out; all sorted."""
    names: list[str] = []
    folders: list[str] = []
    left_out: list[LeftOut] = []
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        with os.scandir(root / folder) as entries:
            found = list(entries)
        for entry in found:
            name = f"{folder}/{entry.name}" if folder else entry.name
            if is_ignored(entry.name):
                continue
            if entry.is_dir(follow_symlinks=False):
                folders.append(name)
                waiting.append(name)
                continue
            reason = _why_not(root, entry)
            if reason is None:
                names.append(name)
            else:
                left_out.append((name, reason))
    return sorted(names), sorted(folders), sorted(left_out)


def _why_not(root: Path, entry: "os.DirEntry[str]") -> str | None:
    """Say why an entry is left out; None for a file, or a link to one within the folder."""
    if entry.is_file(follow_symlinks=False):
        return None
    path = Path(entry.path)
    if not entry.is_symlink():
        mode = path.lstat().st_mode
        return next((reason for test, reason in _SPECIAL if test(mode)), "not a regular file")
    try:
        target = path.resolve(strict=True)
    except (OSError, RuntimeError):  # RuntimeError: a loop, before Python 3.13
        return "a link that leads nowhere"
    if not target.is_relative_to(root):
        return "a link out of the folder"
    if target.is_dir():
        return "a link to a folder"
    return None if target.is_file() else "a link to something that is not a regular file"
