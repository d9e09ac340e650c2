"""Recognise what kind of source a name, a folder or a file is."""

import lzma
import tarfile
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path

from sagan.config import READING_RULES
from sagan.data.dataset import ImageDataset
from sagan.data.decode import is_picture
from sagan.data.packed import is_packed, open_packed
from sagan.data.procedural.sets import DEFAULT_PX, PROCEDURAL, procedural_source
from sagan.data.sources.archive import open_tar, open_zip
from sagan.data.sources.arrays import array_source, open_npy, open_npz
from sagan.data.sources.bundled import BUNDLED, load_bundled
from sagan.data.sources.folder import open_folder, read_file
from sagan.data.sources.idx import image_files, is_idx, open_idx, open_idx_folder
from sagan.data.sources.source import Source
from sagan.data.sources.tables import open_hub, open_parquet, open_parquet_folder
from sagan.text import one_line, shown

HUB = "hub:"
NAMED = (*BUNDLED, *PROCEDURAL)  # those have a test split
_EXPECTED = "a folder of pictures, a zip or tar of one, or an .npz, .npy, IDX or Parquet file"


def open_source(source: str, rules: int = READING_RULES, *, resolution: int = DEFAULT_PX) -> Source:
    """Open any source (procedural ones at `resolution`); a one-line ValueError refuses one."""
    try:
        opened = _open(source, rules, resolution)
        test = opened.test and replace(opened.test, rules=rules)
        return replace(opened, rules=rules, test=test)
    except ValueError as error:
        if str(error).startswith(("unknown data source", HUB)):
            raise
        raise ValueError(f"{shown(source)}: {error}") from None
    except OSError as error:
        raise ValueError(f"{shown(source)} cannot be read: {error.strerror or error}") from None
    except (EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile) as error:
        raise ValueError(f"{shown(source)} is damaged or cut short: {one_line(error)}") from None
    except MemoryError:
        raise ValueError(f"{shown(source)}: there is not enough memory to read it") from None


def _open(source: str, rules: int, resolution: int) -> Source:
    if source in BUNDLED:
        return _source_of(load_bundled(source, BUNDLED[source].own_px, 0, "train"), "bundled")
    if source in PROCEDURAL:
        return procedural_source(source, resolution=resolution)
    if source.startswith(HUB):
        return open_hub(source.removeprefix(HUB))
    path = existing_path(source)
    if is_packed(path):
        return _source_of(open_packed(path), "packed")
    if path.is_dir():
        if rules > 1 and (idx := image_files(path)):
            return open_idx_folder(path, idx)
        tables = sorted([*path.glob("*.parquet"), *path.glob("*/*.parquet")])
        return open_parquet_folder(path, tables, rules) if tables else open_folder(path, rules)
    if not path.is_file():
        raise ValueError(f"neither a folder nor a regular file; expected {_EXPECTED}")
    return _open_file(path, rules)


def _open_file(path: Path, rules: int) -> Source:
    with open(path, "rb") as file:
        head = file.read(8)
    if not head:
        raise ValueError(f"it is empty; expected {_EXPECTED}")
    if head.startswith(b"\x93NUMPY"):
        return open_npy(path)
    if head.startswith(b"PAR1"):
        return open_parquet([path])
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
        return open_npz(path) if names and _all_npy(names) else open_zip(path, rules)
    if head.startswith(b"PK\x03\x04"):
        raise ValueError("the zip archive is damaged or cut short")
    if is_idx(path):
        return open_idx(path)
    if tarfile.is_tarfile(path):
        return open_tar(path, rules)
    if head.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ")):
        raise ValueError("it is compressed, but not a tar archive, or a damaged one")
    if is_picture(read_file(path)):
        raise ValueError("it is a single picture; name its folder")
    raise ValueError(f"its kind is unknown; expected {_EXPECTED}")


def is_known_source(source: str) -> bool:
    """Whether a name is bundled, on the disk, or begins with `hub:`.

    Example:
        >>> is_known_source("digits"), is_known_source("no such folder")
        (True, False)
    """
    return source in NAMED or source.startswith(HUB) or _is_on_disk(source)


def _is_on_disk(source: str) -> bool:
    return bool(source) and "\0" not in source and Path(source).exists()


def existing_path(source: str) -> Path:
    """Return the path of a source that is on the disk."""
    if not _is_on_disk(source):
        raise ValueError(
            f"unknown data source {source!r}; choose from {', '.join(NAMED)}, or name "
            f"{_EXPECTED} that exists, or hub:NAME"
        )
    return Path(source)


def _all_npy(names: list[str]) -> bool:
    return all(name.endswith(".npy") for name in names)


def _source_of(data: ImageDataset, kind: str) -> Source:
    images = data.images.transpose(0, 2, 3, 1)
    names = data.class_names if data.labels is not None else ()
    source = array_source(images, data.labels, names, kind, data.fingerprint)
    return replace(source, left_out=data.excluded)
