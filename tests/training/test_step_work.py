"""What a step must not do: wait on the host, change the memory order, compute what is unused."""

import copy

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from sagan.config import NetworkConfig, RunConfig, Runtime, TrainingConfig
from sagan.training.engine import Engine
from sagan.training.state import new_state
from sagan.training.step import DiscriminatorBatch, GeneratorBatch, d_step, g_step

NETWORKS = {
    "resnet": NetworkConfig(
        resolution=16,
        classes=3,
        latent_dim=8,
        g_width=8,
        d_width=8,
        g_attention=(8,),
        d_attention=(8,),
    ),
    "dcgan": NetworkConfig(
        family="dcgan",
        resolution=32,
        latent_dim=8,
        g_width=8,
        d_width=8,
        g_attention=(8, 16),
        d_attention=(4, 8),
        attention_form="article",
    ),
}


@pytest.fixture(params=NETWORKS)
def network(request):
    return NETWORKS[request.param]


def make(network, **training):
    config = RunConfig(network=network, training=TrainingConfig(batch_size=4, **training))
    runtime = Runtime(device="cpu")
    engine = Engine(runtime, config.training.precision)
    return config.training, engine, new_state(config, runtime, engine)


def one_step(training, engine, state):
    network = state.generator.config
    side, labels = network.resolution, torch.tensor([0, 1, 2, 0]) if network.classes else None
    real = DiscriminatorBatch(
        torch.rand(4, 3, side, side) * 2 - 1, labels, torch.randn(4, 8), labels, torch.rand(4)
    )
    numbers = d_step(state.networks, [real], training, engine)
    numbers |= g_step(state.networks, [GeneratorBatch(torch.randn(4, 8), labels)], training, engine)
    state.ema.update(state.generator)
    return numbers


class HostReads(TorchDispatchMode):
    """Counts the places where a number is taken out of a tensor: there the host would wait."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        reads = (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default)
        self.count += func in reads
        return func(*args, **kwargs or {})


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("loss", ["hinge", "wgan-gp"])
def test_no_number_is_read_between_logs(network, precision, loss):
    training, engine, state = make(network, precision=precision, loss=loss)
    one_step(training, engine, state)  # the optimisers make their moments
    with HostReads() as reads:
        numbers = one_step(training, engine, state)
        assert reads.count == 0
        numbers["d_loss"].item()
        assert reads.count == 1


def test_feature_maps_stay_channels_last(network):
    training, engine, state = make(network)
    seen = []

    def look(module, inputs, output):
        made_by_linear = output.shape[2:] == (4, 4)  # the seed of a residual generator
        if output.ndim == 4 and not made_by_linear and min(output.shape[1:]) > 1:
            ok = output.is_contiguous(memory_format=torch.channels_last)
            seen.append((type(module).__name__, tuple(output.shape), ok))

    for each in (state.generator, state.discriminator):
        for module in each.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.BatchNorm2d):
                module.register_forward_hook(look)
    one_step(training, engine, state)
    assert len(seen) >= 20
    assert [s for s in seen if not s[2]] == []


def test_real_and_fake_share_a_pass_and_nobody_elses_weights_get_gradients(network):
    training, engine, state = make(network)
    passes = {"G": [], "D": []}
    for name, module in (("G", state.generator), ("D", state.discriminator)):
        module.register_forward_hook(
            lambda module, inputs, output, name=name: passes[name].append(
                (len(output), output.requires_grad)
            )
        )
    before = copy.deepcopy([p.grad for p in state.generator.parameters()])
    assert set(before) == {None}
    one_step(training, engine, state)
    assert passes == {"G": [(4, False), (4, True)], "D": [(8, True), (4, True)]}
    state.networks.d_optimizer.zero_grad()
    labels = torch.tensor([0, 1, 2, 0]) if network.classes else None
    g_step(state.networks, [GeneratorBatch(torch.randn(4, 8), labels)], training, engine)
    assert all(p.grad is None for p in state.discriminator.parameters())


def test_optimisers_are_fused(network):
    _, _, state = make(network)
    for optimizer in (state.networks.g_optimizer, state.networks.d_optimizer):
        assert all(group["fused"] for group in optimizer.param_groups)
