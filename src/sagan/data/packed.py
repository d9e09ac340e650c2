"""The packed cache on disk: a folder of `images.u8`, `labels.npy` and `packed.json`.

`images.u8` is uint8 `i c h w`, mapped rather than read, so that opening costs nothing and all
processes share its pages. `packed.json` holds the shape, the class names, what was left out, the
source's stamp, the options, and the SHA-256 of each file and of itself.
"""

import hashlib
import io
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sagan.data.dataset import ImageDataset, LeftOut, fingerprint_of
from sagan.data.decode import RULES_VERSION
from sagan.files import hashed_json, sha256_of_file, write_durably

FORMAT = 1
_VERIFY_UP_TO_BYTES = 2**28  # larger ones are verified by the doctor, not at each opening


@dataclass(frozen=True)
class Options:
    """What decides a picture's pixels.

    Args:
        resolution: side in pixels.
        channels: 1, 3 or 4; 0 is 1 where all pictures are grey and 3 otherwise.
        background: RGB under transparent pictures.
        rules: version of the reading rules.
    """

    resolution: int
    channels: int = 0
    background: tuple[int, int, int] = (255, 255, 255)
    rules: int = RULES_VERSION


def is_packed(path: Path) -> bool:
    """Whether a packed folder is there, sound or not."""
    return (path / "packed.json").is_file()


def write_packed(
    folder: Path,
    shape: tuple[int, int, int, int],
    labels: NDArray[np.int64] | None,
    class_names: tuple[str, ...],
    *,
    excluded: list[LeftOut],
    about: dict[str, Any],
) -> None:
    """Write what stands beside a folder's `images.u8`.

    Args:
        folder: with `images.u8`, complete.
        shape: `i c h w`.
        labels: `i`, or None.
        class_names: one a class, in label order.
        excluded: what was left out.
        about: further JSON values: source and options.
    """
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
    """Read a packed folder's `packed.json`.

    Raises:
        ValueError: it is damaged, or of another format.
    """
    content = (path / "packed.json").read_bytes()
    try:
        facts = json.loads(content)
        sound = isinstance(facts, dict) and hashed_json(facts) == content
    except (ValueError, RecursionError):
        sound = False
    if not sound:
        raise ValueError("packed.json is damaged: it is not what was written; pack again")
    if facts.get("format") != FORMAT:
        raise ValueError(f"packed.json is not of format {FORMAT}; pack again with this version")
    return dict(facts)


def open_packed(path: Path, *, verify: bool | None = None) -> ImageDataset:
    """Map a packed folder.

    Args:
        path: the folder.
        verify: read `images.u8` whole against its SHA-256; None does so up to 256 MiB.

    Raises:
        ValueError: it is damaged; the message names the file.
    """
    facts = read_facts(path)
    shape = tuple(facts["shape"])
    class_names = tuple(facts["class_names"])
    for name, expected in facts["files"].items():
        file = path / name
        if not file.is_file() or file.stat().st_size != expected["bytes"]:
            raise ValueError(f"{name} is missing or cut short; pack again")
        asked = expected["bytes"] <= _VERIFY_UP_TO_BYTES if verify is None else verify
        if (asked or name != "images.u8") and sha256_of_file(file) != expected["sha256"]:
            raise ValueError(f"{name} is damaged: it is not what was written; pack again")
    labels = None
    if "labels.npy" in facts["files"]:
        labels = np.load(path / "labels.npy", allow_pickle=False)
        if labels.shape != shape[:1] or not 0 <= labels.min() <= labels.max() < len(class_names):
            raise ValueError("labels.npy does not fit packed.json; pack again")
    images = np.asarray(np.memmap(path / "images.u8", np.uint8, "r", shape=shape))
    excluded = tuple((str(name), str(reason)) for name, reason in facts["excluded"])
    return ImageDataset(images, labels, class_names, facts["fingerprint"], excluded)


def cache_root() -> Path:
    """Where caches go: `$SAGAN_CACHE`, or `sagan` in the platform's cache folder."""
    given = os.environ.get("SAGAN_CACHE")
    if given:
        return Path(given)
    return _platform_cache() / "sagan"


def _platform_cache() -> Path:
    import sys

    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    if os.name == "nt":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
