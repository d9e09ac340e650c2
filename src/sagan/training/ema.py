"""The averaged generator."""

import copy
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from sagan.config.checks import require

Network = TypeVar("Network", bound=nn.Module)


class EMA(Generic[Network]):
    """Keep an exponential moving average of a network's parameters, and a copy of its buffers.

    `ema.network` is the average, in eval mode and without gradients. Call `update` after each
    optimiser step.

    Args:
        network: the network to follow; deep-copied before it is wrapped or compiled.
        decay: weight of the old average at each update, in [0, 1); 0 copies the network.

    Raises:
        ValueError: the decay is out of range.

    Source:
        Polyak & Juditsky 1992; Yazıcı et al. 2019 for GANs.

    Example:
        >>> layer = nn.Linear(1, 1, bias=False)
        >>> ema = EMA(layer, decay=0.9)
        >>> before = layer.weight.item()
        >>> with torch.no_grad():
        ...     _ = layer.weight.add_(1.0)
        >>> ema.update(layer)
        >>> round(ema.network.weight.item() - before, 4)
        0.1
    """

    def __init__(self, network: Network, *, decay: float) -> None:
        require(0 <= decay < 1, f"decay must be in [0, 1), not {decay}")
        self.decay = decay
        self.network = copy.deepcopy(network).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, network: nn.Module, *, decay: float | None = None) -> None:
        """Move the average towards the network; `decay` overrides the usual one."""
        weight = 1 - (self.decay if decay is None else decay)
        averaged: list[Tensor] = list(self.network.parameters())
        torch._foreach_lerp_(averaged, [p.detach() for p in network.parameters()], weight)
        if buffers := list(self.network.buffers()):  # foreach refuses empty lists
            torch._foreach_copy_(buffers, list(network.buffers()))
