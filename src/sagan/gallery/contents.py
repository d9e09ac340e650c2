"""The trained networks that come with sagan.

`gallery.json` has a record of each: how it was trained, on what, and what it scored. The weights
lie beside it in a safetensors file a set, made by `examples/make_gallery.py`: the averaged
generator and the discriminator, without what only training needs.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor

from sagan.config import RunConfig, run_config_from_dict, to_dict
from sagan.runs.run import Run
from sagan.runs.write_whole import check_new, write_whole

PARTS = ("ema", "discriminator")


@dataclass(frozen=True, kw_only=True)
class Shipped:
    """A record of `gallery.json`."""

    name: str
    about: str  # one line
    px: int
    images: int  # shown to D in training
    command: str  # that trained it
    scores: Mapping[str, float]  # by metric, of `evaluated`
    evaluated: str  # the command
    hardware: str
    date: str
    licence: str  # of the pictures it was trained on
    sha256: str  # of its file
    config: Mapping[str, Any]  # of its run


def shipped() -> tuple[Shipped, ...]:
    """What there is.

    Example:
        >>> [one.name for one in shipped()]
        ['clothes']
    """
    records = json.loads((files("sagan.gallery") / "gallery.json").read_bytes())
    return tuple(Shipped(**record) for record in records)


def unpack(name: str, out: str | os.PathLike[str]) -> Run:
    """Write a shipped generator and its discriminator as a new run.

    It can be sampled, scored, explained and explored, and others can begin from it; it is as an
    imported one, without data of its own.

    Args:
        name: of one of `shipped`.
        out: the run's folder, new or empty.

    Raises:
        ValueError: there is none of this name, or the folder is not empty.

    Example:
        >>> import tempfile
        >>> run = unpack("clothes", tempfile.mkdtemp())
        >>> run.config().network.resolution
        32
    """
    found = {one.name: one for one in shipped()}
    if name not in found:
        raise ValueError(f"there is no {name!r} in the gallery: {', '.join(found)}")
    out = Path(out)
    check_new(out)
    one = found[name]
    config = run_config_from_dict(one.config)
    tensors = _tensors(one)
    parts = {part: tensors[part] for part in PARTS}
    parts |= {"generator": parts["ema"], "g_optimizer": {}, "d_optimizer": {}}
    facts = {"peer": "the gallery of sagan", "files": {f"{name}.safetensors": one.sha256}}
    return write_whole(out, config, parts, facts)


def _tensors(one: Shipped) -> dict[str, dict[str, Tensor]]:
    content = (files("sagan.gallery") / f"{one.name}.safetensors").read_bytes()
    if hashlib.sha256(content).hexdigest() != one.sha256:
        raise ValueError(f"the gallery's {one.name} is damaged: install sagan again")
    parts: dict[str, dict[str, Tensor]] = {part: {} for part in PARTS}
    for key, tensor in safetensors.torch.load(content).items():
        part, _, name = key.partition(".")
        parts[part][name] = tensor
    return parts


def stripped(config: RunConfig) -> dict[str, Any]:
    """A run's configuration as the gallery keeps it: without data and growth of its own."""
    data = replace(config.data, source="", fingerprint="")
    return to_dict(replace(config, data=data, growth=()))
