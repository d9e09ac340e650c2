"""Finds the networks in another implementation's file, by the names of their weights."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from torch import Tensor

from sagan.peers import biggan, heykeetae, mimicry, mmgen, studiogan
from sagan.peers.tensors import Part, Tensors, begins
from sagan.pth import read_pth

Role = Literal["generator", "discriminator"]

PEERS: Mapping[str, ModuleType] = {
    "heykeetae": heykeetae,
    "biggan": biggan,
    "studiogan": studiogan,
    "mimicry": mimicry,
    "mmgen": mmgen,
}

_INSIDE = ("state_dict", "model_state_dict")  # where training scripts put the weights
_WRAPPED = "module."  # before every name, from DataParallel
# mmgeneration's networks in one file, and whether each is an average.
_TOGETHER = {"generator": False, "generator_ema": True, "discriminator": False}


@dataclass(frozen=True)
class Found:
    """One network of a file."""

    where: str  # the file, for messages
    peer: str
    role: Role
    average: bool  # of a generator, by the name of its file or of its weights
    part: Part


def read_networks(path: str | os.PathLike[str], peer: str | None = None) -> list[Found]:
    """Read every network in a `.pth` file; if no peer is named, the weights' names tell it."""
    content = read_pth(path)
    found = []
    for average, weights in _networks(content, average=_is_average(Path(path).name)):
        tensors = Tensors(str(path), weights, notes=_notes(content))
        whose, role = _identify(tensors, peer)
        module = PEERS[whose]
        read = module.read_generator if role == "generator" else module.read_discriminator
        part = read(tensors)
        tensors.finish()
        part = Part({**module.NETWORK, **part.network}, part.state)
        found.append(Found(str(path), whose, role, average and role == "generator", part))
    return found


def _is_average(name: str) -> bool:
    """Whether a file's name says `ema`, and not as a part of `female` or `cinema`."""
    return re.search("(?<![a-z])ema(?![a-z])", name.lower()) is not None


def _networks(content: Mapping[str, Any], *, average: bool) -> list[tuple[bool, dict[str, Tensor]]]:
    """Unwrap the weights from what a training script saves, each with whether it is an average."""
    for key in _INSIDE:
        inner = content.get(key)
        if isinstance(inner, Mapping):
            content = inner
    weights = {key: value for key, value in content.items() if isinstance(value, Tensor)}
    if weights and all(key.startswith(_WRAPPED) for key in weights):
        weights = {key.removeprefix(_WRAPPED): value for key, value in weights.items()}
    together = {
        name: {
            k.removeprefix(f"{name}."): v for k, v in weights.items() if k.startswith(f"{name}.")
        }
        for name in _TOGETHER
    }
    split = [(_TOGETHER[name], inner) for name, inner in together.items() if inner]
    return split or [(average, weights)]


def _notes(content: Mapping[str, Any]) -> str:
    meta = content.get("meta")
    config = meta.get("config") if isinstance(meta, Mapping) else None
    return config if isinstance(config, str) else ""


def _identify(tensors: Tensors, peer: str | None) -> tuple[str, Role]:
    candidates = PEERS if peer is None else {peer: PEERS[peer]}
    for name, module in candidates.items():
        for role in ("generator", "discriminator"):
            if all(begins(tensors.left, mark) for mark in module.MARKS[role]):
                return name, role
    if not tensors.left:
        raise ValueError(f"{tensors.where} holds no weights by name: give the files of G and of D")
    kind = "of a known SAGAN" if peer is None else f"of {peer}"
    wanted = "" if peer is None else f"; it has no {_first_missing(tensors, PEERS[peer])}"
    raise ValueError(f"{tensors.where} is not a checkpoint {kind}: it holds {tensors}{wanted}")


def _first_missing(tensors: Tensors, module: ModuleType) -> str:
    marks: list[str] = [mark for role in module.MARKS.values() for mark in role]
    return next(mark for mark in marks if not begins(tensors.left, mark)).rstrip(".")
