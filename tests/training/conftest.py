"""What the tests of training share."""

import pytest

from sagan.data import load_dataset


@pytest.fixture(scope="session")
def digits():
    """The training digits at 8 px; do not change them."""
    return load_dataset("digits", resolution=8)


@pytest.fixture(scope="session")
def large_digits():
    """The training digits at 16 px; nobody may change them."""
    return load_dataset("digits", resolution=16)
