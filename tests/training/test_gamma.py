"""A learning rate of gamma's own."""

from dataclasses import replace

import pytest
import torch
from digits_run import SMALL

from sagan.config import RunConfig, Runtime, TrainingConfig
from sagan.training.engine import Engine
from sagan.training.state import new_state

WIDE = replace(SMALL, resolution=16, g_width=8, g_attention=(8, 16), d_attention=(8,))


@pytest.mark.parametrize("form", ["paper", "residual"])
def test_gamma_moves_by_its_own_rate_and_all_else_as_before(form):
    moved = {}
    for factor in (1.0, 5.0):
        training = TrainingConfig(g_lr=1e-3, d_lr=1e-3, gamma_lr=factor)
        config = RunConfig(network=replace(WIDE, attention_form=form), training=training)
        runtime = Runtime(device="cpu")
        state = new_state(config, runtime, Engine(runtime, "float32"))
        for name, network in state.modules.items():
            before = {key: p.detach().clone() for key, p in network.named_parameters()}
            for p in network.parameters():
                p.grad = torch.ones_like(p)  # Adam's first step is the learning rate
            getattr(state.networks, f"{name.lower()}_optimizer").step()
            for key, p in network.named_parameters():
                moved[name, key, factor] = (p.detach() - before[key]).abs().max().item()
    gammas = {(name, key) for name, key, _ in moved if key.endswith(".gamma")}
    assert len(gammas) == 3
    for name, key, _ in moved:
        usual, own = moved[name, key, 1.0], moved[name, key, 5.0]
        assert usual == pytest.approx(1e-3, rel=0.01)
        assert own == pytest.approx(5e-3 if (name, key) in gammas else usual, rel=0.01)
