"""Files that are there whole or not at all: written, synced, then renamed into place."""

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

TEMPORARY = ".partial-"  # prefix of a name that is still being written
DOOMED = ".removed-"  # prefix of a folder that is being removed
MODEL_ENDINGS = (".onnx", ".safetensors")  # of the files that `sagan export` writes


def nearest_existing(path: Path) -> Path:
    """A path, or the nearest folder above it that exists."""
    path = path.absolute()
    return next(there for there in (path, *path.parents) if there.exists())


def check_above(path: Path, name: str = "") -> None:
    """Raise ValueError if a path is in what is no folder, so that it cannot be made."""
    above = nearest_existing(path.parent)
    if not above.is_dir():
        raise ValueError(f"{name or path} cannot be made: {above} is not a folder")


def write_atomically(path: Path, content: bytes, *, durably: bool = True) -> None:
    """Replace a file so that a reader, or a crash, sees either content whole."""
    # not `durably`, it may not be on the disk yet: for many files that are soon made again
    temporary = path.with_name(f"{TEMPORARY}{path.name}")
    try:
        with naming(path):
            write_durably(temporary, content) if durably else temporary.write_bytes(content)
            os.replace(temporary, path)
    except BaseException:  # on a full disk it would be in the way
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    if durably:
        sync_folder(path.parent)


def write_together(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Replace several files of a folder, all or none if writing fails; its other files stay."""
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    temporary = {name: folder / f"{TEMPORARY}{name}" for name in contents}
    try:
        for name, content in contents.items():
            write_durably(temporary[name], content)
    except BaseException:
        for path in temporary.values():
            path.unlink(missing_ok=True)
        if made:
            with suppress(OSError):  # someone else wrote into it
                folder.rmdir()
        raise
    # All are on the disk before the first takes its final name.
    for name, path in temporary.items():
        os.replace(path, folder / name)
    sync_folder(folder)


def write_durably(path: Path, content: bytes) -> None:
    """Write a file and wait until it is on the disk."""
    with naming(path), open(path, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def append_durably(path: Path, content: bytes) -> None:
    """Append whole lines and wait until they are on the disk; if that fails, none is there."""
    with naming(path), open(path, "ab") as file:
        before = file.tell()
        if before and not _ends_in_line_break(path):  # torn by a crash: it stays on its own line
            content = b"\n" + content
        try:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        except OSError:
            with suppress(OSError):
                os.truncate(path, before)
            raise
    if not before:
        sync_folder(path.parent)


def _ends_in_line_break(path: Path) -> bool:
    with open(path, "rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read() == b"\n"


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Put the path into an OSError that names none, as those of writing do."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


def sync_folder(path: Path) -> None:
    """Wait until a folder's entries are on the disk."""
    if os.name == "nt":  # folders cannot be synced there
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_folder(path: Path) -> None:
    """Remove a folder; it is renamed first, so that a half-removed one is never taken for whole."""
    doomed = path.with_name(f"{DOOMED}{path.name}-{uuid.uuid4().hex[:8]}")
    os.rename(path, doomed)
    shutil.rmtree(doomed, ignore_errors=True)


def sha256_of_file(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's content."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def parse_json(content: bytes | str) -> Any:
    """Parse JSON of unknown origin; ValueError for anything wrong, however deep it is nested."""
    try:
        return json.loads(content)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def hashed_json(values: Mapping[str, Any]) -> bytes:
    """JSON that holds its own SHA-256: of the values, sorted, without the key `sha256`.

    Example:
        >>> content = hashed_json({"step": 7})
        >>> hashed_json(json.loads(content)) == content  # as it was written
        True
    """
    body = {key: value for key, value in values.items() if key != "sha256"}
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    return json.dumps({**body, "sha256": digest}, sort_keys=True, indent=1).encode()
