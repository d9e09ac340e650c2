"""A generator's weights in one safetensors file that says what they are."""

import os
from pathlib import Path
from typing import Literal

import safetensors
import safetensors.torch
from torch import Tensor

from sagan.exchange.facts import Facts, facts_of, read_facts
from sagan.files import write_atomically
from sagan.models import Generator, build_generator
from sagan.run import find_checkpoint
from sagan.sampling import load


def export_weights(
    run: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    weights: Literal["ema", "raw"] = "ema",
) -> int:
    """Write a run's generator as one file: weights, and the run's configuration in its metadata.

    Args:
        run: a run's folder, or one of its checkpoints'.
        out: the file.
        weights: the averaged ones, or the raw.

    Returns:
        The file's size in bytes.

    Raises:
        ValueError: there is no run.
    """
    checkpoint = find_checkpoint(run)
    state = load(checkpoint.path, weights=weights).state_dict()
    tensors = {name: tensor.contiguous() for name, tensor in state.items()}
    content = safetensors.torch.save(tensors, facts_of(checkpoint, weights).to_strings())
    write_atomically(Path(out), content)
    return len(content)


def open_weights(path: str | os.PathLike[str]) -> tuple[Generator, Facts]:
    """Open such a file: its generator, in eval mode on the CPU, and where it comes from.

    Raises:
        ValueError: it is none, or is damaged.
        OSError: it cannot be read.
    """
    tensors: dict[str, Tensor] = {}
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            strings = file.metadata() or {}
            for name in file.keys():  # noqa: SIM118 - it is no mapping
                tensors[name] = file.get_tensor(name)
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path} is no safetensors file: {error}") from None
    facts = read_facts(strings, path)
    network = build_generator(facts.config.network)
    try:
        network.load_state_dict(tensors)
    except RuntimeError:
        raise ValueError(f"{path} holds other weights than its configuration says") from None
    return network.eval().requires_grad_(False), facts
