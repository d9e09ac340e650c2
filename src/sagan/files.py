"""Files that are there whole or not at all: written, synced, then renamed into place."""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

TEMPORARY = ".partial-"  # begins the name of what is still being written
MODEL_ENDINGS = (".onnx", ".safetensors")  # of what `sagan export` writes


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file's content so that a reader, or a crash, finds the old or the new one whole."""
    temporary = path.with_name(f"{TEMPORARY}{path.name}")
    write_durably(temporary, content)
    os.replace(temporary, path)
    sync_folder(path.parent)


def write_together(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Replace several files of a folder: all are on the disk before the first takes its name.

    Other files in it stay. Where writing fails, nothing in it has changed.
    """
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
    for name, path in temporary.items():
        os.replace(path, folder / name)
    sync_folder(folder)


def write_durably(path: Path, content: bytes) -> None:
    """Write a file and wait until it is on the disk."""
    with open(path, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Wait until a folder's names are on the disk."""
    if os.name == "nt":  # folders cannot be synced there
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_run_folder(path: Path) -> bool:
    """Whether a run lies there, by its configuration; nothing is read."""
    return (path / "config.json").is_file()


def refuse_model_file(path: Path) -> None:
    """Say of a model file, where something else is needed, what opens it.

    Raises:
        ValueError: it is one, by its name.
    """
    if path.suffix.lower() in MODEL_ENDINGS and path.is_file():
        raise ValueError(
            f"{path} is a model file, as sagan export writes: only sagan sample and sagan.load "
            "open it"
        )


def refuse_file(path: Path) -> None:
    """Refuse any file where a run folder is needed.

    Raises:
        ValueError: there is a file.
    """
    refuse_model_file(path)
    if path.exists() and not path.is_dir():
        raise ValueError(f"{path} is a file, not a run folder")
