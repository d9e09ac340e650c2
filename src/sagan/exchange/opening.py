"""A generator from wherever it is: a run, or a file that `sagan export` wrote."""

import os
from pathlib import Path
from typing import Literal, NamedTuple

import torch

from sagan import sampling
from sagan.config import RunConfig
from sagan.exchange.facts import Facts
from sagan.exchange.onnx import OnnxGenerator, open_onnx
from sagan.exchange.weights_file import open_weights
from sagan.models import Generator
from sagan.models import fold as folded
from sagan.run import find_checkpoint


class Opened(NamedTuple):
    """A generator, and the configuration of the run that trained it."""

    generator: Generator | OnnxGenerator
    config: RunConfig


def load(
    path: str | os.PathLike[str],
    *,
    weights: Literal["ema", "raw"] = "ema",
    device: str | torch.device = "cpu",
    fold: bool = False,
) -> Generator | OnnxGenerator:
    """Open a generator, in eval mode.

    Args:
        path: a run folder (its best checkpoint, else its latest), a checkpoint folder, or a .onnx
            or .safetensors file of `sagan export`.
        weights: `ema` for the averaged weights that sampling uses, `raw` for the trained ones. A
            file holds one set, which the default opens whichever it is.
        device: where to put it; ONNX files run on the CPU.
        fold: work its norms into its weights, for sampling alone (see `sagan.models.fold`): the
            same images but for rounding, sooner. ONNX files have it done already.

    Returns:
        What is called with latents `b z` and labels `b` (none when unconditional) and gives images
        `b c h w` in [-1, 1]. Its `config` says its sizes. A PyTorch module, but for ONNX files.

    Raises:
        ValueError: there is no generator at the path, or not these weights, or not on this device.
        CheckpointError: the checkpoint is damaged.

    Example:
        >>> import tempfile
        >>> from sagan.config import NetworkConfig
        >>> from sagan.exchange.weights_file import export_weights
        >>> from sagan.models import build_generator
        >>> from sagan.run import Run
        >>> config = RunConfig(network=NetworkConfig(resolution=8, g_width=4))
        >>> run = Run(Path(tempfile.mkdtemp()))
        >>> ema = build_generator(config.network).state_dict()
        >>> _ = run.save(1, {"ema": ema}, config=config, keep=1)
        >>> _ = export_weights(run.path, run.path / "model.safetensors")
        >>> latents = torch.randn(2, 128)
        >>> theirs = load(run.path / "model.safetensors")(latents)
        >>> torch.equal(theirs, load(run.path)(latents))
        True
    """
    return open_generator(path, weights=weights, device=device, fold=fold).generator


def open_generator(
    path: str | os.PathLike[str],
    *,
    weights: Literal["ema", "raw"] = "ema",
    device: str | torch.device = "cpu",
    fold: bool = False,
) -> Opened:
    """Open a generator, as `load` does, with its run's configuration."""
    path = Path(path)
    if not _is_model_file(path):
        network = sampling.load(path, weights=weights, device=device, fold=fold)
        return Opened(network, find_checkpoint(path).config)
    if not path.is_file():
        raise ValueError(f"{path} does not exist: name a run folder, or a file of sagan export")
    if path.suffix.lower() == ".onnx":
        if torch.device(device).type != "cpu":
            raise ValueError(f"{path} is run by ONNX Runtime on the CPU, not on {device}")
        exported = open_onnx(path)
        _check_weights(exported.facts, weights, path)
        return Opened(exported, exported.facts.config)
    network, facts = open_weights(path)
    _check_weights(facts, weights, path)
    network.to(device)
    return Opened(folded(network) if fold else network, facts.config)


def _is_model_file(path: Path) -> bool:
    """Whether a path is named as a file of `sagan export`, and is no folder."""
    return path.suffix.lower() in (".onnx", ".safetensors") and not path.is_dir()


def _check_weights(facts: Facts, weights: str, path: Path) -> None:
    if weights not in ("ema", "raw"):
        raise ValueError(f"unknown weights {weights!r}: ema or raw")
    if weights == "raw" and facts.weights != "raw":
        raise ValueError(f"{path} holds the averaged weights only")
