"""Opening any source at a resolution: the one call that the rest of the house makes."""

import io
from dataclasses import replace
from itertools import islice
from pathlib import Path
from statistics import median

from PIL import Image

from sagan.data.dataset import ImageDataset, Split
from sagan.data.decode import parse_background, quiet_pillow
from sagan.data.packed import Options, cache_root, is_packed, open_packed
from sagan.data.packing import cache_name, pack, pack_once
from sagan.data.procedural.sets import DEFAULT_PX, PROCEDURAL, procedural_source
from sagan.data.sources.bundled import BUNDLED, load_bundled
from sagan.data.sources.open_source import HUB, open_source
from sagan.data.sources.source import Source, shown

_MOST_PX = 4096
_NATIVE_PX = (8, 16, 32, 64)  # sides that own pictures are trained at unless told
_MEASURED = 1_000  # pictures, to find theirs


def load_dataset(
    source: str,
    *,
    resolution: int,
    channels: int = 0,
    split: Split = "train",
    background: str = "white",
    strict: bool = False,
    cache: Path | None = None,
    progress: bool = False,
) -> ImageDataset:
    """Open a data source at a resolution, packing it where it was not packed before.

    Args:
        source: `digits` (scikit-learn's 1797 handwritten digits, 8x8, 10 classes, a third held out
            as test) or `photographs` (square crops of scikit-learn's two photographs, 2 classes);
            `twins`, `quadrupeds` (3 classes) or `barcode`, rendered at 16, 32 or 64 px: 20,000
            images, and 4,000 others as test; a folder, zip or tar of pictures, flat or with a
            sub-folder per class; an `.npz`, `.npy` or Parquet file; `hub:NAME[:SPLIT]`; or a
            packed folder.
        resolution: side in pixels that the images are resized to (LANCZOS).
        channels: 1, 3 or 4; 0 takes the source's own: 1 where all pictures are grey, otherwise 3.
        split: `train` or `test`; photographs are cropped from the left part for training and from
            the right fifth for test. Only named sets have a test split.
        background: colour laid under transparent pictures, a CSS name or `#rrggbb`.
        strict: refuse a source with anything unreadable instead of leaving that out.
        cache: where packed folders are kept; by default `$SAGAN_CACHE`, or `sagan` in the
            platform's cache folder.
        progress: show packing on stderr.

    Raises:
        ValueError: there is no such source, split or number of channels, or its pictures or labels
            cannot be used; one line says why.
        OSError: the cache could not be written.

    Example:
        >>> digits = load_dataset("digits", resolution=8)
        >>> digits.images.shape, digits.class_names[3]
        ((1198, 1, 8, 8), '3')
    """
    if not source:  # else it would be the current folder
        raise ValueError("no data source is named: give one with --data")
    options = check_options(resolution, channels, background)
    if split not in ("train", "test"):
        raise ValueError(f"unknown split {split!r}: train or test")
    if source in BUNDLED:
        return load_bundled(source, resolution, channels, split)
    procedural = source in PROCEDURAL
    if split == "test" and not procedural:
        raise ValueError(f"{shown(source)} has no test split; only named sets have one")
    path = Path(source)
    if not procedural and not source.startswith(HUB) and "\0" not in source and is_packed(path):
        return _of_packed_folder(path, options, strict)
    if procedural:
        opened = procedural_source(source, resolution=resolution, split=split)
    else:
        opened = open_source(source)
    label = source.removeprefix(HUB) if source.startswith(HUB) else path.resolve().name
    root = cache or cache_root()
    folder = root / cache_name(opened, label, options)
    own = replace(options, channels=0)
    packed = root / cache_name(opened, label, own)
    # As many channels as the source has itself: those images may be packed already.
    if options.channels and is_packed(packed) and _channels(packed) == options.channels:
        folder, options = packed, own
    try:
        data = pack_once(opened, folder, options, strict=strict, progress=progress)
    except ValueError as error:
        raise ValueError(f"{shown(source)}: {error}") from None
    _check_strict(source, data, strict)
    return data


def native_resolution(source: str) -> int:
    """Choose the side at which a source's pictures are neither enlarged nor made much smaller.

    Args:
        source: as in `load_dataset`.

    Returns:
        The smallest of 8, 16, 32 and 64 that is not under the median shorter side of up to 1,000
        pictures, spread over the source; 64 for larger ones. The side of a packed folder.

    Raises:
        ValueError: there is no such source.

    Example:
        >>> native_resolution("photographs")
        64
    """
    if source in PROCEDURAL:
        return DEFAULT_PX
    if not source.startswith(HUB) and "\0" not in source and is_packed(Path(source)):
        return int(open_packed(Path(source)).images.shape[2])
    if source in BUNDLED:
        return _NATIVE_PX[0 if source == "digits" else -1]
    opened = open_source(source)
    stride = max(1, (opened.length or 0) // _MEASURED)
    sides = []
    for item in islice(opened.items(), 0, stride * _MEASURED, stride):
        content = item.read()
        try:
            if isinstance(content, bytes):
                with quiet_pillow(), Image.open(io.BytesIO(content)) as image:
                    sides.append(min(image.size))
            else:
                sides.append(min(content.shape[:2]))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            continue  # packing will name it
    side = median(sides) if sides else _NATIVE_PX[-1]
    return next((px for px in _NATIVE_PX if px >= side), _NATIVE_PX[-1])


def pack_dataset(
    source: str,
    out: Path,
    *,
    resolution: int,
    channels: int = 0,
    background: str = "white",
    strict: bool = False,
    progress: bool = False,
) -> ImageDataset:
    """Pack a source into a folder of choice, which is then a source itself.

    Args:
        out: a folder that is not there yet, or empty.
        source, resolution, channels, background, strict, progress: as in `load_dataset`.

    Raises:
        ValueError: as in `load_dataset`, or the folder is there already.
        OSError: it could not be written.
    """
    options = check_options(resolution, channels, background)
    _refuse_filled(out)
    opened = open_source(source, resolution=resolution)
    try:
        return pack(opened, out, options, strict=strict, progress=progress)
    except ValueError as error:
        raise ValueError(f"{shown(source)}: {error}") from None


def pack_source(
    source: Source, out: Path, *, resolution: int, progress: bool = False
) -> ImageDataset:
    """Pack a source that is open already, as `pack_dataset` does."""
    _refuse_filled(out)
    return pack(source, out, check_options(resolution, 0, "white"), progress=progress)


def _refuse_filled(out: Path) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out} is there already; name a folder that is not")


def check_options(resolution: int, channels: int, background: str) -> Options:
    """Check and join the reading options.

    Raises:
        ValueError: one is out of range.
    """
    if channels not in (0, 1, 3, 4):
        raise ValueError(f"channels {channels} is unknown; choose from 1, 3, 4")
    if not 1 <= resolution <= _MOST_PX:
        raise ValueError(f"resolution must be from 1 to {_MOST_PX} px, not {resolution}")
    return Options(resolution, channels, parse_background(background))


def _of_packed_folder(path: Path, options: Options, strict: bool) -> ImageDataset:
    try:
        data = open_packed(path)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    channels, side = data.images.shape[1:3]
    if side != options.resolution or options.channels not in (0, channels):
        raise ValueError(
            f"{path} is packed at {side} px with {channels} channels, not {options.resolution} px "
            f"with {options.channels or channels}; pack its source again"
        )
    _check_strict(str(path), data, strict)
    return data


def _channels(packed: Path) -> int:
    try:
        return int(open_packed(packed).images.shape[1])
    except ValueError:  # damaged
        return 0


def _check_strict(source: str, data: ImageDataset, strict: bool) -> None:
    if strict and data.excluded:
        name, reason = data.excluded[0]
        raise ValueError(
            f"{shown(source)}: {shown(name)} is left out: {reason}; remove or mend it, or go "
            "without --strict"
        )
