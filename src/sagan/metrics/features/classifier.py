"""Features of a small classifier, trained on the spot on the real images, by a seed.

Dimensions: b images, c channels, h w image sides, d features, k classes.
"""

import hashlib
import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, cross_entropy

from sagan.images import to_float
from sagan.metrics.features.extractors import Extracted
from sagan.metrics.real_images import RealImages
from sagan.randomness import DataOrder, generator_for, seeded

_WIDTH = 64
_MOST_PX = 32
_STEPS = 500
_BATCH = 64
_LR = 2e-3
_SMOOTHING = 0.1
_TURNS = 4
_LOOKED_AT = 1000


class OwnFeatures:
    """A trained classifier's hidden layer, and its last convolution averaged."""

    # The hidden layer distinguishes contents, the averages textures; each alone hardly sees some
    # fault (docs/metrics.md). Both are scaled to a mean variance of 1 on real images.

    name = "own"
    dim = 2 * _WIDTH

    def __init__(
        self,
        network: "_Classifier",
        side: int,  # px that images are averaged down to
        task: str,  # what the classifier distinguishes: classes or rotations
        accuracy: float | None,  # on held-out images, if there are any
        scales: tuple[float, float],  # divisors of the two parts
    ) -> None:
        self._network, self._side, self._scales = network, side, scales
        self.task, self.accuracy = task, accuracy
        digest = hashlib.sha256()
        for tensor in network.state_dict().values():
            digest.update(tensor.cpu().numpy().tobytes())
        self.weights_sha256 = digest.hexdigest()

    @property
    def resize(self) -> str:
        """The resize and the classifier, as records say them."""
        known = "" if self.accuracy is None else f", right on {self.accuracy:.3f} of held-out ones"
        return (
            f"box average to at most {self._side} px, [-1, 1]; then a classifier of {self.task} "
            f"trained on the real images{known}"
        )

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Extracted:
        """Give features `b d`."""
        device = next(self._network.parameters()).device
        with torch.autocast(device.type, enabled=False):  # in training it may be on: as real ones
            parts = self._network.features(_shrink(images.to(device), self._side))
        scaled = [part / scale for part, scale in zip(parts, self._scales, strict=True)]
        return Extracted(torch.cat(scaled, 1).cpu().numpy())


class _Classifier(nn.Module):
    """Three convolutions, a bounded hidden layer, logits."""

    def __init__(self, channels: int, side: int, outputs: int) -> None:
        super().__init__()
        first = 2 if side > 16 else 1
        pooled = min(2, math.ceil(side / (4 * first)))
        self.convolutions = nn.Sequential(
            nn.Conv2d(channels, 32, 3, first, 1),
            nn.ReLU(),
            nn.Conv2d(32, _WIDTH, 3, 2, 1),
            nn.ReLU(),
            nn.Conv2d(_WIDTH, _WIDTH, 3, 2, 1),
            nn.ReLU(),
        )
        # unbounded hidden values let a few far images decide the distance
        self.hidden = nn.Sequential(
            nn.AdaptiveAvgPool2d(pooled), nn.Flatten(), nn.Linear(_WIDTH * pooled**2, _WIDTH),
            nn.Tanh(),
        )  # fmt: skip
        self.logits = nn.Linear(_WIDTH, outputs)

    def features(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Give the hidden layer and the averaged last convolution, `b d/2` each."""
        maps = self.convolutions(images)
        return self.hidden(maps), maps.mean((2, 3))

    def forward(self, images: Tensor) -> Tensor:
        hidden, _ = self.features(images)
        return self.logits(hidden)


def train_own_features(
    real: RealImages, *, seed: int, device: str | torch.device = "cpu"
) -> OwnFeatures:
    """Train a classifier of the training images' classes, or of four rotations without any."""
    # Rotations: Gidaris et al. 2018. 500 steps take seconds at 32 px. A seed gives the same network
    # on the same machine and build. The test images only measure the accuracy that records report.
    classes = len(real.class_names) if real.labels is not None else 0
    task = "classes" if classes > 1 else "rotations"
    channels, height, _ = real.shape
    side = min(_MOST_PX, height)
    with seeded(seed, "own features"):
        network = _Classifier(channels, side, classes if classes > 1 else _TURNS)
    network.to(device)
    optimizer = torch.optim.Adam(network.parameters(), lr=_LR)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _LR, total_steps=_STEPS)
    train, test = np.flatnonzero(~real.held_out), np.flatnonzero(real.held_out)
    order = DataOrder(len(train), seed=seed)
    for step in range(_STEPS):
        rows = train[order.indices(step * _BATCH, _BATCH).numpy()]
        images, targets = _examples(real, rows, task, seed, step)
        logits = network(_shrink(images.to(device), side))
        loss = cross_entropy(logits, targets.to(device), label_smoothing=_SMOOTHING)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    network.eval().requires_grad_(False)
    some = torch.tensor(real.images[_spread(train)]).to(device)
    hidden, means = (part.var(0).mean().sqrt() for part in network.features(_shrink(some, side)))
    accuracy = None
    if len(test):
        images, targets = _examples(real, _spread(test), task, seed, _STEPS)
        found = network(_shrink(images.to(device), side)).argmax(1).cpu()
        accuracy = (found == targets).float().mean().item()
    return OwnFeatures(network, side, task, accuracy, (hidden.item() or 1, means.item() or 1))


def _spread(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """At most 1000 rows, evenly spaced."""
    places = np.linspace(0, len(rows) - 1, min(len(rows), _LOOKED_AT))
    return rows[places.astype(np.int64)]


def _examples(
    real: RealImages, rows: NDArray[np.int64], task: str, seed: int, step: int
) -> tuple[Tensor, Tensor]:
    batch = torch.tensor(real.images[rows])
    if task == "classes":
        assert real.labels is not None
        return batch, torch.tensor(real.labels[rows])
    turns = torch.randint(_TURNS, (len(batch),), generator=generator_for(seed, "turns", step))
    turned = [image.rot90(int(turn), (1, 2)) for image, turn in zip(batch, turns, strict=True)]
    return torch.stack(turned), turns


def _shrink(images: Tensor, side: int) -> Tensor:
    floats = to_float(images)
    return adaptive_avg_pool2d(floats, side) if images.shape[2] > side else floats
