"""Open any source at a resolution."""

import io
from dataclasses import replace
from itertools import islice
from pathlib import Path
from statistics import median
from typing import get_args

from PIL import Image

from sagan.config import READING_RULES, Crop
from sagan.config.checks import require_choice
from sagan.data.dataset import ImageDataset, Split
from sagan.data.decode import parse_background, quiet_pillow
from sagan.data.packed import Options, cache_root, is_packed, open_packed
from sagan.data.packing import cache_name, pack, pack_once, refuse_excluded
from sagan.data.procedural.sets import DEFAULT_PX, PROCEDURAL
from sagan.data.sources.bundled import BUNDLED, load_bundled
from sagan.data.sources.open_source import HUB, NAMED, open_source
from sagan.data.sources.source import Source
from sagan.text import shown

_MOST_PX = 4096
_NATIVE_PX = (8, 16, 32, 64)  # default resolutions for a user's own pictures
_MEASURED = 1_000  # pictures whose size decides


def load_dataset(
    source: str,
    *,
    resolution: int,
    channels: int = 0,
    split: Split = "train",
    background: str = "white",
    crop: Crop = "center",
    rules: int = READING_RULES,
    strict: bool = False,
    cache: Path | None = None,
    progress: bool = False,
) -> ImageDataset:
    """Open a data source at a resolution, packing it unless that was done before.

    Args:
        source: `digits` (scikit-learn's 1797 handwritten digits, 8x8, 10 classes, a third held out
            as test), `photographs` (square crops of scikit-learn's two photographs, 2 classes) or
            `fashion` (12,000 pictures of Fashion-MNIST, 28x28, 10 classes, and 2,000 as test);
            `twins`, `quadrupeds` (3 classes) or `barcode`, rendered at 16, 32 or 64 px: 20,000
            images, and 4,000 others as test; a folder, zip or tar of pictures, flat or with a
            sub-folder per class; an `.npz`, `.npy` or Parquet file; IDX files, as MNIST's;
            `hub:NAME[:SPLIT]`; or a packed folder.
        resolution: side in pixels that the images are resized to (LANCZOS).
        channels: 1, 3 or 4; 0 keeps the source's own: 1 if all pictures are grey, otherwise 3.
        split: `train` or `test`. The named sets have a test split (photographs are cropped from
            the left part for training and from the right fifth for test), and so have sources with
            folders `train` and `val`, `valid`, `validation` or `test`, and MNIST's files.
        background: colour under transparent pictures, a CSS name or `#rrggbb`.
        crop: how a picture becomes square: `center` and `top` keep the square in its middle or at
            its top, `fit` keeps all of it on the background, `stretch` squeezes it.
        rules: version of the reading rules; a run keeps the one that it was begun with.
        strict: refuse a source with anything unreadable instead of leaving it out.
        cache: folder for packed folders; by default `$SAGAN_CACHE`, or `sagan` in the platform's
            cache folder.
        progress: show packing on stderr.

    Raises:
        ValueError: the source, split or number of channels does not exist, or the pictures or
            labels cannot be used; one line says why.
        OSError: the cache could not be written.

    Example:
        >>> digits = load_dataset("digits", resolution=8)
        >>> digits.images.shape, digits.class_names[3]
        ((1198, 1, 8, 8), '3')
    """
    if not source:  # Path("") is the current folder
        raise ValueError("no data source given: name one with --data")
    options = check_options(resolution, channels, background, rules, crop)
    if split not in ("train", "test"):
        raise ValueError(f"unknown split {split!r}: train or test")
    if source in BUNDLED:
        return load_bundled(source, resolution, channels, split)
    path = Path(source)
    named = source in PROCEDURAL or source.startswith(HUB)
    if not named and "\0" not in source and is_packed(path):
        if split == "test":
            raise ValueError(_no_test_split(source))
        return _of_packed_folder(path, options, strict)
    opened = open_source(source, rules, resolution=resolution)
    if split == "test":
        if opened.test is None:
            raise ValueError(_no_test_split(source))
        opened = opened.test
    label = source.removeprefix(HUB) if source.startswith(HUB) else path.resolve().name
    root = cache or cache_root()
    folder = root / cache_name(opened, label, options)
    own = replace(options, channels=0)
    packed = root / cache_name(opened, label, own)
    # If these are the channels that the source has itself, it may be packed already.
    if options.channels and is_packed(packed) and _channels(packed) == options.channels:
        folder, options = packed, own
    try:
        data = pack_once(opened, folder, options, strict=strict, progress=progress)
        if strict:  # the cache may have been packed without
            refuse_excluded(data.excluded)
    except ValueError as error:
        raise ValueError(f"{shown(source)}: {error}") from None
    return data


def has_test_split(source: str, rules: int = READING_RULES) -> bool:
    """Whether a source has pictures for testing."""
    return source in BUNDLED or open_source(source, rules).test is not None


def _no_test_split(source: str) -> str:
    return (
        f"{shown(source)} has no test split: named sets have one, and sources with "
        "folders train/ and val/ or test/"
    )


def native_resolution(source: str) -> int:
    """Choose the side at which a source's pictures are neither enlarged nor made much smaller."""
    # The smallest of 8, 16, 32 and 64 px that is not under the median shorter side of up to 1,000
    # pictures, spread over the source; 64 for larger ones; for a packed folder, its own.
    if source in PROCEDURAL:
        return DEFAULT_PX
    if not source.startswith(HUB) and "\0" not in source and is_packed(Path(source)):
        return int(open_packed(Path(source)).images.shape[2])
    if source in BUNDLED:
        return BUNDLED[source].native_px
    opened = open_source(source)
    stride = max(1, (opened.length or 0) // _MEASURED)
    sides = []
    for item in islice(opened.items(), 0, stride * _MEASURED, stride):
        try:
            content = item.read()
            if isinstance(content, bytes):
                with quiet_pillow(), Image.open(io.BytesIO(content)) as image:
                    sides.append(min(image.size))
            else:
                sides.append(min(content.shape[:2]))
        except Exception:  # packing will name it
            continue
    side = median(sides) if sides else _NATIVE_PX[-1]
    return next((px for px in _NATIVE_PX if px >= side), _NATIVE_PX[-1])


def pack_dataset(
    source: str,
    out: Path,
    *,
    resolution: int,
    channels: int = 0,
    background: str = "white",
    crop: Crop = "center",
    strict: bool = False,
    progress: bool = False,
) -> ImageDataset:
    """Pack a source into a new or empty folder, a source itself; options as in `load_dataset`."""
    options = check_options(resolution, channels, background, crop=crop)
    _check_new(out)
    pictures = Path(source)
    inside = pictures.is_dir() and out.resolve().is_relative_to(pictures.resolve())
    if source not in NAMED and inside:
        raise ValueError(f"{out} is in {shown(source)}, whose pictures it would be beside")
    opened = open_source(source, resolution=resolution)
    try:
        return pack(opened, out, options, strict=strict, progress=progress)
    except ValueError as error:
        raise ValueError(f"{shown(source)}: {error}") from None


def pack_source(
    source: Source, out: Path, *, resolution: int, progress: bool = False
) -> ImageDataset:
    """Pack an opened source into a new or empty folder."""
    _check_new(out)
    return pack(source, out, check_options(resolution, 0, "white"), progress=progress)


def _check_new(out: Path) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out} already exists; name a new folder")


def check_options(
    resolution: int,
    channels: int,
    background: str,
    rules: int = READING_RULES,
    crop: Crop = "center",
) -> Options:
    """Check the reading options and join them."""
    if channels not in (0, 1, 3, 4):
        raise ValueError(f"channels {channels} is unknown; choose from 1, 3, 4")
    if not 1 <= resolution <= _MOST_PX:
        raise ValueError(f"resolution must be from 1 to {_MOST_PX} px, not {resolution}")
    if not 1 <= rules <= READING_RULES:
        raise ValueError(f"reading rules {rules} are unknown; choose from 1 to {READING_RULES}")
    require_choice("crop", crop, get_args(Crop))
    return Options(resolution, channels, parse_background(background), rules, crop)


def _of_packed_folder(path: Path, options: Options, strict: bool) -> ImageDataset:
    try:
        data = open_packed(path)
        if strict:
            refuse_excluded(data.excluded)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    channels, side = data.images.shape[1:3]
    if side != options.resolution or options.channels not in (0, channels):
        raise ValueError(
            f"{path} is packed at {side} px with {channels} channels, not {options.resolution} px "
            f"with {options.channels or channels}; pack its source again"
        )
    return data


def _channels(packed: Path) -> int:
    try:
        return int(open_packed(packed).images.shape[1])
    except ValueError:  # damaged
        return 0
