"""The generator for sampling is the generator: its images, its maps, its labels."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from sagan.config import NetworkConfig
from sagan.config.presets import preset
from sagan.models import build_generator, fold
from sagan.nn import ConditionalBatchNorm, SpectralNorm, power_iteration, record_attention

NETWORKS = {
    "article": replace(preset("article", 32)[0], g_width=8, d_width=8),
    "conditional": NetworkConfig(resolution=16, classes=3, g_width=8, g_attention=(8,)),
    "unconditional": NetworkConfig(resolution=16, g_width=8, g_attention=(8,)),
}


@pytest.fixture(params=NETWORKS)
def generator(request):
    """One that has been trained for a while, as far as statistics and tables are concerned."""
    network = build_generator(NETWORKS[request.param]).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            if module.affine:
                nn.init.normal_(module.weight, 1, 0.3)
                nn.init.normal_(module.bias)
        if isinstance(module, ConditionalBatchNorm):
            nn.init.normal_(module.gain.weight, 0, 0.3)
            nn.init.normal_(module.bias.weight)
    for name, parameter in network.named_parameters():
        if name.endswith("gamma"):
            nn.init.constant_(parameter, 0.7)
    return network


def inputs(generator, size=5):
    classes = generator.config.classes
    labels = torch.arange(size) % classes if classes else None
    return torch.randn(size, generator.config.latent_dim), labels


def test_images_are_the_same(generator):
    latents, labels = inputs(generator)
    before = {name: value.clone() for name, value in generator.state_dict().items()}
    folded = fold(generator)
    expected = generator(latents, labels)
    assert expected.std() > 0.1
    assert not torch.equal(expected, generator(latents.flip(0), labels))
    torch.testing.assert_close(folded(latents, labels), expected, rtol=0, atol=1e-5)
    assert all(torch.equal(before[n], value) for n, value in generator.state_dict().items())
    assert type(folded) is type(generator)
    assert not any(p.requires_grad for p in folded.parameters())
    assert all(p.requires_grad for p in generator.parameters())


def test_nothing_is_left_to_divide_or_to_normalise(generator):
    folded = fold(generator)
    assert not any(isinstance(m, SpectralNorm | ConditionalBatchNorm) for m in folded.modules())
    norms = [n for n, m in folded.named_modules() if isinstance(m, nn.BatchNorm2d)]
    resnet, plain = generator.config.family == "resnet", not generator.config.classes
    # behind a residual sum there is no convolution to take a norm
    firsts = [f"blocks.{i}.norm1.norm" for i in range(len(generator.blocks))] if plain else []
    assert norms == ([*firsts, "norm"] if resnet else [])
    power_iteration(folded)  # finds nothing


def test_attention_maps_can_be_recorded(generator):
    latents, labels = inputs(generator)
    found = []
    for network in (generator, fold(generator)):
        with record_attention(network) as maps:
            network(latents, labels)
        found.append(maps)
    ours, folded = found
    assert list(ours) == list(folded)
    assert len(ours) > 0
    for name in ours:
        torch.testing.assert_close(folded[name].weights, ours[name].weights, rtol=1e-3, atol=1e-5)


def test_mixed_classes_are_the_same_even_where_weights_do_not_sum_to_one():
    generator = build_generator(NETWORKS["conditional"]).eval()
    for module in generator.modules():
        if isinstance(module, ConditionalBatchNorm):
            nn.init.normal_(module.gain.weight)
            module.norm.running_mean.normal_()
    latents, weights = torch.randn(2, 128), torch.tensor([[0.5, 0.5, 0.0], [0.2, 0.1, 0.4]])
    torch.testing.assert_close(
        fold(generator)(latents, weights), generator(latents, weights), rtol=0, atol=1e-5
    )
