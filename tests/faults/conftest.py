"""What the tests of the fault matrix share."""

import pytest

from sagan.data import load_dataset

collect_ignore = ["coverage_fuzz.py"]  # a program, which needs atheris


@pytest.fixture(scope="session")
def digits():
    """The training digits at 8 px; do not change them."""
    return load_dataset("digits", resolution=8)
