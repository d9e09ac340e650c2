"""Opens a generator from wherever it is: a run, an exported file or folder, or the hub."""

import os
from pathlib import Path
from typing import Literal, NamedTuple

import torch

from sagan.config import RunConfig
from sagan.exchange.hub_folder import open_generator_folder, open_generator_repository
from sagan.exchange.onnx import OnnxGenerator, open_onnx
from sagan.exchange.safetensors_file import open_weights
from sagan.models import Generator
from sagan.models import fold as folded
from sagan.runs import open_run
from sagan.runs.place import locate
from sagan.sharing.facts import Facts
from sagan.sharing.hub import parse


class Opened(NamedTuple):
    """A generator and its metadata."""

    generator: Generator | OnnxGenerator
    facts: Facts

    @property
    def config(self) -> RunConfig:
        """The configuration of the run that trained it."""
        return self.facts.config


def load(
    path: str | os.PathLike[str],
    *,
    weights: Literal["ema", "raw"] = "ema",
    device: str | torch.device = "cpu",
    fold: bool = False,
) -> Generator | OnnxGenerator:
    """Open a generator, in eval mode.

    Args:
        path: a run folder (its best checkpoint, else its latest), a checkpoint folder, a .onnx or
            .safetensors file of `sagan export`, a folder of `save_pretrained`, or such a folder on
            the Hugging Face hub: `hub:OWNER/NAME` or `hub:OWNER/NAME@REVISION`.
        weights: `ema` for the averaged weights that sampling uses, `raw` for the trained ones.
            Only runs hold both; anything else holds one set, which the default opens.
        device: where to put it; ONNX files run on the CPU.
        fold: fold its norms into its weights, which makes sampling faster and training impossible
            (see `sagan.models.fold`); images are the same up to rounding. ONNX files are folded.

    Returns:
        A callable that takes latents `b z` and labels `b` (none when unconditional) and gives
        images `b c h w` in [-1, 1]. Its `config` has the sizes. A PyTorch module, except for ONNX
        files.

    Raises:
        ValueError: the path has no generator, or not these weights, or it cannot run on the device.
        CheckpointError: the checkpoint is damaged.

    Example:
        >>> import tempfile
        >>> from sagan.config import NetworkConfig
        >>> from sagan.exchange.safetensors_file import export_weights
        >>> from sagan.models import build_generator
        >>> from sagan.runs.run import Run
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
    """Open a generator as `load` does, with its metadata."""
    place = locate(path)
    if place.kind == "hub":
        network = open_generator_repository(parse(path))
    elif place.kind == "shared folder":
        network = open_generator_folder(place.path)
    elif place.kind != "model file":
        network = open_run.load_run_generator(path, weights=weights, device=device, fold=fold)
        assert network.facts is not None
        return Opened(network, network.facts)
    elif place.path.suffix.lower() == ".onnx":
        return _open_onnx(place.path, weights, device)
    else:
        network = open_weights(path)
    assert network.facts is not None
    _check_weights(network.facts, weights, path)
    network.to(device)
    return Opened(folded(network) if fold else network, network.facts)


def _open_onnx(path: Path, weights: str, device: str | torch.device) -> Opened:
    if torch.device(device).type != "cpu":
        raise ValueError(f"{path} is run by ONNX Runtime on the CPU, not on {device}")
    exported = open_onnx(path)
    _check_weights(exported.facts, weights, path)
    return Opened(exported, exported.facts)


def _check_weights(facts: Facts, weights: str, path: object) -> None:
    if weights not in ("ema", "raw"):
        raise ValueError(f"unknown weights {weights!r}: ema or raw")
    if weights == "raw" and facts.weights != "raw":
        held = "the averaged weights only" if facts.weights else "one set of weights, kind unknown"
        raise ValueError(f"{path} has {held}")
