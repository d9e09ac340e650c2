"""A generator's weights as one safetensors file with the run's configuration in it."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import safetensors
import safetensors.torch
from torch import Tensor

from sagan.files import write_atomically
from sagan.models import Generator
from sagan.models.weights import generator_of
from sagan.runs.open_run import load_run_generator
from sagan.runs.run import find_checkpoint
from sagan.sharing.facts import CONFIG_FILE, Facts, is_shared_folder


def export_weights(
    run: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    weights: Literal["ema", "raw"] = "ema",
) -> int:
    """Write a run's or checkpoint's generator as one file, and return its size in bytes."""
    checkpoint = find_checkpoint(run)
    if weights == "ema":
        state = checkpoint.tensors("ema")
    else:  # raw weights get standing statistics, which only a network can make
        state = load_run_generator(checkpoint.path, weights=weights).state_dict()
    tensors = {name: tensor.contiguous() for name, tensor in state.items()}
    content = safetensors.torch.save(
        tensors, Facts(checkpoint.config, checkpoint.step, weights).published().to_strings()
    )
    write_atomically(Path(out), content)
    return len(content)


def open_weights(path: str | os.PathLike[str]) -> Generator:
    """Open such a file's generator, in eval mode on the CPU."""
    strings, tensors = read_tensors(path, path)
    folder = Path(path).parent
    beside = (folder / CONFIG_FILE).is_file() and is_shared_folder(folder)
    if "sagan.config" not in strings and beside:
        raise ValueError(f"{path} has its configuration beside it: open the folder, {folder}")
    return build_from_tensors(Facts.from_strings(strings, path), tensors, path)


def read_tensors(
    path: str | os.PathLike[str], where: object
) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Read a safetensors file's strings and tensors; `where` names it in errors."""
    tensors: dict[str, Tensor] = {}
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            strings = file.metadata() or {}
            for name in file.keys():  # noqa: SIM118 - not a mapping
                tensors[name] = file.get_tensor(name)
    except safetensors.SafetensorError as error:
        raise ValueError(f"{where} is not a safetensors file: {error}") from None
    return strings, tensors


def build_from_tensors(facts: Facts, tensors: Mapping[str, Tensor], where: object) -> Generator:
    """Build a generator, in eval mode on the CPU, of a file's configuration and tensors."""
    network = generator_of(facts.config.network, tensors, where)
    network.facts = facts
    return network.eval().requires_grad_(False)
