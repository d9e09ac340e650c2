"""Batch normalisation, plain and conditional.

Dimensions: b batch, c channels, h w the map's sides, k classes.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from sagan.config.checks import require_at_least

Labels = Tensor | None  # int64 `b`, or class weights float `b k` (for mixtures of classes)


class ConditionalBatchNorm(nn.Module):
    """Batch norm whose gain and bias are looked up by class: `(1 + gain[y]) * norm(x) + bias[y]`.

    Both tables start at 0 (gain 1, bias 0) and are never spectrally normalised: that is the likely
    cause of one toolbox's failed SAGAN. The statistics belong to a plain `BatchNorm2d` inside, so
    it can be swapped for a synchronised one.

    Args:
        channels: c of the maps.
        classes: k, at least 1.
        eps: added to the variance.
        momentum: weight of the new batch in the running statistics.

    Raises:
        ValueError: there are no classes.

    Source:
        Dumoulin et al. 2017 and Miyato & Koyama 2018; gain as 1 + table as in BigGAN.

    Example:
        >>> import torch
        >>> norm = ConditionalBatchNorm(8, classes=10)
        >>> norm(torch.randn(4, 8, 5, 5), torch.tensor([0, 3, 3, 9])).shape
        torch.Size([4, 8, 5, 5])
    """

    def __init__(
        self, channels: int, *, classes: int, eps: float = 1e-5, momentum: float = 0.1
    ) -> None:
        super().__init__()
        require_at_least("classes", classes, 1)
        self.norm = nn.BatchNorm2d(channels, eps=eps, momentum=momentum, affine=False)
        self.gain = nn.Embedding(classes, channels)
        self.bias = nn.Embedding(classes, channels)
        nn.init.zeros_(self.gain.weight)
        nn.init.zeros_(self.bias.weight)

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        """Normalise `b c h w` by the batch and modulate it by labels (`b`, or weights `b k`)."""
        normalised: Tensor = self.norm(x)
        # in the map's own type: float32 tables would turn a bf16 map into float32, twice as large
        gain = (1 + lookup(self.gain, labels)).to(normalised.dtype)[:, :, None, None]
        bias = lookup(self.bias, labels).to(normalised.dtype)[:, :, None, None]
        return torch.addcmul(bias, normalised, gain)

    if TYPE_CHECKING:  # nn.Module's own returns Any
        __call__ = forward


def lookup(table: nn.Embedding, labels: Tensor) -> Tensor:
    """Look up rows by class number, or mix them by class weights (float `b k`)."""
    if labels.is_floating_point():
        return labels @ table.weight
    return table(labels)
