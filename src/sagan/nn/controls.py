"""What can stand where attention does, to compare with it: the controls of `sagan ablate`.

Like attention they are `x + gamma * block(x)`, so that a new one passes its input through.

Dimensions: b batch, c channels, h w the map's sides.
"""

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sagan.nn.spectral import SpectralNorm

_CLOSE = 0.005  # share of attention's weights; of pairs this close, the most equal one is taken
_WIDTHS_AROUND = 8  # of the exact one, among which the best pair of whole widths is


class ResidualBottleneck(nn.Module):
    """Convolutions 1x1, 3x3, 1x1 with as many weights as attention of the paper's form.

    If it does as well as attention, more weights and depth are what helped, not that every place
    sees every other.

    Args:
        channels: C, at least 8.
        spectral_norm: normalise the convolutions.
        spectral_eps: see `SpectralNorm`.

    Raises:
        ValueError: there are fewer than 8 channels.

    Source:
        He et al. 2016, the bottleneck; in attention's place, as Zhang et al. 2019, table 2, have a
        residual block.

    Example:
        >>> from sagan.nn import SelfAttention
        >>> count = lambda block: sum(p.numel() for p in block.parameters())
        >>> count(ResidualBottleneck(192)), count(SelfAttention(192))
        (46303, 46081)
    """

    def __init__(
        self, channels: int, *, spectral_norm: bool = True, spectral_eps: float = 1e-12
    ) -> None:
        super().__init__()
        inner, outer = bottleneck_widths(channels)

        def conv(c_in: int, c_out: int, kernel_px: int) -> nn.Module:
            layer = nn.Conv2d(c_in, c_out, kernel_px, padding=kernel_px // 2, bias=False)
            return SpectralNorm(layer, eps=spectral_eps) if spectral_norm else layer

        self.narrow = conv(channels, inner, 1)
        self.middle = conv(inner, outer, 3)
        self.widen = conv(outer, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """Map `b c h w` to the same shape."""
        features: Tensor = self.widen(F.relu(self.middle(F.relu(self.narrow(x)))))
        return x + self.gamma.to(x.dtype) * features

    if TYPE_CHECKING:  # nn.Module's own returns Any
        __call__ = forward


def bottleneck_widths(channels: int) -> tuple[int, int]:
    """The two inner widths, about equal, that make as many weights as attention has.

    Example:
        >>> bottleneck_widths(192)
        (53, 54)
    """
    if channels < 8:
        raise ValueError(f"the residual block needs at least 8 channels, not {channels}")
    wanted = 2 * channels * (channels // 8) + 2 * channels * (channels // 2)
    exact = ((channels**2 + 9 * wanted) ** 0.5 - channels) / 9  # 9 w^2 + 2 c w is what is wanted
    near = range(max(1, int(exact) - _WIDTHS_AROUND), int(exact) + _WIDTHS_AROUND + 2)
    pairs = [(a, b) for a in near for b in near if a <= b <= 2 * a]

    def cost(pair: tuple[int, int]) -> tuple[float, int]:
        inner, outer = pair
        weights = channels * inner + 9 * inner * outer + outer * channels
        off = abs(weights / wanted - 1)
        return max(off, _CLOSE), outer - inner

    return min(pairs, key=cost)


class GlobalContext(nn.Module):
    """The mean of all places, added to each: attention of the paper's form with a uniform map.

    It sends the same to every place, so if it does as well as attention, being told of the whole
    was enough. It has no queries and keys, and so four fifths of attention's weights.

    Args:
        channels: C, at least 8.
        spectral_norm: normalise the convolutions.
        spectral_eps: see `SpectralNorm`.

    Raises:
        ValueError: there are fewer than 8 channels.

    Source:
        Cao et al. 2019 (GCNet), who find that trained maps hardly depend on the query; with their
        learned softmax over the keys left out, so that nothing but the map differs from attention.

    Example:
        >>> x = torch.randn(2, 16, 8, 8)
        >>> torch.equal(GlobalContext(16)(x), x)  # gamma is 0
        True
    """

    def __init__(
        self, channels: int, *, spectral_norm: bool = True, spectral_eps: float = 1e-12
    ) -> None:
        super().__init__()
        if channels < 8:
            raise ValueError(f"global context needs at least 8 channels, not {channels}")

        def conv1x1(c_in: int, c_out: int) -> nn.Module:
            layer = nn.Conv2d(c_in, c_out, 1, bias=False)
            return SpectralNorm(layer, eps=spectral_eps) if spectral_norm else layer

        self.value = conv1x1(channels, channels // 2)
        self.output = conv1x1(channels // 2, channels)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """Map `b c h w` to the same shape."""
        values: Tensor = F.max_pool2d(self.value(x), 2)
        context: Tensor = self.output(values.mean((2, 3), keepdim=True))
        return x + self.gamma.to(x.dtype) * context

    if TYPE_CHECKING:  # nn.Module's own returns Any
        __call__ = forward
