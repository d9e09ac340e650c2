"""Telling sources apart: what a name, a folder or a file is."""

import tarfile
import zipfile
from pathlib import Path

from sagan.data.dataset import ImageDataset
from sagan.data.decode import is_picture
from sagan.data.packed import is_packed, open_packed
from sagan.data.procedural.sets import DEFAULT_PX, PROCEDURAL, procedural_source
from sagan.data.sources.archive import open_tar, open_zip
from sagan.data.sources.arrays import array_source, open_npy, open_npz
from sagan.data.sources.bundled import BUNDLED, load_bundled
from sagan.data.sources.folder import open_folder, read_file
from sagan.data.sources.source import Source, shown
from sagan.data.sources.tables import open_hub, open_parquet

HUB = "hub:"
NAMED = (*BUNDLED, *PROCEDURAL)  # those have a test split
_OWN_PX = {"digits": 8, "photographs": 64}  # for the doctor
_EXPECTED = "a folder of pictures, a zip or tar of one, or an .npz, .npy or Parquet file"


def open_source(source: str, *, resolution: int = DEFAULT_PX) -> Source:
    """Open any source of pictures.

    Args:
        source: a name, a folder, an archive, an array or Parquet file, `hub:NAME[:SPLIT]`,
            or a packed folder.
        resolution: in pixels, that a procedural set is drawn at; any other has its own.

    Raises:
        ValueError: there is none, or it cannot be used; one line says why and what would do.

    Example:
        >>> open_source("digits").class_names
        ('0', '1', '2', '3', '4', '5', '6', '7', '8', '9')
    """
    try:
        return _open(source, resolution)
    except ValueError as error:
        if str(error).startswith(("unknown data source", HUB)):
            raise
        raise ValueError(f"{shown(source)}: {error}") from None
    except OSError as error:
        raise ValueError(f"{shown(source)} cannot be read: {error.strerror or error}") from None


def _open(source: str, resolution: int) -> Source:
    if source in BUNDLED:
        return _source_of(load_bundled(source, _OWN_PX[source], 0, "train"), "bundled")
    if source in PROCEDURAL:
        return procedural_source(source, resolution=resolution)
    if source.startswith(HUB):
        return open_hub(source.removeprefix(HUB))
    path = existing_path(source)
    if is_packed(path):
        return _source_of(open_packed(path), "packed")
    if path.is_dir():
        tables = sorted([*path.glob("*.parquet"), *path.glob("*/*.parquet")])
        return open_parquet(tables) if tables else open_folder(path)
    if not path.is_file():
        raise ValueError(f"neither a folder nor a regular file; expected {_EXPECTED}")
    return _open_file(path)


def _open_file(path: Path) -> Source:
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
        return open_npz(path) if names and _all_npy(names) else open_zip(path)
    if head.startswith(b"PK\x03\x04"):
        raise ValueError("the zip archive is damaged or cut short")
    if tarfile.is_tarfile(path):
        return open_tar(path)
    if head.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ")):
        raise ValueError("it is compressed, but no tar archive, or a damaged one")
    if is_picture(read_file(path)):
        raise ValueError("it is a single picture; name its folder")
    raise ValueError(f"it is of no known kind; expected {_EXPECTED}")


def is_known_source(source: str) -> bool:
    """Whether there is something by this name: of ours, on the disk, or said to be on the hub.

    Example:
        >>> is_known_source("digits"), is_known_source("no such folder")
        (True, False)
    """
    return source in NAMED or source.startswith(HUB) or _is_on_disk(source)


def _is_on_disk(source: str) -> bool:
    return bool(source) and "\0" not in source and Path(source).exists()


def existing_path(source: str) -> Path:
    """The path of a source that is no name.

    Raises:
        ValueError: nothing is there.
    """
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
    return array_source(images, data.labels, names, kind, data.fingerprint)
