"""The building blocks: self-attention, spectral norm, conditional batch norm, residual blocks."""

from sagan.nn.attention import (
    AttentionMap,
    AttentionNumbers,
    SelfAttention,
    attention_numbers,
    record_attention,
)
from sagan.nn.attention_kernels import attend, reference_attention
from sagan.nn.blocks import DiscriminatorBlock, GeneratorBlock
from sagan.nn.controls import GlobalContext, ResidualBottleneck
from sagan.nn.norm import ConditionalBatchNorm
from sagan.nn.spectral import SpectralNorm, power_iteration

__all__ = [
    "AttentionMap",
    "AttentionNumbers",
    "ConditionalBatchNorm",
    "DiscriminatorBlock",
    "GeneratorBlock",
    "GlobalContext",
    "ResidualBottleneck",
    "SelfAttention",
    "SpectralNorm",
    "attend",
    "attention_numbers",
    "power_iteration",
    "record_attention",
    "reference_attention",
]
