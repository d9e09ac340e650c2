"""What attention does, shown by taking it away."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from sagan.nn.attention import SelfAttention


@contextmanager
def attention_off(network: nn.Module) -> Iterator[None]:
    """Set every gamma of a network to 0 inside the block, and back after it.

    Example:
        >>> from sagan.nn import SelfAttention
        >>> block = SelfAttention(8)
        >>> _ = torch.nn.init.ones_(block.gamma)
        >>> with attention_off(block):
        ...     block.gamma.item()
        0.0
        >>> block.gamma.item()
        1.0
    """
    layers = [module for module in network.modules() if isinstance(module, SelfAttention)]
    before = [layer.gamma.detach().clone() for layer in layers]
    with torch.no_grad():
        for layer in layers:
            layer.gamma.zero_()
    try:
        yield
    finally:
        with torch.no_grad():
            for layer, gamma in zip(layers, before, strict=True):
                layer.gamma.copy_(gamma)


def gammas(network: nn.Module) -> dict[str, float]:
    """Read each attention layer's gamma, by the layer's name."""
    return {
        name: module.gamma.item()
        for name, module in network.named_modules()
        if isinstance(module, SelfAttention)
    }
