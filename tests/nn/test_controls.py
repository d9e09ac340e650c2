"""The blocks that stand in attention's place."""

import pytest
import torch

from sagan.nn import GlobalContext, ResidualBottleneck, SelfAttention
from sagan.nn.controls import bottleneck_widths


def weights(block):
    return sum(p.numel() for p in block.parameters())


@pytest.mark.parametrize("channels", [48, 64, 96, 128, 192, 256, 384, 512])
def test_the_residual_block_has_as_many_weights_as_attention(channels):
    assert weights(ResidualBottleneck(channels)) == pytest.approx(
        weights(SelfAttention(channels)), rel=0.005
    )
    inner, outer = bottleneck_widths(channels)
    assert inner <= outer <= 2 * inner


@pytest.mark.parametrize("channels", range(14, 48))
def test_a_narrow_one_comes_near(channels):
    assert weights(ResidualBottleneck(channels)) == pytest.approx(
        weights(SelfAttention(channels)), rel=0.08
    )


def test_global_context_is_attention_that_asks_nothing():
    attention, context = SelfAttention(16), GlobalContext(16)
    context.value.load_state_dict(attention.value.state_dict())
    context.output.load_state_dict(attention.output.state_dict())
    with torch.no_grad():
        attention.query.layer.weight.zero_()
        attention.query.u.zero_()  # so that 0 / 0 is not the query
        attention.query = torch.nn.Conv2d(16, 2, 1, bias=False)
        attention.query.weight.zero_()
        attention.gamma.fill_(0.7)
        context.gamma.fill_(0.7)
    x = torch.randn(2, 16, 8, 8)
    torch.testing.assert_close(context(x), attention(x))
    assert not torch.allclose(context(x), x)


def test_the_residual_block_sees_its_neighbours_and_no_farther():
    block = ResidualBottleneck(16)
    torch.nn.init.ones_(block.gamma)
    x = torch.randn(1, 16, 9, 9, requires_grad=True)
    block(x)[0, :, 4, 4].sum().backward()
    seen = (x.grad[0] != 0).any(0)
    assert seen[3:6, 3:6].all()
    assert seen.sum() == 9


@pytest.mark.parametrize("block", [ResidualBottleneck, GlobalContext])
def test_a_new_one_passes_its_input_through_and_all_of_it_learns_once_gamma_has(block):
    made = block(16)
    x = torch.randn(2, 16, 8, 8)
    assert torch.equal(made(x), x)
    torch.nn.init.ones_(made.gamma)
    made(x).square().sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in made.parameters())
    with pytest.raises(ValueError, match="at least 8 channels, not 7"):
        block(7)
