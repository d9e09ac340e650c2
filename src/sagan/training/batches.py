"""What each step is fed: images in keyed order, and keyed latents, labels and mixtures.

The numbers of a step are drawn for the whole batch and cut into micro-batches and each process's
share, so they are the same for any number of processes.

Dimensions: b batch, z latent length.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sagan.config import RunConfig
from sagan.data import ImageDataset
from sagan.images import to_float
from sagan.randomness import DataOrder, derive_seed, generator_for
from sagan.training.augment import DRAWS
from sagan.training.step import FakeBatch, HeldOutBatch, RealBatch

_KEEP_ON_DEVICE_BYTES = 2**31


def _permuted(length: int, seed: int) -> Tensor:
    """Which images are held out: the first so many of these rows."""
    return torch.randperm(length, generator=generator_for(seed, "holdout"))


@dataclass(frozen=True)
class Share:
    """One process's part of every micro-batch."""

    rank: int
    world_size: int


class BatchSource:
    """Cut the batches of any step out of the data and the keyed random numbers.

    Args:
        dataset: the training images.
        config: of the run.
        share: this process's part.
        device: where batches go; small data sets are kept there whole.
        stage: of a growing run; each has random numbers of its own.

    Raises:
        ValueError: the batch is larger than the data, or does not divide into equal shares.
    """

    def __init__(
        self,
        dataset: ImageDataset,
        config: RunConfig,
        share: Share,
        device: torch.device,
        stage: int = 0,
    ) -> None:
        training = config.training
        rows = _permuted(len(dataset), training.seed)
        held = math.ceil(training.holdout * len(dataset))
        self._held_out, self._trained_on = rows[:held], rows[held:].sort().values
        if training.batch_size > len(self._trained_on):
            left = f", of which {held} are held out" if held else ""
            raise ValueError(
                f"batch size {training.batch_size} is larger than the data ({len(dataset)} "
                f"images{left}); choose {len(self._trained_on)} or less"
            )
        if training.batch_size % (training.accumulate * share.world_size):
            raise ValueError(
                f"batch size {training.batch_size} does not divide into {training.accumulate} "
                f"micro-batches on {share.world_size} devices"
            )
        self._config, self._share, self._device, self._stage = config, share, device, stage
        self._conditional = config.network.classes > 0
        self._images = dataset.images  # a read-only map, where large: only rows are made tensors
        self._on_device: Tensor | None = None
        self._labels = None
        self._label_weights = torch.ones(max(1, config.network.classes))
        if self._conditional:
            assert dataset.labels is not None
            self._labels = torch.from_numpy(dataset.labels)
            if training.fake_labels == "data":
                shown = self._labels[self._trained_on]
                counts = torch.bincount(shown, minlength=config.network.classes)
                self._label_weights = counts.float()
        if device.type != "cpu" and self._images.nbytes <= _KEEP_ON_DEVICE_BYTES:
            self._on_device = torch.from_numpy(np.array(self._images)).to(device)
        self.reseed(0)

    def reseed(self, retry: int) -> None:
        """Take other random numbers from here on, for a run taken back; 0 takes the run's first.

        What is held out stays held out.
        """
        seed = self._config.training.seed
        seed = derive_seed(seed, "stage", self._stage) if self._stage else seed
        self._seed = derive_seed(seed, "retry", retry) if retry else seed
        self._order = DataOrder(len(self._trained_on), seed=self._seed)
        held = max(1, len(self._held_out))
        self._held_out_order = DataOrder(held, seed=self._seed, purpose="held-out order")

    def real(self, d_step: int) -> list[RealBatch]:
        """The micro-batches of a discriminator step, counted from 0 over the whole run."""
        training = self._config.training
        places = self._order.indices(d_step * training.batch_size, training.batch_size)
        indices = self._trained_on[places]
        latents, fake_labels, mix = self._draw("d", d_step)
        flips = self._flips("mirror", d_step)
        real_draws, fake_draws = (self._augment_draws(kind, d_step) for kind in ("real", "fake"))
        whole = (indices, flips, latents, fake_labels, mix, real_draws, fake_draws)
        parts = (self._cut(tensor) for tensor in whole)
        return [
            RealBatch(
                self._pictures(rows, flip),
                self._labels_of(rows),
                z.to(self._device),
                y.to(self._device) if self._conditional else None,
                share.to(self._device),
                real.to(self._device),
                fake.to(self._device),
            )
            for rows, flip, z, y, share, real, fake in zip(*parts, strict=True)
        ]

    def held_out(self, step: int) -> list[HeldOutBatch]:
        """Micro-batches of images that no step trains on, as many as a step shows."""
        size = self._config.training.batch_size
        rows = self._held_out[self._held_out_order.indices(step * size, size)]
        flips = self._flips("mirror held-out", step)
        parts = (self._cut(t) for t in (rows, flips, self._augment_draws("held-out", step)))
        return [
            HeldOutBatch(self._pictures(rows, flip), self._labels_of(rows), draws.to(self._device))
            for rows, flip, draws in zip(*parts, strict=True)
        ]

    def _labels_of(self, rows: Tensor) -> Tensor | None:
        return None if self._labels is None else self._labels[rows].to(self._device)

    def _rows(self, rows: Tensor) -> Tensor:
        if self._on_device is not None:
            return self._on_device[rows.to(self._device)]
        return torch.from_numpy(self._images[rows.numpy()]).to(self._device)

    def fake(self, step: int) -> list[FakeBatch]:
        """The micro-batches of a generator step."""
        latents, labels, _ = self._draw("g", step)
        parts = (self._cut(t) for t in (latents, labels, self._augment_draws("g", step)))
        return [
            FakeBatch(
                z.to(self._device),
                y.to(self._device) if self._conditional else None,
                draws.to(self._device),
            )
            for z, y, draws in zip(*parts, strict=True)
        ]

    def _pictures(self, rows: Tensor, flip: Tensor) -> Tensor:
        images = self._rows(rows)
        if self._config.training.mirror:
            flip = flip.to(self._device)[:, None, None, None]
            images = torch.where(flip, images.flip(3), images)
        return to_float(images)

    def _flips(self, purpose: str, step: int) -> Tensor:
        """Which images of a batch are mirrored."""
        draw = generator_for(self._seed, purpose, step)
        return torch.rand(self._config.training.batch_size, generator=draw) < 0.5

    def _augment_draws(self, purpose: str, step: int) -> Tensor:
        """The random numbers of each image's augmentation; none of them where there is none."""
        training = self._config.training
        draw = generator_for(self._seed, f"augment {purpose}", step)
        return torch.rand(training.batch_size, DRAWS if training.augment else 0, generator=draw)

    def _draw(self, purpose: str, step: int) -> tuple[Tensor, Tensor, Tensor]:
        batch_size = self._config.training.batch_size
        draw = generator_for(self._seed, purpose, step)
        latents = torch.randn(batch_size, self._config.network.latent_dim, generator=draw)
        labels = torch.multinomial(
            self._label_weights, batch_size, replacement=True, generator=draw
        )
        return latents, labels, torch.rand(batch_size, generator=draw)

    def _cut(self, whole: Tensor) -> list[Tensor]:
        """Split into micro-batches, and take this process's part of each."""
        micro = whole.chunk(self._config.training.accumulate)
        return [part.chunk(self._share.world_size)[self._share.rank] for part in micro]
