"""A generator's weights as one safetensors file with the run's configuration in it."""

import os
from pathlib import Path
from typing import Literal, NamedTuple

import safetensors
import safetensors.torch
from torch import Tensor

from sagan.files import write_atomically
from sagan.models import Generator
from sagan.models.weights import build_and_load_generator
from sagan.runs.open_run import load_run_generator
from sagan.sharing.facts import CONFIG_FILE, Facts, is_shared_folder
from sagan.sharing.seal import UNSEALED, check_seal, seal
from sagan.text import warn_once


def export_weights(
    run: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    weights: Literal["ema", "raw"] = "ema",
) -> int:
    """Write a run's or checkpoint's generator as one file, and return its size in bytes."""
    network = load_run_generator(run, weights=weights)
    assert network.facts is not None
    tensors = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    strings = network.facts.published().to_strings()
    content = seal(safetensors.torch.save(tensors, {**strings, **UNSEALED}))
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    write_atomically(Path(out), content)
    return len(content)


class Content(NamedTuple):
    """What a safetensors file holds."""

    strings: dict[str, str]
    tensors: dict[str, Tensor]
    unsealed: str  # what to say if it carries no checksum


def open_weights(path: str | os.PathLike[str]) -> Generator:
    """Open such a file's generator, in eval mode on the CPU."""
    content = read_content(path, path)
    folder = Path(path).parent
    beside = (folder / CONFIG_FILE).is_file() and is_shared_folder(folder)
    if "sagan.config" not in content.strings and beside:
        raise ValueError(f"{path} has its configuration beside it: open the folder, {folder}")
    return build_from_content(Facts.from_strings(content.strings, path), content, path)


def read_content(path: str | os.PathLike[str], where: object) -> Content:
    """Read a safetensors file's strings and tensors; `where` names it in errors."""
    tensors: dict[str, Tensor] = {}
    unsealed = check_seal(path, where)
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            strings = file.metadata() or {}
            for name in file.keys():  # noqa: SIM118 - not a mapping
                tensors[name] = file.get_tensor(name)
    except safetensors.SafetensorError as error:
        raise ValueError(f"{where} is not a safetensors file: {error}") from None
    return Content(strings, tensors, unsealed)


def build_from_content(facts: Facts, content: Content, where: object) -> Generator:
    """Build a generator, in eval mode on the CPU, of a file's tensors."""
    network = build_and_load_generator(facts.config.network, content.tensors, where)
    network.facts = facts
    if content.unsealed:
        warn_once(content.unsealed)
    return network.eval().requires_grad_(False)
