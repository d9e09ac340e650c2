"""Rows 2 and 3: killed before and after every call of a save, and at 15 bytes of what it writes.

Two patterns that are common among peers are killed in the same way and must be seen to lose states:
a harness that cannot fail shows nothing.
"""

import pytest
import safetensors.torch
import torch
from faults.killing import DeleteThenSave, InPlace, Ours, states_lost

from sagan.config import NetworkConfig, RunConfig
from sagan.runs.run import Run

CONFIG = RunConfig(network=NetworkConfig(resolution=8, g_width=4, d_width=4))
OFFSETS = [1, 100, 900, 2_000, *range(4_000, 48_000, 4_000)]


def state(step):
    draw = torch.Generator().manual_seed(step)
    sizes = {"generator": 6_000, "discriminator": 4_000, "ema": 6_000, "g_optimizer": 12_000}
    return {name: {"w": torch.randn(n, generator=draw)} for name, n in sizes.items()}


def two_saved(path):
    """A run of two checkpoints, and the newer one's folder."""
    run = Run(path)
    run.save(1, state(1), config=CONFIG, keep=9)
    return run, run.save(2, state(2), config=CONFIG, keep=9)


def contents(step):
    return {f"{name}.pth": safetensors.torch.save(group) for name, group in state(step).items()}


@pytest.mark.fault(2, 3)
def test_a_kill_anywhere_in_a_save_loses_no_state(tmp_path, counted):
    kills, lost = states_lost(Ours(state, CONFIG), tmp_path / "run", offsets=OFFSETS)
    counted({"kills inside a save": kills, "states lost": lost})
    assert kills > 40  # the save was killed, and often
    assert lost == 0


@pytest.mark.fault(2)
@pytest.mark.parametrize(
    ("pattern", "tried", "came_of_it"),
    [
        (InPlace, "kills of a save in place", "states lost in place"),
        (DeleteThenSave, "kills of delete, then save", "states lost by deleting first"),
    ],
)
def test_two_patterns_of_peers_lose_states_to_the_same_kills(
    tmp_path, pattern, tried, came_of_it, counted
):
    kills, lost = states_lost(pattern(contents), tmp_path / "run", offsets=OFFSETS)
    counted({tried: kills, came_of_it: lost})
    assert kills > 20
    assert lost > kills / 2
