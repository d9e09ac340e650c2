"""Fold spectral norm and batch norm into a generator's weights, for faster sampling.

Dimensions: b batch, c channels, h w the map's sides, k classes.
"""

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn

from sagan.models.dcgan import DCGANGenerator
from sagan.models.resnet import ResNetGenerator
from sagan.nn.blocks import GeneratorBlock
from sagan.nn.norm import ConditionalBatchNorm, Labels, lookup
from sagan.nn.spectral import SpectralNorm

_Generator = TypeVar("_Generator", bound=ResNetGenerator | DCGANGenerator)


@torch.no_grad()
def fold(generator: _Generator) -> _Generator:
    """Copy a generator, whose statistics are final, into an equivalent one that samples faster."""
    # Weights are divided by their spectral norms once; batch norm is folded into the convolution
    # before it, if any; conditional batch norm becomes one multiply-add with its tables; memory
    # order is channels-last. Images are equal up to rounding (below 1e-5). Attention layers are
    # unchanged, so their maps can be recorded. The copy has no gradients, and its state dict fits
    # no other network.
    folded = copy.deepcopy(generator).eval()
    folded.is_folded = True
    for parent in list(folded.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, SpectralNorm):
                setattr(parent, name, _divided(child))
    for i, block in enumerate(folded.blocks):
        if isinstance(block, GeneratorBlock):
            _fold_block(block)
        else:
            assert isinstance(block, nn.Sequential)
            up, norm, activation = block
            _fold_norm_into(up, norm, rows=1)
            folded.blocks[i] = nn.Sequential(up, activation)
    return folded.requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _divided(layer: SpectralNorm) -> nn.Module:
    """The inner layer with its weight divided by its spectral norm."""
    layer.layer.weight = nn.Parameter(layer.normalized_weight())
    return layer.layer


def _fold_block(block: GeneratorBlock) -> None:
    if isinstance(block.norm1.norm, ConditionalBatchNorm):
        for name in ("norm1", "norm2"):
            setattr(block, name, FoldedConditionalNorm(getattr(block, name).norm))
    else:  # norm1 cannot be folded: the shortcut needs its input unchanged
        _fold_norm_into(block.conv1, block.norm2.norm, rows=0)
        block.norm2.register_module("norm", nn.Identity())


def _fold_norm_into(convolution: nn.Module, norm: nn.Module, *, rows: int) -> None:
    """Fold a batch norm into the convolution before it; `rows` is its output-channel dimension."""
    assert isinstance(convolution, nn.Conv2d | nn.ConvTranspose2d)
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    scale, shift = _affine(norm)
    if norm.affine:
        shift = shift * norm.weight + norm.bias
        scale = scale * norm.weight
    shape = [1] * convolution.weight.ndim
    shape[rows] = -1
    bias = torch.zeros_like(shift) if convolution.bias is None else convolution.bias
    convolution.weight = nn.Parameter(convolution.weight * scale.view(shape))
    convolution.bias = nn.Parameter(bias * scale + shift)


def _affine(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """A batch norm's statistics as scale and shift, without its weights."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = (norm.running_var + norm.eps).rsqrt()
    return scale, -norm.running_mean * scale


class FoldedConditionalNorm(nn.Module):
    """A `ConditionalBatchNorm` in evaluation as `x * scale[y] + shift[y]`."""

    # the tables hold each class's difference, so class weights need not sum to 1, as there

    scale: Tensor
    shift: Tensor

    def __init__(self, norm: ConditionalBatchNorm) -> None:
        super().__init__()
        scale, shift = _affine(norm.norm)
        self.register_buffer("scale", scale)
        self.register_buffer("shift", shift)
        self.gain = nn.Embedding.from_pretrained(norm.gain.weight * scale)
        self.bias = nn.Embedding.from_pretrained(norm.gain.weight * shift + norm.bias.weight)

    def forward(self, x: Tensor, labels: Labels) -> Tensor:
        """Normalise `b c h w` by labels (`b`, or weights `b k`)."""
        assert labels is not None
        scale = (self.scale + lookup(self.gain, labels))[:, :, None, None]
        shift = (self.shift + lookup(self.bias, labels))[:, :, None, None]
        return torch.addcmul(shift, x, scale)
