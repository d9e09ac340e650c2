"""A generator's weights in one safetensors file that says what they are."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import safetensors
import safetensors.torch
from torch import Tensor

from sagan.config import NetworkConfig
from sagan.config.channels import generator_stages
from sagan.files import write_atomically
from sagan.models import Generator, build_generator
from sagan.runs.open_run import load_run_generator
from sagan.runs.run import find_checkpoint
from sagan.sharing.facts import CONFIG_FILE, Facts, is_shared_folder, read_facts


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
    state = load_run_generator(checkpoint.path, weights=weights).state_dict()
    tensors = {name: tensor.contiguous() for name, tensor in state.items()}
    content = safetensors.torch.save(
        tensors, Facts(checkpoint.config, checkpoint.step, weights).published().to_strings()
    )
    write_atomically(Path(out), content)
    return len(content)


def open_weights(path: str | os.PathLike[str]) -> tuple[Generator, Facts]:
    """Open such a file: its generator, in eval mode on the CPU, and where it comes from.

    Raises:
        ValueError: it is none, or is damaged.
        OSError: it cannot be read.
    """
    strings, tensors = read_tensors(path, path)
    folder = Path(path).parent
    beside = (folder / CONFIG_FILE).is_file() and is_shared_folder(folder)
    if "sagan.config" not in strings and beside:
        raise ValueError(f"{path} has its configuration beside it: open the folder, {folder}")
    facts = read_facts(strings, path)
    return generator_of(facts, tensors, path), facts


def read_tensors(
    path: str | os.PathLike[str], where: object
) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Read a safetensors file's strings and tensors.

    Args:
        path: of the file.
        where: its name, for messages.

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
        raise ValueError(f"{where} is no safetensors file: {error}") from None
    return strings, tensors


def generator_of(facts: Facts, tensors: Mapping[str, Tensor], where: object) -> Generator:
    """Make the generator that a configuration and tensors describe, in eval mode on the CPU.

    Raises:
        ValueError: they do not fit each other.
    """
    other = ValueError(f"{where} holds other weights than its configuration says")
    n_numbers = sum(tensor.numel() for tensor in tensors.values())
    if least_numbers(facts.config.network) > n_numbers:
        raise other  # before memory is taken for what a few bytes of text ask for
    network = build_generator(facts.config.network)
    try:
        network.load_state_dict(tensors)
    except RuntimeError:
        raise other from None
    network.facts = facts
    return network.eval().requires_grad_(False)


def least_numbers(network: NetworkConfig) -> int:
    """Count some of a generator's weights, without making them: its convolutions and classes.

    Example:
        >>> config = NetworkConfig(resolution=8, g_width=4)
        >>> made = build_generator(config).state_dict()
        >>> least_numbers(config) < sum(tensor.numel() for tensor in made.values())
        True
    """
    taps = 16 if network.family == "dcgan" else 9
    stages = generator_stages(network)
    widths = sum(2 * network.classes * stage.c_in for stage in stages)
    return widths + sum(taps * stage.c_in * stage.c_out for stage in stages)
