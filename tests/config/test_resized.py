"""A configuration at another resolution: the blocks that both have are the same."""

from dataclasses import replace

import pytest

from sagan.config import NetworkConfig
from sagan.config.channels import discriminator_blocks, generator_blocks
from sagan.config.presets import PRESETS
from sagan.config.resized import resized
from sagan.models import build_discriminator, build_generator

PAIRS = [(a, b) for a in (8, 16, 32, 64, 128, 256) for b in (8, 16, 32, 64, 128, 256) if a != b]


def small(resolution, **changes):
    return NetworkConfig(resolution=resolution, g_width=4, d_width=4, **changes)


@pytest.mark.parametrize(("before", "after"), PAIRS)
def test_every_map_that_both_have_keeps_its_blocks(before, after):
    old, new = small(before), resized(small(before), after)
    for stages in (generator_blocks, lambda config: discriminator_blocks(config)[::-1]):
        both = list(zip(stages(old), stages(new), strict=False))
        same = [(a.c_in, a.c_out, a.c_hidden) == (b.c_in, b.c_out, b.c_hidden) for a, b in both]
        assert same.count(False) <= 1  # that which sees images
        assert all(same[:-1])
    assert generator_blocks(new)[-1].size_px == after
    if after >= 16 or after > before:  # at 8 px the family halves the map otherwise
        last = [discriminator_blocks(config)[-1].size_px for config in (old, new)]
        assert last[0] == last[1]


@pytest.mark.parametrize("resolution", [32, 128])
def test_a_dcgan_keeps_its_blocks(resolution):
    old = NetworkConfig(family="dcgan", resolution=64, g_width=32, d_width=32)
    new = resized(old, resolution)
    assert new.resolution == resolution
    for stages in (generator_blocks, lambda config: discriminator_blocks(config)[::-1]):
        both = list(zip(stages(old), stages(new), strict=False))
        assert all(
            (a.c_in, a.c_out, a.size_px) == (b.c_in, b.c_out, b.size_px) for a, b in both[:-1]
        )


def test_a_dcgan_whose_width_does_not_halve_is_refused():
    odd = NetworkConfig(family="dcgan", resolution=64, g_width=9, d_width=32)
    with pytest.raises(ValueError, match="g_width 9 cannot be kept at 128 px"):
        resized(odd, 128)


@pytest.mark.parametrize("name", PRESETS)
def test_there_and_back_is_the_same(name):
    network = PRESETS[name][0]
    larger = resized(network, min(2 * network.resolution, 128 if name == "article" else 256))
    assert resized(larger, network.resolution) == network


def test_attention_stays_where_there_is_a_map_for_it():
    old = small(64, g_attention=(16, 32), d_attention=(8, 16), attention_form="article")
    old = replace(old, g_width=8, d_width=8)
    assert resized(old, 128).g_attention == (16, 32)
    assert resized(old, 128).d_attention == (8, 16)
    assert resized(old, 16).g_attention == (16,)
    assert resized(old, 16).d_attention == (8,)


def test_attention_behind_chosen_blocks_moves_with_them():
    old = small(32, d_attention=(8,), d_attention_blocks=(2,))
    assert discriminator_blocks(old)[2].attention
    new = resized(old, 64)
    assert (new.d_attention, new.d_attention_blocks) == ((8,), (3,))


def test_what_it_describes_can_be_built():
    for network in (small(64, classes=2), NetworkConfig(family="dcgan", g_width=16, d_width=16)):
        config = resized(network, 128)
        build_generator(config)
        build_discriminator(config)
