"""The packed cache on disk: a folder of `images.u8`, `labels.npy` and `packed.json`.

`images.u8` is uint8 `i c h w`, mapped rather than read, so opening costs nothing and all processes
share its pages. `packed.json` holds the shape, the class names, what was left out, the source's
stamp, the options, and the SHA-256 of each file and of itself.
"""

import hashlib
import io
import math
import os
import sys
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sagan.config import READING_RULES, Crop
from sagan.data.dataset import ImageDataset, LeftOut, fingerprint_of
from sagan.files import hashed_json, parse_json, sha256_of_file, write_durably
from sagan.text import one_line

FORMAT = 1
_VERIFY_UP_TO_BYTES = 2**28  # larger ones are verified by the doctor, not at each opening


@dataclass(frozen=True)
class Options:
    """What decides a picture's pixels."""

    resolution: int  # px
    channels: int = 0  # 1, 3 or 4; 0 becomes 1 if all pictures are grey, otherwise 3
    background: tuple[int, int, int] = (255, 255, 255)  # RGB
    rules: int = READING_RULES  # version
    crop: Crop = "center"


def is_packed(path: Path) -> bool:
    """Whether a path is a packed folder, sound or damaged."""
    return (path / "packed.json").is_file()


def write_packed(
    folder: Path,
    shape: tuple[int, int, int, int],  # `i c h w`
    labels: NDArray[np.int64] | None,  # `i`
    class_names: tuple[str, ...],
    *,
    excluded: list[LeftOut],
    about: dict[str, Any],  # further JSON values: source and options
) -> None:
    """Complete a folder that has its `images.u8`."""
    images_sha256 = sha256_of_file(folder / "images.u8")
    files = {"images.u8": {"bytes": int(np.prod(shape)), "sha256": images_sha256}}
    labels_sha256 = ""
    if labels is not None:
        buffer = io.BytesIO()
        np.save(buffer, labels, allow_pickle=False)
        content = buffer.getvalue()
        write_durably(folder / "labels.npy", content)
        digest = hashlib.sha256(content).hexdigest()
        files["labels.npy"] = {"bytes": len(content), "sha256": digest}
        labels_sha256 = hashlib.sha256(labels.tobytes()).hexdigest()
    facts = {
        **about,
        "format": FORMAT,
        "shape": list(shape),
        "class_names": list(class_names),
        "excluded": [list(pair) for pair in excluded],
        "fingerprint": fingerprint_of(shape, images_sha256, labels_sha256, class_names),
        "files": files,
    }
    write_durably(folder / "packed.json", hashed_json(facts))


def read_facts(path: Path) -> dict[str, Any]:
    """Read a packed folder's `packed.json`."""
    content = (path / "packed.json").read_bytes()
    try:
        facts = parse_json(content)
        sound = isinstance(facts, dict) and hashed_json(facts) == content
    except ValueError:
        sound = False
    if not sound:
        raise ValueError("packed.json is damaged (its checksum differs); pack again")
    if facts.get("format") != FORMAT:
        raise ValueError(f"packed.json is not of format {FORMAT}; pack again with this version")
    if not _is_whole(facts):
        raise ValueError("packed.json is damaged (a field is missing or wrong); pack again")
    return dict(facts)


def _is_whole(facts: dict[str, Any]) -> bool:
    try:
        shape, files = facts["shape"], facts["files"]
        names = [*facts["class_names"], facts["fingerprint"], *chain(*facts["excluded"])]
        return (
            len(shape) == 4
            and all(type(size) is int and size > 0 for size in shape)
            and {"images.u8"} <= files.keys() <= {"images.u8", "labels.npy"}
            and files["images.u8"]["bytes"] == math.prod(shape)
            and all(isinstance(name, str) for name in names)
            and all(len(pair) == 2 for pair in facts["excluded"])
            and all(type(file["bytes"]) is int for file in files.values())
            and all(type(file["sha256"]) is str for file in files.values())
        )
    except (KeyError, TypeError, AttributeError):
        return False


def open_packed(path: Path, *, verify: bool | None = None) -> ImageDataset:
    """Map a packed folder; `verify` checks the SHA-256 of the images, None only up to 256 MiB."""
    facts = read_facts(path)
    shape = tuple(facts["shape"])
    class_names = tuple(facts["class_names"])
    for name, expected in facts["files"].items():
        file = path / name
        if not file.is_file() or file.stat().st_size != expected["bytes"]:
            raise ValueError(f"{name} is missing or cut short; pack again")
        asked = expected["bytes"] <= _VERIFY_UP_TO_BYTES if verify is None else verify
        if (asked or name != "images.u8") and sha256_of_file(file) != expected["sha256"]:
            raise ValueError(f"{name} is damaged (its checksum differs); pack again")
    labels = None
    if "labels.npy" in facts["files"]:
        try:
            labels = np.load(path / "labels.npy", allow_pickle=False)
        except (ValueError, OSError, EOFError, SyntaxError, OverflowError, MemoryError) as error:
            raise ValueError(f"labels.npy is damaged: {one_line(error)}; pack again") from None
        fits = labels.dtype.kind == "i" and labels.shape == shape[:1]
        if not fits or not 0 <= labels.min() <= labels.max() < len(class_names):
            raise ValueError("labels.npy does not fit packed.json; pack again")
    images = np.asarray(np.memmap(path / "images.u8", np.uint8, "r", shape=shape))
    excluded = tuple((str(name), str(reason)) for name, reason in facts["excluded"])
    return ImageDataset(images, labels, class_names, facts["fingerprint"], excluded)


def cache_root() -> Path:
    """Return the folder of caches: `$SAGAN_CACHE`, or `sagan` in the platform's cache folder."""
    given = os.environ.get("SAGAN_CACHE")
    if given:
        return Path(given)
    if sys.platform == "darwin":
        caches = Path.home() / "Library" / "Caches"
    elif os.name == "nt":
        caches = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    else:
        caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return caches / "sagan"
