"""The input of each step: images in keyed order, and keyed latents, labels and mixtures.

A step's numbers are drawn for the whole batch and cut into micro-batches and each process's share,
so they are the same for any number of processes.

Dimensions: b batch, z latent length.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sagan.config import RunConfig, TrainingConfig
from sagan.data import ImageDataset
from sagan.images import to_float
from sagan.randomness import DataOrder, derive_seed, generator_for
from sagan.training.augment import DRAWS
from sagan.training.step import DiscriminatorBatch, GeneratorBatch, HeldOutBatch

_KEEP_ON_DEVICE_BYTES = 2**31
_ALIGNMENT_BYTES = 16  # of each tensor within a packed buffer


def rows_apart(training: TrainingConfig, dataset: ImageDataset) -> tuple[Tensor, Tensor]:
    """Which images are held out, and which are trained on: some of every class, if possible."""
    rows = torch.randperm(len(dataset), generator=generator_for(training.seed, "holdout"))
    if dataset.labels is not None:  # one of each class goes to the end, where it is trained on
        _, from_end = np.unique(dataset.labels[rows.numpy()][::-1], return_index=True)
        keep = np.zeros(len(rows), bool)
        keep[len(rows) - 1 - from_end] = True
        rows = rows[torch.from_numpy(keep.argsort(kind="stable"))]
    held = training.held_out(len(dataset))
    return rows[:held], rows[held:].sort().values


@dataclass(frozen=True)
class Share:
    """One process's part of every micro-batch."""

    rank: int
    world_size: int


def check_batch(training: TrainingConfig, num: int, share: Share) -> None:
    """Raise ValueError if the batch does not suit those of `num` images that are trained on."""
    held = training.held_out(num)
    if training.batch_size > num - held:
        left = f", of which {held} are held out" if held else ""
        raise ValueError(
            f"batch size {training.batch_size} is larger than the data ({num} images{left}); "
            f"choose {num - held} or less"
        )
    if training.batch_size % (training.accumulate * share.world_size):
        raise ValueError(
            f"batch size {training.batch_size} does not divide into {training.accumulate} "
            f"micro-batches on {share.world_size} devices"
        )


class BatchSource:
    """Make the batches of any step from the data and keyed random numbers.

    Small data sets are kept on the device whole. A batch that is larger than the data, or does not
    divide into equal shares, raises ValueError.
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
        check_batch(training, len(dataset), share)
        self._held_out, self._trained_on = rows_apart(training, dataset)
        self._config, self._share, self._device, self._stage = config, share, device, stage
        self._conditional = config.network.classes > 0
        self._images = dataset.images  # memory-mapped if large: only rows become tensors
        self._on_device: Tensor | None = None
        self._labels = torch.zeros((), dtype=torch.int64).expand(len(dataset))  # when unconditional
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
        """Change the random numbers, for a rollback; 0 gives the run's original ones.

        The held-out images stay the same.
        """
        seed = self._config.training.seed
        if self._stage:  # each stage of a growing run has random numbers of its own
            seed = derive_seed(seed, "stage", self._stage)
        self._seed = derive_seed(seed, "retry", retry) if retry else seed
        self._order = DataOrder(len(self._trained_on), seed=self._seed)
        held = max(1, len(self._held_out))
        self._held_out_order = DataOrder(held, seed=self._seed, purpose="held-out order")

    def discriminator(self, d_step: int) -> list[DiscriminatorBatch]:
        """The micro-batches of a discriminator step, counted from 0 over the whole run."""
        size = self._config.training.batch_size
        rows = self._trained_on[self._order.indices(d_step * size, size)]
        drawn = self._draw("d", d_step)
        augment_draws = (self._augment_draws(kind, d_step) for kind in ("real", "fake"))
        parts = self._with_images(rows, self._flips("mirror", d_step), *drawn, *augment_draws)
        return [
            DiscriminatorBatch(images, labels, z, y if self._conditional else None, mix, real, fake)
            for images, labels, z, y, mix, real, fake in parts
        ]

    def held_out(self, step: int) -> list[HeldOutBatch]:
        """Micro-batches of held-out images, as many as a step shows real ones; none without any."""
        if not len(self._held_out):
            return []
        size = self._config.training.batch_size
        rows = self._held_out[self._held_out_order.indices(step * size, size)]
        flips = self._flips("mirror held-out", step)
        parts = self._with_images(rows, flips, self._augment_draws("held-out", step))
        return [HeldOutBatch(images, labels, draws) for images, labels, draws in parts]

    def generator(self, step: int) -> list[GeneratorBatch]:
        """The micro-batches of a generator step."""
        latents, labels, _ = self._draw("g", step)
        drawn = (latents, labels, self._augment_draws("g", step))
        parts = self._to_device([self._cut(tensor) for tensor in drawn])
        return [GeneratorBatch(z, y if self._conditional else None, draws) for z, y, draws in parts]

    def _with_images(self, rows: Tensor, flips: Tensor, *others: Tensor) -> Iterator[Any]:
        """Each micro-batch's images and labels, by their rows in the data, and the others."""
        columns = [self._cut(tensor) for tensor in (rows, flips, self._labels[rows], *others)]
        if self._on_device is None:
            columns[0] = [torch.from_numpy(self._images[part.numpy()]) for part in columns[0]]
        for images, flip, y, *rest in self._to_device(columns):
            if self._on_device is not None:
                images = self._on_device[images]  # so far they are rows
            if self._config.training.mirror:
                images = torch.where(flip[:, None, None, None], images.flip(3), images)
            yield to_float(images), y if self._conditional else None, *rest

    def _to_device(self, columns: list[list[Tensor]]) -> Iterator[tuple[Tensor, ...]]:
        """Copy lists of micro-batches to the device together, and yield one of each at a time."""
        moved = iter(copy_together([part for column in columns for part in column], self._device))
        return zip(*([next(moved) for _ in column] for column in columns), strict=True)

    def _flips(self, purpose: str, step: int) -> Tensor:
        """Which images of a batch to mirror."""
        draw = generator_for(self._seed, purpose, step)
        return torch.rand(self._config.training.batch_size, generator=draw) < 0.5

    def _augment_draws(self, purpose: str, step: int) -> Tensor:
        """The random numbers for each image's augmentation, `b r`; r is 0 without augmentation."""
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
        """This process's share of each micro-batch."""
        micro = whole.chunk(self._config.training.accumulate)
        return [part.chunk(self._share.world_size)[self._share.rank] for part in micro]


def copy_together(tensors: Sequence[Tensor], device: torch.device) -> list[Tensor]:
    """Copy tensors from the CPU to a device; to CUDA in one asynchronous transfer."""
    # A copy from pageable memory blocks the host, and many small ones cost a call each: so all are
    # packed into one pinned buffer, and the results are views of its copy.
    if device.type != "cuda":
        return [tensor.to(device) for tensor in tensors]
    padded = [-(-tensor.nbytes // _ALIGNMENT_BYTES) * _ALIGNMENT_BYTES for tensor in tensors]

    def views(buffer: Tensor) -> list[Tensor]:
        parts = zip(buffer.split(padded), tensors, strict=True)
        return [part[: like.nbytes].view(like.dtype).view(like.shape) for part, like in parts]

    pinned = torch.empty(sum(padded), dtype=torch.uint8, pin_memory=True)
    for view, tensor in zip(views(pinned), tensors, strict=True):
        view.copy_(tensor)
    # PyTorch's allocator does not reuse the pinned memory before the copy is done.
    return views(pinned.to(device, non_blocking=True))
