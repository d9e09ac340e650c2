"""Inception features of images: the two protocols, and the file of weights.

Dimensions: b images, c channels, h w image sides, d features, k classes.
"""

import os
import shutil
import urllib.request
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from sagan.files import TEMPORARY, sha256_of_file
from sagan.metrics.features.extractors import Extracted
from sagan.metrics.features.inception import FEATURES, InceptionV3
from sagan.pth import read_pth

WEIGHTS_NAME = "pt_inception-2015-12-05-6726825d.pth"
WEIGHTS_URL = (
    f"https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/{WEIGHTS_NAME}"
)
WEIGHTS_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
DOWNLOAD = "download"
HOW_TO_GET_WEIGHTS = (
    f"the standard Inception weights are needed: give their file (pytorch-fid's {WEIGHTS_NAME}) "
    "with --features inception:FILE, or allow downloading it (96 MB) with --features "
    "inception:download; fd:own and kid:own need none"
)
_SIDE = 299
_AT_ONCE = 32  # at 299 px a larger batch takes memory and no less time

Protocol = Literal["inception", "inception-clean"]
_RESIZES = {
    "inception": "TensorFlow 1 bilinear to 299x299 without antialias, (x - 128) / 128",
    "inception-clean": "bicubic with antialias to 299x299 as Pillow, in float, (x - 128) / 128",
}


class InceptionFeatures:
    """Pool features and logits of the standard FID network (Heusel et al. 2017), in eval mode."""

    # Protocol `inception` is FID as most papers report it; `inception-clean` resizes with
    # antialiasing (Parmar et al. 2022), and its distances are called `clean-fid`.

    dim = FEATURES

    def __init__(self, network: InceptionV3, protocol: Protocol, weights_sha256: str) -> None:
        self._network = network
        self.name = protocol
        self.weights_sha256 = weights_sha256

    @property
    def resize(self) -> str:
        """The resize and the weights, as records say them."""
        known = self.weights_sha256 == WEIGHTS_SHA256
        return _RESIZES[self.name] + ("" if known else "; NOT the standard weights")

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Extracted:
        """Give features and logits; grey images are repeated to three channels."""
        if images.shape[1] not in (1, 3):
            raise ValueError(f"Inception takes images of 1 or 3 channels, not {images.shape[1]}")
        device = self._network.fc.weight.device
        parts = []
        for part in images.split(_AT_ONCE):
            x = part.to(device).float().expand(-1, 3, -1, -1)
            x = resize_tensorflow(x) if self.name == "inception" else resize_clean(x)
            parts.append([out.cpu().numpy() for out in self._network((x - 128) / 128)])
        features, logits = (np.concatenate(outs) for outs in zip(*parts, strict=True))
        return Extracted(features, logits)


def resize_tensorflow(images: Tensor, side: int = _SIDE) -> Tensor:
    """Resize `b c h w` as TensorFlow 1: pixel i samples i * h / side (not centres), unblurred."""
    return _lerp(_lerp(images, side, 3), side, 2)


def _lerp(x: Tensor, side: int, axis: int) -> Tensor:
    size = x.shape[axis]
    at = torch.arange(side, device=x.device, dtype=torch.float32) * (size / side)
    low = at.long().clamp_max(size - 1)
    high = (low + 1).clamp_max(size - 1)
    shape = [1] * x.ndim
    shape[axis] = side
    weight = (at - low).view(shape)
    return x.index_select(axis, low).lerp(x.index_select(axis, high), weight)


def resize_clean(images: Tensor, side: int = _SIDE) -> Tensor:
    """Resize `b c h w` by an antialiased bicubic filter, as Pillow does, clamped to [0, 255]."""
    size = (side, side)
    return interpolate(images, size, mode="bicubic", align_corners=False, antialias=True).clamp(
        0, 255
    )


def load_inception(
    protocol: Protocol, source: str, *, cache: Path, device: str | torch.device = "cpu"
) -> InceptionFeatures:
    """Load the FID network with weights from a file, or downloaded ones.

    Args:
        protocol: `inception` or `inception-clean`.
        source: a `.pth` file in pytorch-fid's layout, the same as `.safetensors`, or `download`.
        cache: folder for the download.
        device: where to compute.

    Returns:
        The extractor, for `sagan.evaluate` and `sagan.metrics.prepare`.

    Raises:
        ValueError: the file is missing, or does not hold these weights.
        OSError: the download failed.

    Source:
        Heusel et al. 2017; Parmar et al. 2022 for the clean protocol.

    Example:
        >>> load_inception("inception", "weights.pth", cache=Path())
        Traceback (most recent call last):
        ValueError: there is no file weights.pth; ...
    """
    path = download_weights(cache) if source == DOWNLOAD else Path(source)
    if not path.is_file():
        raise ValueError(f"there is no file {path}; {HOW_TO_GET_WEIGHTS}")
    weights = _read(path)
    with torch.device("meta"):
        network = InceptionV3()
    expected = network.state_dict()
    weights = {k: v for k, v in weights.items() if not k.startswith("AuxLogits.")}
    for key in expected:
        if key.endswith("num_batches_tracked"):  # unused, and missing from other programs' files
            weights.setdefault(key, torch.zeros((), dtype=torch.int64))
    for key, tensor in expected.items():
        if key not in weights or weights[key].shape != tensor.shape:
            found = tuple(weights[key].shape) if key in weights else "missing"
            raise ValueError(
                f"{path} does not hold the FID network's weights: {key} should be "
                f"{tuple(tensor.shape)} and is {found}; expected {WEIGHTS_NAME}"
            )
    network.load_state_dict({key: weights[key] for key in expected}, assign=True)
    network = network.float().to(device).eval().requires_grad_(False)
    return InceptionFeatures(network, protocol, sha256_of_file(path))


def _read(path: Path) -> dict[str, Tensor]:
    if path.suffix == ".safetensors":
        content = _read_safetensors(path)
    else:
        content = read_pth(path)
    return {key: value for key, value in content.items() if isinstance(value, Tensor)}


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    import safetensors.torch

    try:
        return safetensors.torch.load_file(path)
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path} is not a safetensors file, or is damaged: {error}") from None


def download_weights(cache: Path) -> Path:
    """Download the standard weights unless they are there, and check their SHA-256."""
    path = cache / WEIGHTS_NAME
    if path.is_file() and sha256_of_file(path) == WEIGHTS_SHA256:
        return path
    cache.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{TEMPORARY}{path.name}")
    try:
        with (
            urllib.request.urlopen(WEIGHTS_URL, timeout=60) as reply,
            open(temporary, "wb") as file,
        ):
            shutil.copyfileobj(reply, file)
        if sha256_of_file(temporary) != WEIGHTS_SHA256:
            raise ValueError(f"{WEIGHTS_URL} did not return {WEIGHTS_NAME}; try again")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path
