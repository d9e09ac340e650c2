"""The averaged generator."""

import copy

import torch
from torch import Tensor, nn


class EMA:
    """Keep an exponential moving average of a network's parameters, and a copy of its buffers.

    Args:
        network: the network to follow; deep-copied before it is wrapped or compiled.
        decay: weight of the old average at each update; 0 copies.

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

    def __init__(self, network: nn.Module, *, decay: float) -> None:
        self.decay = decay
        self.network = copy.deepcopy(network).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, network: nn.Module, *, decay: float | None = None) -> None:
        """Move the average towards the network, with another decay than the usual one if given."""
        weight = 1 - (self.decay if decay is None else decay)
        averaged: list[Tensor] = list(self.network.parameters())
        torch._foreach_lerp_(averaged, [p.detach() for p in network.parameters()], weight)
        for mine, theirs in zip(self.network.buffers(), network.buffers(), strict=True):
            mine.copy_(theirs)
