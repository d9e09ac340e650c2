"""The variants in which other implementations' networks differ, against their literal form."""

import pytest
import torch
import torch.nn.functional as F

from sagan.config import NetworkConfig, RunConfig, run_config_from_dict, to_dict
from sagan.config.channels import discriminator_blocks, generator_blocks
from sagan.explain.directions import first_matrix
from sagan.models import build_discriminator, build_generator
from sagan.models.folded import fold
from sagan.nn import DiscriminatorBlock, GeneratorBlock, SpectralNorm

VARIANT = {
    "g_channels": (24, 16, 8, 16),
    "d_channels": (8, 16, 24, 40),
    "d_hidden": (3, 8, 16, 24),
    "d_halvings": 3,
    "d_attention": (4, 16),
    "d_attention_blocks": (0, 3),
    "g_upsampling": "bilinear",
    "g_spectral_norm": False,
    "d_shortcut_relu": True,
    "class_input": True,
}


def test_a_network_of_all_variants_runs_and_every_parameter_learns():
    config = NetworkConfig(classes=3, g_attention=(16,), **VARIANT)
    generator, discriminator = build_generator(config), build_discriminator(config)
    labels = torch.tensor([0, 2])
    images = generator(torch.randn(2, 128), labels)
    discriminator(images, labels).sum().backward()
    assert images.shape == (2, 3, 32, 32)
    silent = {
        name
        for network in (generator, discriminator)
        for name, p in network.named_parameters()
        if p.grad is None or not p.grad.abs().any()
    }
    assert all(name.startswith("attention") or "gain" in name for name in silent)  # gamma is 0
    assert not any(isinstance(m, SpectralNorm) for m in generator.modules())
    assert list(discriminator.attention) == ["0", "3"]
    assert [s.size_px for s in discriminator_blocks(config)] == [16, 8, 4, 4]
    convs = [(b.conv1.layer.in_channels, b.conv1.layer.out_channels) for b in discriminator.blocks]
    assert convs == [(3, 3), (8, 8), (16, 16), (24, 24)]


@pytest.mark.parametrize("classes", [0, 3])
def test_a_generator_of_all_variants_folds_and_has_directions(classes):
    config = NetworkConfig(classes=classes, latent_dim=12, g_attention=(16,), **VARIANT)
    generator = build_generator(config).eval()
    labels = torch.tensor([0, 2]) if classes else None
    z = torch.randn(2, 12)
    torch.testing.assert_close(fold(generator)(z, labels), generator(z, labels), atol=1e-5, rtol=0)
    assert first_matrix(generator).shape == (16 * 24, 12)


def test_the_shortcut_behind_the_relu_is_what_an_in_place_relu_makes():
    block = DiscriminatorBlock(8, 12, downsample=True, shortcut_relu=True)
    x = torch.randn(2, 8, 8, 8)
    seen = x.clone()
    hidden = block.conv2(F.relu(block.conv1(F.relu(seen, inplace=True))))
    expected = F.avg_pool2d(hidden, 2) + F.avg_pool2d(block.shortcut(seen), 2)
    torch.testing.assert_close(block(x), expected, atol=1e-5, rtol=0)
    block.shortcut_relu = False
    assert not torch.allclose(block(x), expected, atol=1e-2)
    first = DiscriminatorBlock(8, 12, downsample=True, first=True, shortcut_relu=True)
    plain = F.avg_pool2d(first.conv2(F.relu(first.conv1(x))), 2)
    torch.testing.assert_close(first(x), plain + first.shortcut(F.avg_pool2d(x, 2)))


def test_bilinear_upsampling_before_the_shortcuts_convolution_is_the_same_after_it():
    block = GeneratorBlock(8, 6, classes=0, upsampling="bilinear").eval()
    x = torch.randn(2, 8, 5, 5)

    def double(features):
        return F.interpolate(features, scale_factor=2, mode="bilinear", align_corners=False)

    hidden = block.conv1(double(F.relu(block.norm1(x, None))))
    expected = block.conv2(F.relu(block.norm2(hidden, None))) + block.shortcut(double(x))
    torch.testing.assert_close(block(x, None), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"g_channels": (8, 8)}, "g_channels must be 4 widths, not 2"),
        ({"d_channels": (8,) * 5}, "d_channels must be 4 widths, not 5"),
        ({"d_hidden": (8,)}, "d_hidden must be 4 widths, not 1"),
        ({"g_channels": (8, 8, 8, 0)}, "g_channels must be at least 1, not 0"),
        ({"d_halvings": 5}, "d_halvings must be at most 4, not 5"),
        ({"d_halvings": -1}, "d_halvings must be 0 or more"),
        ({"d_attention": (16,), "d_attention_blocks": (1,)}, "are not of the sides in d_attention"),
        ({"d_attention": (8,), "d_attention_blocks": (9,)}, "the blocks' sides are 16, 8, 8, 8"),
        ({"d_attention_blocks": (1,)}, "are not of the sides"),
        ({"g_upsampling": "cubic"}, "choose from nearest, bilinear"),
        ({"family": "dcgan", "d_shortcut_relu": True}, "d_shortcut_relu is of the resnet family"),
    ],
)
def test_what_cannot_be_is_refused(fields, said):
    def lay_out():
        config = NetworkConfig(**fields)
        generator_blocks(config)
        discriminator_blocks(config)

    with pytest.raises(ValueError, match=said):
        lay_out()


def test_variants_survive_json_and_a_configuration_without_them_reads_as_before():
    config = RunConfig(network=NetworkConfig(g_attention=(16,), **VARIANT))
    values = to_dict(config)
    assert run_config_from_dict(values) == config
    for name in set(VARIANT) - {"d_attention"}:
        del values["network"][name]
    values["network"]["d_attention"] = [16]
    plain = NetworkConfig(g_attention=(16,), d_attention=(16,))
    assert run_config_from_dict(values).network == plain
