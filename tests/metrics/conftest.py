"""What the tests of metrics share: real digits."""

import pytest

from sagan.data import ImageDataset, load_dataset


@pytest.fixture(scope="package")
def digits() -> tuple[ImageDataset, ImageDataset]:
    """Training and test images."""
    return load_dataset("digits", resolution=8), load_dataset("digits", resolution=8, split="test")
