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


def test_buffers_of_several_types_are_copied_bit_for_bit():
    net = network()
    net.register_buffer("wide", torch.rand(3, dtype=torch.float64))
    net.register_buffer("odd", torch.tensor([float("nan"), float("inf"), -0.0]))
    net.register_buffer("flags", torch.tensor([True, False]))
    net.register_buffer("strided", torch.rand(1, 2, 3, 4).to(memory_format=torch.channels_last))
    ema = EMA(net, decay=0.9)
    net(torch.randn(4, 1, 8, 8))  # counts in num_batches_tracked, an integer
    for buffer in (net.wide, net.odd, net.strided):
        buffer.neg_()
    net.flags.logical_not_()
    ema.update(net)
    assert ema.network[1].num_batches_tracked == 1
    for mine, theirs in zip(ema.network.buffers(), net.buffers(), strict=True):
        assert mine.numpy().tobytes() == theirs.numpy().tobytes()
        assert (mine.dtype, mine.stride()) == (theirs.dtype, theirs.stride())


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
