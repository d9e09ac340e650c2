"""A 3x3 convolution and the doubling before it, or the halving after it, as one convolution.

Nearest-neighbour doubling repeats each value four times, so nine taps of a 3x3 kernel on the
doubled map see only four different values: a transposed 4x4 convolution of stride 2 takes them
straight from the small map, with 4 multiply-adds for each value of the large map instead of 9. The
mean over 2x2 after a 3x3 convolution is a 4x4 convolution of stride 2, in the same way. In both the
4x4 kernel is the 3x3 one, convolved with a 2x2 box. The weights stay 3x3, and what they compute
stays the same up to rounding; the large map between the two steps is never made.

Dimensions: b batch, c channels, h w the map's sides.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sagan.nn.spectral import SpectralNorm, without_autocast

# Of fewer values per channel than this on the small map, making the 4x4 kernel costs more than it
# saves: on a CPU the two forms are even at about 256 (docs/speed.md).
_min_fused_values = 512.0


@contextmanager
def unfused() -> Iterator[None]:
    """Inside the block compute both steps one after the other, to compare with."""
    global _min_fused_values
    before, _min_fused_values = _min_fused_values, float("inf")
    try:
        yield
    finally:
        _min_fused_values = before


def upsample(x: Tensor) -> Tensor:
    """Repeat each value of `b c h w` four times, `b c 2h 2w`, in the map's own type."""
    with without_autocast(x):  # which makes it float32, and with it all that is added to it
        return F.interpolate(x, scale_factor=2.0)


def upsample_conv(layer: nn.Module, x: Tensor) -> Tensor:
    """`layer(F.interpolate(x, scale_factor=2))`, nearest-neighbour: `b c h w` to `b c' 2h 2w`.

    Args:
        layer: a 3x3 `nn.Conv2d` with padding 1, or `SpectralNorm` of one.
        x: the small map.

    Example:
        >>> layer, x = nn.Conv2d(8, 4, 3, padding=1), torch.randn(2, 8, 16, 16)
        >>> expected = layer(F.interpolate(x, scale_factor=2))
        >>> torch.allclose(upsample_conv(layer, x), expected, atol=1e-6)
        True
    """
    if not _should_fuse(x.numel() // x.shape[1]):
        return layer(upsample(x))
    weight, bias = _weight_and_bias(layer)
    kernel = _box_filtered(weight).flip(2, 3).transpose(0, 1)
    return F.conv_transpose2d(x, kernel, bias, stride=2, padding=1)


def conv_downsample(layer: nn.Module, x: Tensor) -> Tensor:
    """`F.avg_pool2d(layer(x), 2)`: `b c h w` to `b c' h/2 w/2`.

    Args:
        layer: a 3x3 `nn.Conv2d` with padding 1, or `SpectralNorm` of one.
        x: the large map, of even sides.

    Example:
        >>> layer, x = nn.Conv2d(8, 4, 3, padding=1), torch.randn(2, 8, 32, 32)
        >>> torch.allclose(conv_downsample(layer, x), F.avg_pool2d(layer(x), 2), atol=1e-6)
        True
    """
    if not _should_fuse(x.numel() // x.shape[1] // 4):
        return F.avg_pool2d(layer(x), 2)
    weight, bias = _weight_and_bias(layer)
    return F.conv2d(x, _box_filtered(weight) / 4, bias, stride=2, padding=1)


def _should_fuse(values: int) -> bool:
    """Whether to merge, for so many values per channel on the small map, of all images."""
    if torch.compiler.is_exporting():  # weights are constants then: kernels are made once, on load
        return True
    return values >= _min_fused_values


def _weight_and_bias(layer: nn.Module) -> tuple[Tensor, Tensor | None]:
    if isinstance(layer, SpectralNorm):
        return layer.normalized_weight(), _weight_and_bias(layer.layer)[1]
    assert isinstance(layer, nn.Conv2d)
    return layer.weight, layer.bias


def _box_filtered(weight: Tensor) -> Tensor:
    """Kernels `c' c 3 3` convolved with a 2x2 box of ones: `c' c 4 4`."""
    rows = F.pad(weight, (0, 0, 0, 1)) + F.pad(weight, (0, 0, 1, 0))
    return F.pad(rows, (0, 1)) + F.pad(rows, (1, 0))
