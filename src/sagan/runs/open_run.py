"""Open the networks of a run or of one of its checkpoints."""

import os
from typing import Literal

import torch

from sagan.models import Discriminator, Generator
from sagan.models import fold as folded
from sagan.models.standing import average_statistics
from sagan.models.weights import build_and_load_discriminator, build_and_load_generator
from sagan.runs.run import find_checkpoint
from sagan.sharing.facts import Facts

CHECKPOINT_FILES = {"ema": "ema", "raw": "generator"}  # of the kinds of weights


def load_run_generator(
    path: str | os.PathLike[str],
    *,
    weights: Literal["ema", "raw"] = "ema",
    device: str | torch.device = "cpu",
    fold: bool = False,
) -> Generator:
    """Open the generator of a run or checkpoint, in eval mode; see `sagan.load`."""
    if weights not in ("ema", "raw"):
        raise ValueError(f"unknown weights {weights!r}: ema or raw")
    name = CHECKPOINT_FILES[weights]
    checkpoint = find_checkpoint(path, verify_files=[name])
    network = build_and_load_generator(
        checkpoint.config.network, checkpoint.tensors(name), checkpoint.path
    )
    network.facts = Facts(checkpoint.config, checkpoint.step, weights)
    network.to(device).eval().requires_grad_(False)
    if weights == "raw":  # saved with the running statistics, with which training continues
        average_statistics(network, checkpoint.config.training)
    return folded(network) if fold else network


def load_discriminator(
    path: str | os.PathLike[str], *, device: str | torch.device = "cpu"
) -> Discriminator:
    """Open the discriminator of a run or checkpoint, in eval mode.

    Args:
        path: a run folder (its best checkpoint, else its latest) or a checkpoint folder.
        device: where to put it.

    Returns:
        A module: images `b c h w` in [-1, 1] and labels `b` (none when unconditional) to logits
        `b`, higher for more real.

    Raises:
        ValueError: there is no run at the path.
        CheckpointError: the checkpoint is damaged, or has no discriminator.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from sagan.config import NetworkConfig, RunConfig
        >>> from sagan.models import build_discriminator
        >>> from sagan.runs.run import Run
        >>> config = RunConfig(network=NetworkConfig(resolution=8, d_width=4))
        >>> weights = build_discriminator(config.network).state_dict()
        >>> run = Run(Path(tempfile.mkdtemp()))
        >>> _ = run.save(1, {"discriminator": weights}, config=config, keep=1)
        >>> load_discriminator(run.path)(torch.randn(2, 3, 8, 8)).shape
        torch.Size([2])
    """
    checkpoint = find_checkpoint(path, verify_files=["discriminator"])
    tensors = checkpoint.tensors("discriminator")
    network = build_and_load_discriminator(checkpoint.config.network, tensors, checkpoint.path)
    return network.to(device).eval().requires_grad_(False)
