"""Doubling or halving and a 3x3 convolution as one: the same numbers for 4/9 of the work."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from sagan.nn import SpectralNorm
from sagan.nn.blocks import DiscriminatorBlock, GeneratorBlock
from sagan.nn.resampled_conv import conv_downsample, unfused, upsample_conv

ENOUGH = 512  # values per channel from which the two are merged


def plainly_doubled(layer, x):
    return layer(nn.UpsamplingNearest2d(scale_factor=2)(x))


def plainly_halved(layer, x):
    return F.avg_pool2d(layer(x), 2)


BOTH = pytest.mark.parametrize(
    ("merged", "plainly", "shape"),
    [
        (upsample_conv, plainly_doubled, (8, 3, 8, 8)),
        (conv_downsample, plainly_halved, (8, 3, 16, 16)),
    ],
)


def layer_of(kind):
    conv = nn.Conv2d(3, 5, 3, padding=1, bias=kind != "without bias")
    return (SpectralNorm(conv) if kind == "normalised" else conv).double()


def flop(call):
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops()


@BOTH
@pytest.mark.parametrize("kind", ["plain", "without bias", "normalised"])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_outputs_and_all_gradients_are_those_of_the_two_steps(merged, plainly, shape, kind, layout):
    layer = layer_of(kind).to(memory_format=layout)
    x = torch.randn(shape, dtype=torch.float64).to(memory_format=layout).requires_grad_()
    results = []
    for function in (merged, plainly):
        y = function(layer, x)
        upstream = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y)
        results.append([y, *torch.autograd.grad(y, [x, *layer.parameters()], upstream)])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


@BOTH
def test_second_derivatives_are_right(merged, plainly, shape):
    layer = layer_of("normalised")
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    penalties = []
    for function in (merged, plainly):
        (slope,) = torch.autograd.grad(function(layer, x).tanh().sum(), x, create_graph=True)
        penalty = slope.square().sum()
        penalties.append(torch.autograd.grad(penalty, [x, layer.layer.weight]))
    for ours, theirs in zip(*penalties, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)


@BOTH
def test_it_is_four_ninths_of_the_work_but_for_maps_of_few_values(merged, plainly, shape):
    layer, x = layer_of("plain"), torch.randn(shape, dtype=torch.float64)
    assert len(x) * 64 == ENOUGH  # 8 x 8 values an image on the small map
    assert flop(lambda: merged(layer, x)) * 9 == flop(lambda: plainly(layer, x)) * 4
    few = x[1:]
    assert flop(lambda: merged(layer, few)) == flop(lambda: plainly(layer, few))
    torch.testing.assert_close(merged(layer, few), plainly(layer, few), rtol=0, atol=0)
    with unfused():
        assert torch.equal(merged(layer, x), plainly(layer, x))
    assert flop(lambda: merged(layer, x)) * 9 == flop(lambda: plainly(layer, x)) * 4


@BOTH
def test_under_autocast_it_rounds_hardly_more(merged, plainly, shape):
    layer = nn.Conv2d(3, 5, 3, padding=1)
    x = torch.randn(shape)
    exact = plainly(layer, x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ours, theirs = merged(layer, x), plainly(layer, x)
    assert ours.dtype == theirs.dtype == torch.bfloat16
    assert (ours - exact).abs().mean() < 1.5 * (theirs - exact).abs().mean()


@pytest.mark.parametrize("classes", [0, 3])
def test_blocks_use_it(classes):
    up = GeneratorBlock(6, 4, classes=classes).double()
    down = DiscriminatorBlock(4, 6, downsample=True).double()
    kept = DiscriminatorBlock(6, 6, downsample=False).double()
    x = torch.randn(32, 6, 4, 4, dtype=torch.float64)
    labels = torch.arange(32) % 3 if classes else None

    def through():
        return kept(down(up(x, labels)))

    merged, merged_flop = through(), flop(through)
    with unfused():
        torch.testing.assert_close(merged, through(), rtol=0, atol=1e-12)
        saved = flop(through) - merged_flop
    assert saved == 2 * 5 * 32 * (64 * 6 * 4 + 64 * 6 * 6)  # 5 of 9 taps, at the large side


def test_bilinear_doubling_stays_two_steps():
    block = GeneratorBlock(6, 4, classes=0, upsampling="bilinear").double()
    x = torch.randn(32, 6, 4, 4, dtype=torch.float64)
    with unfused():
        expected = block(x, None)
    assert torch.equal(block(x, None), expected)
