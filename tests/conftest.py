"""What every test shares: one thread, fixed draws, and property tests that repeat exactly."""

import pytest
import torch
from hypothesis import settings

torch.set_num_threads(1)

settings.register_profile("sagan", derandomize=True, database=None, deadline=None)
settings.load_profile("sagan")


@pytest.fixture(autouse=True)
def fixed_draws() -> None:
    """Give each test the same global random numbers, alone or among others."""
    torch.manual_seed(0)
