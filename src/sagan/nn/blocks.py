"""The residual blocks of the generator and the discriminator, and spectrally normalised layers.

Dimensions: b batch, c channels, h w the map's sides.
"""

from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import Tensor, nn

from sagan.config import Upsampling
from sagan.nn.norm import ConditionalBatchNorm, Labels
from sagan.nn.resampled_conv import conv_downsample, upsample, upsample_conv
from sagan.nn.spectral import SpectralNorm


def sn_conv(
    c_in: int, c_out: int, kernel_px: int, *, eps: float = 1e-12, normalised: bool = True
) -> nn.Module:
    """A convolution that keeps the map's size, spectrally normalised by default."""
    conv = nn.Conv2d(c_in, c_out, kernel_px, padding=kernel_px // 2)
    return SpectralNorm(conv, eps=eps) if normalised else conv


class ClassNorm(nn.Module):
    """Batch norm: conditional if there are classes (k > 0), else plain."""

    def __init__(
        self, channels: int, *, classes: int, eps: float = 1e-5, momentum: float = 0.1
    ) -> None:
        super().__init__()
        self.norm = (
            ConditionalBatchNorm(channels, classes=classes, eps=eps, momentum=momentum)
            if classes
            else nn.BatchNorm2d(channels, eps=eps, momentum=momentum)
        )

    def forward(self, x: Tensor, labels: Labels) -> Tensor:
        """Normalise `b c h w`."""
        if isinstance(self.norm, ConditionalBatchNorm):
            if labels is None:
                raise ValueError("a conditional norm or block needs labels")
            return self.norm(x, labels)
        return self.norm(x)


class GeneratorBlock(nn.Module):
    """Residual block that doubles the map: norm-ReLU-up-conv-norm-ReLU-conv, shortcut up-1x1.

    The shortcut's 1x1 convolution runs before the upsampling: the same result for a quarter of the
    work.

    Args:
        c_in: input channels.
        c_out: output channels.
        classes: k of the norms; 0 is unconditional.
        norm_eps: added to the batch norms' variance.
        norm_momentum: weight of the new batch in their running statistics.
        spectral_eps: see `SpectralNorm`.
        upsampling: `nearest`, or `bilinear` as in mimicry.
        spectral_norm: normalise the convolutions.

    Raises:
        ValueError: in `forward`, without labels if the block is conditional.

    Source:
        Miyato & Koyama 2018; as in the released code of Zhang et al. 2019.

    Example:
        >>> import torch
        >>> block = GeneratorBlock(32, 16, classes=10)
        >>> block(torch.randn(2, 32, 4, 4), torch.tensor([1, 7])).shape
        torch.Size([2, 16, 8, 8])
    """

    def __init__(
        self,
        c_in: int,
        c_out: int,
        *,
        classes: int,
        norm_eps: float = 1e-5,
        norm_momentum: float = 0.1,
        spectral_eps: float = 1e-12,
        upsampling: Upsampling = "nearest",
        spectral_norm: bool = True,
    ) -> None:
        super().__init__()
        self.upsampling: Upsampling = upsampling
        self.norm1 = ClassNorm(c_in, classes=classes, eps=norm_eps, momentum=norm_momentum)
        self.norm2 = ClassNorm(c_out, classes=classes, eps=norm_eps, momentum=norm_momentum)
        self.conv1 = sn_conv(c_in, c_out, 3, eps=spectral_eps, normalised=spectral_norm)
        self.conv2 = sn_conv(c_out, c_out, 3, eps=spectral_eps, normalised=spectral_norm)
        self.shortcut = sn_conv(c_in, c_out, 1, eps=spectral_eps, normalised=spectral_norm)

    def forward(self, x: Tensor, labels: Labels = None) -> Tensor:
        """Map `b c_in h w` to `b c_out 2h 2w`; labels `b` (or weights `b k`) if conditional."""
        hidden: Tensor = F.relu(self.norm1(x, labels))
        if self.upsampling == "nearest":
            hidden = upsample_conv(self.conv1, hidden)
        else:
            hidden = self.conv1(self._upsample(hidden))
        hidden = self.conv2(F.relu(self.norm2(hidden, labels)))
        return hidden + self._upsample(self.shortcut(x))

    if TYPE_CHECKING:  # nn.Module's own returns Any
        __call__ = forward

    def _upsample(self, x: Tensor) -> Tensor:
        if self.upsampling == "nearest":
            return upsample(x)
        return F.interpolate(x, scale_factor=2.0, mode=self.upsampling)


class DiscriminatorBlock(nn.Module):
    """Residual block: (ReLU-)conv-ReLU-conv(-pool), shortcut (pool-)1x1, or identity.

    The first block of a network sees images and has no ReLU in front. Pooling runs before the
    shortcut's 1x1 convolution: the same result for a quarter of the work.

    Args:
        c_in: input channels.
        c_out: output channels.
        downsample: halve the map.
        first: whether this is the network's first block.
        spectral_eps: see `SpectralNorm`.
        c_hidden: channels between the 3x3 convolutions; by default c_out.
        shortcut_relu: start the shortcut after the first ReLU, as implementations with an in-place
            ReLU do (StudioGAN, mimicry). The first block has no such ReLU.

    Source:
        Miyato & Koyama 2018; as in the released code of Zhang et al. 2019.

    Example:
        >>> import torch
        >>> DiscriminatorBlock(3, 16, downsample=True, first=True)(torch.randn(2, 3, 8, 8)).shape
        torch.Size([2, 16, 4, 4])
    """

    def __init__(
        self,
        c_in: int,
        c_out: int,
        *,
        downsample: bool,
        first: bool = False,
        spectral_eps: float = 1e-12,
        c_hidden: int | None = None,
        shortcut_relu: bool = False,
    ) -> None:
        super().__init__()
        c_hidden = c_hidden or c_out
        self.first = first
        self.downsample = downsample
        self.shortcut_relu = shortcut_relu
        self.conv1 = sn_conv(c_in, c_hidden, 3, eps=spectral_eps)
        self.conv2 = sn_conv(c_hidden, c_out, 3, eps=spectral_eps)
        self.shortcut = (
            sn_conv(c_in, c_out, 1, eps=spectral_eps) if downsample or c_in != c_out else None
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map `b c_in h w` to `b c_out h/2 w/2`, or h w without downsampling."""
        activated = x if self.first else F.relu(x)
        hidden: Tensor = F.relu(self.conv1(activated))
        skip = activated if self.shortcut_relu else x
        if self.downsample:
            hidden, skip = conv_downsample(self.conv2, hidden), F.avg_pool2d(skip, 2)
        else:
            hidden = self.conv2(hidden)
        if self.shortcut is not None:
            skip = self.shortcut(skip)
        return hidden + skip

    if TYPE_CHECKING:  # nn.Module's own returns Any
        __call__ = forward
