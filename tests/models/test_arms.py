"""The arms of an experiment: what they share begins equal, and what z can reach is known."""

from dataclasses import replace

import pytest
import torch

from sagan.config import NetworkConfig
from sagan.config.network import spatial_latent_dim
from sagan.models import build_discriminator, build_generator

BARE = NetworkConfig(resolution=16, latent_dim=12, g_width=8, d_width=8, paired_init=True)
BLOCKS = {
    "attention": {"g_attention": (8,), "d_attention": (8,)},
    "article": {"g_attention": (8,), "d_attention": (8,), "attention_form": "article"},
    "two maps": {"g_attention": (8, 16), "d_attention": (8,)},
    "residual": {"g_attention": (8,), "d_attention": (8,), "attention_form": "residual"},
    "context": {"g_attention": (8,), "d_attention": (8,), "attention_form": "global-context"},
    "gamma": {"g_attention": (8,), "d_attention": (8,), "gamma_start": 0.5},
    "g": {"g_attention": (8,)},
    "d": {"d_attention": (8,)},
}
BUILDERS = {"G": build_generator, "D": build_discriminator}


@pytest.mark.parametrize("init", ["xavier", "orthogonal", "default"])
@pytest.mark.parametrize("arm", BLOCKS)
@pytest.mark.parametrize("which", BUILDERS)
def test_all_that_arms_share_begins_bit_for_bit_equal(which, arm, init):
    bare = replace(BARE, init=init)
    shared = BUILDERS[which](bare, seed=3).state_dict()
    state = BUILDERS[which](replace(bare, **BLOCKS[arm]), seed=3).state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in shared.items())
    assert all(name.startswith("attention.") for name in state.keys() - shared.keys())
    other = BUILDERS[which](replace(bare, **BLOCKS[arm]), seed=4).state_dict()
    learnt = [n for n in state if n.endswith("layer.weight")]
    assert all(not torch.equal(state[n], other[n]) for n in learnt)


def test_pairing_changes_nothing_without_blocks_and_is_off_by_default():
    for build in BUILDERS.values():
        plain = build(replace(BARE, paired_init=False), seed=3).state_dict()
        paired = build(BARE, seed=3).state_dict()
        assert all(torch.equal(plain[name], tensor) for name, tensor in paired.items())
    unpaired = replace(BARE, paired_init=False, g_attention=(8,))
    a = build_generator(unpaired, seed=3).state_dict()
    b = build_generator(replace(unpaired, paired_init=True), seed=3).state_dict()
    assert not torch.equal(a["to_image.layer.weight"], b["to_image.layer.weight"])


@pytest.mark.parametrize("init", ["xavier", "orthogonal"])
def test_the_blocks_own_weights_are_not_those_of_shared_layers(init):
    network = replace(BARE, init=init, g_attention=(8,), g_width=32)
    state = build_generator(network, seed=3).state_dict()
    own = state["attention.0.output.layer.weight"].flatten()
    for name, tensor in state.items():
        if name.startswith("blocks") and name.endswith("layer.weight"):
            other = tensor.flatten()[: len(own)]
            assert torch.corrcoef(torch.stack([own[: len(other)], other]))[0, 1].abs() < 0.2


def test_gamma_begins_where_it_is_told():
    network = replace(BARE, g_attention=(8,), gamma_start=0.25)
    for form in ("paper", "article", "residual", "global-context"):
        generator = build_generator(replace(network, attention_form=form))
        assert generator.attention["0"].gamma.item() == 0.25


def far_gradient(resolution, form, **changes):
    """Largest gradient of pixels left of the first quarter by noise in the right half."""
    network = NetworkConfig(
        resolution=resolution,
        latent="spatial",
        latent_dim=spatial_latent_dim(resolution),
        g_width=8,
        classes=2,
        gamma_start=1.0,
        attention_form=form,
        **changes,
    )
    generator = build_generator(network, seed=1).eval().double()
    side = resolution // 2
    z = torch.randn(3, network.latent_dim, dtype=torch.float64, requires_grad=True)
    images = generator(z, torch.tensor([0, 1, 0]))
    images[..., : resolution // 4 + 1].square().sum().backward()
    by_cell = z.grad.unflatten(1, (-1, side, side)).abs().amax((0, 1, 2))
    assert by_cell[0] > 0
    return by_cell[side // 2 :].max().item()


@pytest.mark.parametrize("resolution", [16, 32])
def test_without_attention_far_places_share_no_spatial_noise(resolution):
    at = resolution // 2
    assert far_gradient(resolution, "paper") == 0.0
    assert far_gradient(resolution, "paper", g_attention=(at,)) > 0
    assert far_gradient(resolution, "global-context", g_attention=(at,)) > 0


def test_the_residual_block_does_not_join_far_places():
    assert far_gradient(32, "residual", g_attention=(16,)) == 0.0


def test_spatial_latents_fit_their_map():
    with pytest.raises(ValueError, match="spatial latents at 16 px are a multiple of 64 numbers"):
        replace(BARE, latent="spatial")
    with pytest.raises(ValueError, match="latent is of the resnet family"):
        NetworkConfig(family="dcgan", latent="spatial", latent_dim=256)
    smallest = NetworkConfig(resolution=8, latent="spatial", latent_dim=spatial_latent_dim(8))
    images = build_generator(smallest)(torch.randn(2, smallest.latent_dim))
    assert images.shape == (2, 3, 8, 8)
    assert not torch.equal(images[0], images[1])
