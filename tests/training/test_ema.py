"""The averaged generator."""

import torch
from torch import nn

from sagan.training import EMA


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))


def test_parameters_are_averaged_as_the_recurrence_says():
    net = network()
    ema = EMA(net, decay=0.75)
    expected = [p.detach().clone() for p in net.parameters()]
    for _ in range(3):
        with torch.no_grad():
            for p in net.parameters():
                p.add_(torch.randn_like(p))
        ema.update(net)
        expected = [0.75 * e + 0.25 * p for e, p in zip(expected, net.parameters(), strict=True)]
    for mine, theirs in zip(ema.network.parameters(), expected, strict=True):
        torch.testing.assert_close(mine, theirs)


def test_buffers_are_copied_and_the_network_is_left_alone():
    net = network()
    ema = EMA(net, decay=0.9)
    net(torch.randn(4, 1, 8, 8))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    ema.update(net)
    assert torch.equal(ema.network[1].running_mean, net[1].running_mean)
    assert ema.network[1].running_mean.abs().sum() > 0
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())


def test_decay_zero_copies_exactly():
    net = network()
    ema = EMA(net, decay=0.0)
    with torch.no_grad():
        net[0].weight.add_(torch.randn_like(net[0].weight))
    ema.update(net)
    assert torch.equal(ema.network[0].weight, net[0].weight)


def test_the_average_needs_no_gradient_and_evaluates():
    ema = EMA(network(), decay=0.9)
    assert not any(p.requires_grad for p in ema.network.parameters())
    assert not ema.network.training
