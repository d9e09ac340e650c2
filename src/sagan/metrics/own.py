"""Features of a small classifier that is trained on the real images, on the spot and by a seed.

Dimensions: b images, c channels, h w the image's sides, d features, k classes.
"""

import hashlib

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, cross_entropy

from sagan.metrics.features import Extracted
from sagan.metrics.real import RealImages
from sagan.randomness import DataOrder, generator_for, seeded

_DIM = 64
_MOST_PX = 32
_STEPS = 500
_BATCH = 64
_LR = 2e-3
_TURNS = 4


class OwnFeatures:
    """The layer before the last of a trained classifier, scaled to a mean variance of 1.

    Args:
        network: images `b c h w` in [-1, 1] to features `b d`.
        side: px that images are averaged down to.
        task: what the classifier tells apart: classes or rotations.
        accuracy: at that, on images that it was not trained on.
        scale: that features are divided by.
    """

    name = "own"
    dim = _DIM

    def __init__(
        self, network: nn.Module, side: int, task: str, accuracy: float, scale: float
    ) -> None:
        self._network, self._side, self._scale = network, side, scale
        self.task, self.accuracy = task, accuracy
        digest = hashlib.sha256()
        for tensor in network.state_dict().values():
            digest.update(tensor.cpu().numpy().tobytes())
        self.weights_sha256 = digest.hexdigest()

    @property
    def resize(self) -> str:
        """Said in each record."""
        return (
            f"box average to at most {self._side} px, [-1, 1]; a classifier of {self.task} "
            f"trained on the real images (accuracy {self.accuracy:.3f} on held-out ones)"
        )

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Extracted:
        """Give features `b d`."""
        device = next(self._network.parameters()).device
        features = self._network(_shrink(images.to(device), self._side))
        return Extracted((features / self._scale).cpu().numpy())


def train_own_features(
    real: RealImages, *, seed: int, device: str | torch.device = "cpu"
) -> OwnFeatures:
    """Train a classifier on the training images: of their classes, or, without, of four rotations.

    Some 500 steps of a network of three convolutions; seconds at 32 px. The same seed gives the same
    network on the same machine and build.

    Args:
        real: images; the test images measure the accuracy that is reported.
        seed: of weights and batches.
        device: where to train.

    Source:
        Telling rotations apart without labels: Gidaris et al. 2018.
    """
    classes = len(real.class_names) if real.train_labels is not None else 0
    task = "classes" if classes > 1 else "rotations"
    outputs = classes if classes > 1 else _TURNS
    side = min(_MOST_PX, real.train.shape[2])
    with seeded(seed, "own features"):
        network = _body(real.train.shape[1], side).to(device)
        head = nn.Linear(_DIM, outputs).to(device)
    parameters = [*network.parameters(), *head.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=_LR)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _LR, total_steps=_STEPS)
    order = DataOrder(len(real.train), seed=seed)
    for step in range(_STEPS):
        index = order.indices(step * _BATCH, _BATCH).numpy()
        images, targets = _examples(real.train, real.train_labels, index, task, seed, step)
        logits = head(network(_shrink(images.to(device), side)).relu())
        loss = cross_entropy(logits, targets.to(device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    network.eval().requires_grad_(False)
    images, targets = _examples(
        real.test, real.test_labels, np.arange(min(len(real.test), 1000)), task, seed, _STEPS
    )
    with torch.no_grad():
        features = network(_shrink(images.to(device), side))
        accuracy = (head(features.relu()).argmax(1).cpu() == targets).float().mean().item()
    scale = features.var(0).mean().sqrt().item() or 1.0
    return OwnFeatures(network, side, task, accuracy, scale)


def _body(channels: int, side: int) -> nn.Sequential:
    strides = [2 if side > 16 else 1, 2, 2]
    after = side
    for stride in strides:
        after = -(-after // stride)
    pooled = min(2, after)
    return nn.Sequential(
        nn.Conv2d(channels, 32, 3, strides[0], 1),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3, strides[1], 1),
        nn.ReLU(),
        nn.Conv2d(64, 64, 3, strides[2], 1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(pooled),
        nn.Flatten(),
        nn.Linear(64 * pooled**2, _DIM),
    )


def _examples(
    images: NDArray[np.uint8],
    labels: NDArray[np.int64] | None,
    index: NDArray[np.int64],
    task: str,
    seed: int,
    step: int,
) -> tuple[Tensor, Tensor]:
    batch = torch.tensor(images[index])
    if task == "classes":
        assert labels is not None
        return batch, torch.tensor(labels[index])
    turns = torch.randint(_TURNS, (len(batch),), generator=generator_for(seed, "turns", step))
    turned = [image.rot90(int(turn), (1, 2)) for image, turn in zip(batch, turns, strict=True)]
    return torch.stack(turned), turns


def _shrink(images: Tensor, side: int) -> Tensor:
    floats = images.float() / 127.5 - 1
    return adaptive_avg_pool2d(floats, side) if images.shape[2] > side else floats
