"""Zip and tar archives of what `folder` reads, and StyleGAN's zip.

Nothing is unpacked to the disk. A single folder around everything is removed from the names.
"""

import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from threading import Lock
from typing import NamedTuple

from sagan.data.dataset import LeftOut
from sagan.data.decode import MOST_BYTES
from sagan.data.sources.folder import file_stamp
from sagan.data.sources.labels import Arrangement, File, arrange, is_ignored
from sagan.data.sources.source import Item, Source, stamp_of

_MOST_AHEAD_BYTES = 2**26  # of a file that is read before its turn, or that has holes
_MOST_RATIO = 200  # of a large file to what is stored of it
_TAR_ERRORS = (tarfile.TarError, EOFError, zlib.error, OSError, ValueError)


class _Entry(NamedTuple):
    name: str  # as stored
    is_folder: bool
    why_not: str | None  # why it is left out


class _Arranged(NamedTuple):
    arrangement: Arrangement
    stored_name: dict[str, str]  # of each tidied name


def open_zip(path: Path, rules: int) -> Source:
    """Find the pictures of a zip archive."""
    try:
        archive = zipfile.ZipFile(path)
        found = [(_zip_entry(info), info) for info in archive.infolist()]
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise ValueError(f"the zip archive is damaged: {error}") from None
    # by name an archive gives the last entry, and the first one was looked at
    entry_of: dict[str, zipfile.ZipInfo] = {}
    for entry, info in found:
        if not entry.why_not:
            entry_of.setdefault(entry.name, info)
    entries = sorted((entry for entry, _ in found), key=lambda e: e.name)
    arranged = _arrange(entries, lambda stored: archive.read(entry_of[stored]), rules)

    # Since Python 3.12, opening an entry moves the shared file relative to where it stands: a
    # read at the same time takes other bytes, or fails.
    one_at_a_time = Lock()

    def read(stored: str) -> bytes:
        with one_at_a_time:
            return archive.read(entry_of[stored])

    def items(class_of: dict[str, str | None]) -> Iterator[Item]:
        for name, class_name in class_of.items():
            yield Item(name, class_name, partial(read, arranged.stored_name[name]))

    return arranged.arrangement.source("zip", _stamp(path), items)


def open_tar(path: Path, rules: int) -> Source:
    """Find the pictures of a tar archive, plain or compressed, in the archive's order."""
    with _open_tar(path) as archive:
        entries = [_tar_entry(info) for info in archive]
    arranged = _arrange(entries, partial(_read_from_tar, path), rules)
    tidied = {stored: name for name, stored in arranged.stored_name.items()}

    # in one pass: a compressed archive cannot be read in another order
    def items(class_of: dict[str, str | None]) -> Iterator[Item]:
        waiting = dict(class_of)
        with _open_tar(path) as archive:
            for info in archive:
                name = tidied.get(info.name)
                if name in waiting and _is_usable(info):
                    if info.size > _MOST_AHEAD_BYTES:  # many would not fit: read again in turn
                        read = partial(_read_from_tar, path, info.name)
                    else:
                        read = partial(bytes, _tar_content(archive, info))
                    yield Item(name, waiting.pop(name), read)

    return arranged.arrangement.source("tar", _stamp(path), items)


@contextmanager
def _open_tar(path: Path) -> Iterator[tarfile.TarFile]:
    """Open a tar archive; damage found while it is read becomes a ValueError of one line."""
    try:
        with tarfile.open(path) as archive:
            yield archive
    except _TAR_ERRORS as error:
        raise ValueError(f"the tar archive is damaged or cut short: {error}") from None


def _read_from_tar(path: Path, stored: str) -> bytes:
    with _open_tar(path) as archive:
        found = (info for info in archive if info.name == stored and _is_usable(info))
        return _tar_content(archive, next(found))


def _tar_content(archive: tarfile.TarFile, info: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(info)
    assert file is not None
    content = file.read()
    if len(content) != info.size:
        raise EOFError("unexpected end of data")
    return content


def _zip_entry(info: zipfile.ZipInfo) -> _Entry:
    reason = _bad_name(info.orig_filename) or _bad_name(info.filename)
    if stat.S_ISLNK(info.external_attr >> 16):
        reason = reason or "a link in an archive"
    if info.flag_bits & 1:
        reason = reason or "encrypted"
    if info.file_size > MOST_BYTES:
        reason = reason or f"larger than {MOST_BYTES:,} bytes"
    if info.file_size > max(_MOST_AHEAD_BYTES, _MOST_RATIO * info.compress_size):
        reason = reason or f"{info.file_size:,} bytes out of {info.compress_size:,}: a bomb"
    return _Entry(info.filename, info.is_dir(), reason)


def _tar_entry(info: tarfile.TarInfo) -> _Entry:
    reason = _bad_name(info.name)
    if info.issym() or info.islnk():
        reason = reason or "a link in an archive"
    elif not (info.isreg() or info.isdir()):
        reason = reason or "not a regular file"
    if info.size > MOST_BYTES:
        reason = reason or f"larger than {MOST_BYTES:,} bytes"
    if info.issparse() and info.size > _MOST_AHEAD_BYTES:
        reason = reason or f"{info.size:,} bytes, most of them a hole"
    return _Entry(info.name, info.isdir(), reason)


def _is_usable(info: tarfile.TarInfo) -> bool:
    # of entries with one name, the first of these is the picture that was found
    return info.isreg() and _tar_entry(info).why_not is None


def _bad_name(name: str) -> str | None:
    parts = name.replace("\\", "/").split("/")
    drive = len(parts[0]) == 2 and parts[0][1] == ":"
    return "its name leaves the archive" if not parts[0] or drive or ".." in parts else None


def _arrange(entries: Iterable[_Entry], read: Callable[[str], bytes], rules: int) -> _Arranged:
    left_out: list[LeftOut] = []
    stored_name: dict[str, str] = {}
    folders: set[str] = set()
    for entry in entries:
        name = str(PurePosixPath(entry.name))
        if entry.why_not:
            left_out.append((entry.name, entry.why_not))
        elif is_ignored(name):
            continue
        elif entry.is_folder:
            folders.add(name)
        elif name in stored_name:
            left_out.append((entry.name, "an earlier file has this name"))
        else:
            stored_name[name] = entry.name
    folders |= {str(up) for name in stored_name for up in PurePosixPath(name).parents}
    folders.discard(".")
    wrapper = _wrapper(stored_name, folders)
    stored_name = {name.removeprefix(wrapper): stored for name, stored in stored_name.items()}
    folders = {name.removeprefix(wrapper) for name in folders if f"{name}/" != wrapper}
    left_out = [(name.removeprefix(wrapper), reason) for name, reason in left_out]
    files = [File(name, partial(read, stored)) for name, stored in stored_name.items()]
    return _Arranged(arrange(files, folders, left_out, rules), stored_name)


def _wrapper(names: Iterable[str], folders: Iterable[str]) -> str:
    """Return the single folder around everything, with its slash, or an empty string."""
    tops = {name.partition("/")[0] for name in (*names, *folders)}
    if len(tops) != 1 or any("/" not in name for name in names):
        return ""
    return f"{tops.pop()}/"


def _stamp(path: Path) -> str:
    return stamp_of([(path.name, *file_stamp(path))])
