"""The literal baseline is the article's network, and takes the same step the long way."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from sagan.bench.literal import (
    LiteralDiscriminator,
    LiteralForm,
    LiteralGenerator,
    literal_optimizers,
    literal_step,
)
from sagan.config import NetworkConfig, RunConfig, Runtime, TrainingConfig
from sagan.config.presets import preset
from sagan.models import build_discriminator, build_generator
from sagan.nn import power_iteration
from sagan.training.engine import Engine
from sagan.training.state import new_state
from sagan.training.step import DiscriminatorBatch, GeneratorBatch, d_step, g_step

ARTICLE = replace(preset("article", 32)[0], g_width=8, d_width=8)
CLASSES = NetworkConfig(
    resolution=16,
    classes=3,
    g_width=8,
    d_width=8,
    latent_dim=8,
    g_attention=(8,),
    d_attention=(8,),
)


def wake(network):
    """Give attention something to do, and spectral norm vectors far from converged."""
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("gamma"):
                parameter.fill_(0.6)
        for name, buffer in network.named_buffers():
            if name.endswith(".u"):
                buffer.copy_(nn.functional.normalize(torch.randn_like(buffer), dim=0))
    return network


@pytest.mark.parametrize(
    ("literal", "build", "shape"),
    [
        (LiteralGenerator, build_generator, (3, 128)),
        (LiteralDiscriminator, build_discriminator, (3, 3, 32, 32)),
    ],
)
@pytest.mark.parametrize("training", [True, False])
def test_literal_weights_give_our_article_network_the_same_outputs(literal, build, shape, training):
    theirs = wake(literal(ARTICLE)).train(training)
    ours = build(ARTICLE).train(training)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(shape)
    for _ in range(2):  # a power step at each of its forward passes, in evaluation too
        power_iteration(ours)
        output, *maps = theirs(x)
        torch.testing.assert_close(ours(x), output, rtol=1e-5, atol=1e-6)
    for name, value in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], value, rtol=1e-4, atol=1e-6)
    sides = ARTICLE.g_attention if literal is LiteralGenerator else ARTICLE.d_attention
    assert sorted(m.shape for m in maps) == sorted((3, s * s, s * s) for s in sides)


@pytest.mark.parametrize("build", [build_generator, build_discriminator])
def test_the_literal_form_of_a_resnet_gives_the_same_outputs(build):
    ours = wake(build(CLASSES)).eval()
    theirs = LiteralForm(copy.deepcopy(ours))
    x = torch.randn(3, 8) if build is build_generator else torch.randn(3, 3, 16, 16)
    labels = torch.tensor([0, 2, 1])
    power_iteration(ours)
    output, *maps = theirs(x, labels)
    torch.testing.assert_close(ours(x, labels), output, rtol=1e-5, atol=1e-6)
    assert len(maps) == 1


def test_a_literal_step_moves_the_discriminator_as_ours_does():
    """Spectral norms have converged, so that the number of power steps does not matter."""
    training = TrainingConfig(batch_size=4, d_lr=1e-2, g_lr=1e-2, beta2=0.9)
    runtime = Runtime(device="cpu")
    engine = Engine(runtime, "float32")
    state = new_state(RunConfig(network=ARTICLE, training=training), runtime, engine)
    G, D = LiteralGenerator(ARTICLE), LiteralDiscriminator(ARTICLE)
    G.load_state_dict(wake(state.generator).state_dict())
    D.load_state_dict(wake(state.discriminator).state_dict())
    for network in (state.generator, state.discriminator, G, D):
        for module in network.modules():
            if hasattr(module, "eps") and hasattr(module, "u"):  # converged: a step moves nothing
                matrix = module.layer.weight.detach().flatten(1)
                left, _, right = torch.linalg.svd(matrix, full_matrices=False)
                module.u, module.v = left[:, 0].clone(), right[0].clone()
    images, d_z, g_z = torch.rand(4, 3, 32, 32) * 2 - 1, torch.randn(4, 128), torch.randn(4, 128)
    numbers = d_step(
        state.networks,
        [DiscriminatorBatch(images, None, d_z, None, torch.rand(4))],
        training,
        engine,
    )
    expected = literal_step(G, D, literal_optimizers(G, D, training), (images,), (d_z,), (g_z,))
    assert numbers["d_loss"].item() == pytest.approx(expected["d_loss"].item(), rel=1e-4)
    compared = 0
    for mine, theirs in zip(state.discriminator.parameters(), D.parameters(), strict=True):
        clear = mine.grad.abs() > 1e-4  # Adam's first step makes a sign of what is rounding
        torch.testing.assert_close(mine[clear], theirs[clear], rtol=1e-3, atol=1e-4)
        compared += int(clear.sum())
    assert compared > 0.5 * sum(p.numel() for p in D.parameters())
    numbers = g_step(state.networks, [GeneratorBatch(g_z, None)], training, engine)
    assert numbers["g_loss"].item() == pytest.approx(expected["g_loss"].item(), rel=0.1)
    assert any(p.grad is not None for p in D.parameters())  # the quoted loop leaves it trainable
