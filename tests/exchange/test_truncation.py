"""Truncation as a function: the distribution is the one that drawing again gives."""

import pytest
import torch

from sagan.exchange.truncation import _erfinv, truncated
from sagan.randomness import sample_latents


def test_the_inverse_is_pytorchs():
    x = torch.cat([torch.linspace(-0.9999, 0.9999, 20_001), 1 - 10.0 ** -torch.arange(4.0, 7)])
    expected = torch.erfinv(x)
    assert torch.allclose(_erfinv(x), expected, rtol=1e-6, atol=1e-9)
    assert _erfinv(torch.tensor([-1.0, 1.0])).isfinite().all()


@pytest.mark.parametrize("truncation", [0.3, 1.0, 2.0])
def test_quantiles_are_those_of_drawing_again(truncation):
    latents = torch.randn(200_000, generator=torch.Generator().manual_seed(0))
    ours = truncated(latents, torch.tensor(truncation))
    theirs = sample_latents([0], 200_000, truncation=truncation)[0]
    assert ours.abs().max() <= truncation
    shares = torch.linspace(0.01, 0.99, 99)
    far = (ours.quantile(shares) - theirs.quantile(shares)).abs().max()
    assert far < 0.01 * truncation


def test_order_and_sign_stay():
    latents = torch.linspace(-3, 3, 101)
    ours = truncated(latents, torch.tensor(0.8))
    assert (ours.diff() > 0).all()
    assert torch.equal(ours.sign(), latents.sign())


def test_none_changes_nothing_and_much_next_to_nothing():
    latents = torch.randn(1000, generator=torch.Generator().manual_seed(1))
    assert torch.equal(truncated(latents, torch.tensor(0.0)), latents)
    assert torch.allclose(truncated(latents, torch.tensor(9.0)), latents, atol=1e-3)


def test_the_farthest_latents_come_to_the_bounds():
    ends = truncated(torch.tensor([-40.0, 40.0]), torch.tensor(1.5))
    assert torch.allclose(ends, torch.tensor([-1.5, 1.5]), atol=1e-5)
