"""Make a packed folder: decoded once, in order, on all cores; complete or not there at all."""

import dataclasses
import hashlib
import os
import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path

import filelock
import numpy as np
from numpy.typing import NDArray

from sagan.data.dataset import ImageDataset, LeftOut
from sagan.data.decode import Picture, Unreadable, is_grey, to_square
from sagan.data.packed import Options, is_packed, open_packed, write_packed
from sagan.data.sources.labels import check_class_names, number_names
from sagan.data.sources.source import Source
from sagan.data.threads import read_all
from sagan.files import DOOMED, TEMPORARY, naming, remove_folder, sync_folder
from sagan.progress import Bar
from sagan.text import listed, shown

_CHUNK = 4096  # images, when colour is taken out
_BUFFER_BYTES = 2**22  # each write waits for the decoding threads to let go of the lock
_JPEG_RATIO = 4  # a large JPEG is decoded at 4 or more times the resolution


def pack(
    source: Source, folder: Path, options: Options, *, strict: bool = False, progress: bool = False
) -> ImageDataset:
    """Decode a source into a new or empty folder and open it; strict refuses an unreadable file."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.with_name(f"{TEMPORARY}{folder.name}-{uuid.uuid4().hex[:8]}")
    temporary.mkdir()
    try:
        with naming(folder):
            _Packer(source, temporary, options, strict).pack(progress)
        sync_folder(temporary)
        _move(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return open_packed(folder, verify=False)


def pack_once(
    source: Source, folder: Path, options: Options, *, strict: bool = False, progress: bool = False
) -> ImageDataset:
    """Open a packed folder, made if missing or damaged: one process packs while the others wait."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(folder.with_name(f".{folder.name}.lock")):
        if folder.exists():
            try:
                return open_packed(folder)
            except (ValueError, OSError):
                remove_folder(folder)
        for name in (TEMPORARY, DOOMED):  # what a killed process left; the name has no wildcards
            for leftover in folder.parent.glob(f"{name}{folder.name}-*"):
                shutil.rmtree(leftover, ignore_errors=True)
        return pack(source, folder, options, strict=strict, progress=progress)


def _move(temporary: Path, folder: Path) -> None:
    try:
        os.rename(temporary, folder)
    except OSError:
        if not is_packed(folder):  # otherwise another process was faster
            raise
    sync_folder(folder.parent)


class _Packer:
    """Writes `images.u8` picture by picture, and the files beside it at the end."""

    def __init__(self, source: Source, folder: Path, options: Options, strict: bool) -> None:
        self.source, self.folder, self.options, self.strict = source, folder, options, strict
        self.channels = options.channels or 3
        self.all_grey = True
        self.class_of: list[str | None] = []
        self.first_unlabelled = ""
        self.excluded: list[LeftOut] = list(source.left_out)

    def pack(self, progress: bool) -> None:
        if self.strict:
            refuse_excluded(self.excluded)
        least_px = _JPEG_RATIO * self.options.resolution
        with (
            open(self.folder / "images.u8", "wb", _BUFFER_BYTES) as file,
            Bar("packing", self.source.length, enabled=progress) as bar,
        ):
            for item, result in read_all(self.source, self._decode, least_px=least_px):
                bar.advance()
                if isinstance(result, Unreadable):
                    self.excluded.append((item.name, str(result)))
                    if self.strict:
                        refuse_excluded(self.excluded)
                else:
                    square, grey = result
                    file.write(square.data)
                    self.all_grey &= grey
                    self.class_of.append(item.class_name)
                    if item.class_name is None:
                        self.first_unlabelled = self.first_unlabelled or item.name
            file.flush()
            os.fsync(file.fileno())
        labels, names = self._labels()
        if not self.options.channels and self.all_grey:
            self._take_colour_out()
        side = self.options.resolution
        about = {
            "source": {"kind": self.source.kind, "stamp": self.source.stamp},
            "options": dataclasses.asdict(self.options),
        }
        shape = (len(self.class_of), self.channels, side, side)
        write_packed(self.folder, shape, labels, names, excluded=self.excluded, about=about)

    def _decode(self, picture: Picture) -> tuple[NDArray[np.uint8], bool]:
        options = self.options
        square = to_square(
            picture.image, options.resolution, self.channels, options.background, options.crop
        )
        grey = options.channels == 0 and is_grey(square)
        return np.ascontiguousarray(square.transpose(2, 0, 1)), grey

    def _labels(self) -> tuple[NDArray[np.int64] | None, tuple[str, ...]]:
        if not self.class_of:
            few = listed([f"{name} ({reason})" for name, reason in self.excluded])
            raise ValueError(f"no picture in it is readable: {few}")
        found = set(self.class_of)
        if None in found and len(found) > 1:
            count = self.class_of.count(None)
            raise ValueError(
                f"{count} of {len(self.class_of)} pictures have no label, the first "
                f"{shown(self.first_unlabelled)}; label all or none"
            )
        names = self.source.class_names
        if None in found:
            if names:
                raise ValueError("there are class names, but no picture has a label")
            return None, ()
        names = number_names(found) if names is None else names
        empty = [name for name in names if name not in found]
        if empty and not self.source.may_lack_classes:
            raise ValueError(f"no picture is readable in the class {listed(empty)}; mend or remove")
        check_class_names(names)
        number = {name: label for label, name in enumerate(names)}
        return np.array([number[name or ""] for name in self.class_of], np.int64), names

    def _take_colour_out(self) -> None:
        """Keep one of three equal channels, as all pictures are grey."""
        self.channels = 1
        side = self.options.resolution
        shape = (len(self.class_of), 3, side, side)
        colour = self.folder / "images.u8"
        images = np.memmap(colour, np.uint8, "r", shape=shape)
        with open(self.folder / "grey", "wb") as file:
            for start in range(0, len(images), _CHUNK):
                file.write(np.ascontiguousarray(images[start : start + _CHUNK, 0]).data)
            file.flush()
            os.fsync(file.fileno())
        del images
        os.replace(self.folder / "grey", colour)


def refuse_excluded(excluded: Sequence[LeftOut]) -> None:
    """Refuse, as --strict does, data of which something is left out."""
    if excluded:
        name, reason = excluded[0]
        raise ValueError(
            f"{shown(name)} is left out: {reason}; remove or mend it, or go without --strict"
        )


def cache_name(source: Source, label: str, options: Options) -> str:
    """Name the cache folder: readable, and different for other content or options."""
    decisive = dataclasses.astuple(options)
    if options.crop == "center":
        decisive = decisive[:-1]  # as when there was no other crop: what was packed then is found
    facts = repr((source.kind, source.stamp, decisive))
    key = hashlib.sha256(facts.encode()).hexdigest()[:20]
    stem = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in label)[-40:]
    return f"{stem.lstrip('.') or 'data'}-{options.resolution}px-{key}"
