"""How a step's numbers come to the device: in one copy, for which the host does not wait."""

import dataclasses

import numpy as np
import pytest
import torch
from digits_run import configure

from sagan.config import NetworkConfig, TrainingConfig
from sagan.data import ImageDataset
from sagan.training import batches as batches_module
from sagan.training.batches import BatchSource, Share

TRAINING = TrainingConfig(batch_size=12, accumulate=2, mirror=True, holdout=0.2)
AUGMENTED = dataclasses.replace(TRAINING, augment=("color", "cutout"))


@pytest.fixture
def copies(monkeypatch):
    """Stands in for CUDA: a copy to it stays on the CPU, and is kept with its options."""
    to, empty = torch.Tensor.to, torch.empty
    made = []

    def counted(self, *arguments, **options):
        if arguments and str(arguments[0]) == "cuda":
            made.append((self, options))
            return self.clone()
        return to(self, *arguments, **options)

    def unpinned(*arguments, pin_memory=False, **options):
        buffer = empty(*arguments, **options)
        buffer.is_the_pinned_one = pin_memory
        return buffer

    monkeypatch.setattr(torch.Tensor, "to", counted)
    monkeypatch.setattr(torch, "empty", unpinned)
    return made


def source(training, classes, device):
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (50, 3, 8, 8), np.uint8)
    dataset = ImageDataset(images, draw.integers(0, 10, 50), tuple("0123456789"))
    config = configure(NetworkConfig(resolution=8, classes=classes, latent_dim=5), training)
    return BatchSource(dataset, config, Share(1, 2), torch.device(device))


def step_of(batch_source):
    return batch_source.discriminator(3), batch_source.held_out(3), batch_source.generator(3)


@pytest.mark.parametrize("on_device", [True, False])
@pytest.mark.parametrize("classes", [0, 10])
@pytest.mark.parametrize("training", [TRAINING, AUGMENTED], ids=["plain", "augmented"])
def test_a_step_makes_one_copy_a_kind_and_they_carry_the_cpus_very_numbers(
    copies, monkeypatch, training, classes, on_device
):
    expected = step_of(source(training, classes, "cpu"))
    assert copies == []
    if not on_device:
        monkeypatch.setattr(batches_module, "_KEEP_ON_DEVICE_BYTES", 0)
    there = source(training, classes, "cuda")
    assert len(copies) == on_device  # the images
    copies.clear()
    found = step_of(there)
    assert len(copies) == 3  # of real, held-out and fake batches, each of two micro-batches
    for buffer, options in copies:
        assert options == {"non_blocking": True}
        assert buffer.is_the_pinned_one
    for kind, same_kind in zip(expected, found, strict=True):
        assert len(kind) == len(same_kind) == 2
        for batch, same in zip(kind, same_kind, strict=True):
            for a, b in zip(batch, same, strict=True):
                assert (a is None) == (b is None)
                assert a is None or (a.dtype == b.dtype and torch.equal(a, b))
