"""Attention alone, forward and backward, over map sizes and widths.

Dimensions: b batch, n queries, m keys, e query and key width, d value width.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from sagan.bench.harness import Candidate, Comparison, Scale
from sagan.nn import attend, reference_attention

# side of the map in pixels, channels, batch, whether keys are pooled (the paper's form)
_SIZES: dict[Scale, list[tuple[int, int, int, bool]]] = {
    "tiny": [(4, 8, 2, True)],
    "quick": [(16, 128, 16, False), (32, 64, 16, True), (64, 64, 4, True)],
    "full": [
        *((8, 256, 64, pooled) for pooled in (False, True)),
        *((16, c, 64, pooled) for c in (64, 256) for pooled in (False, True)),
        *((32, c, 16, pooled) for c in (64, 256) for pooled in (False, True)),
        *((64, c, 4, True) for c in (64, 256)),
        (64, 64, 4, False),
        *((128, 64, 1, pooled) for pooled in (False, True)),
    ],
}


def attention_case(scale: Scale) -> list[Comparison]:
    """`attend` against the literal bmm, softmax, bmm that stores the map."""
    return [_comparison(*size) for size in _SIZES[scale]]


def _comparison(side: int, channels: int, batch: int, pooled: bool) -> Comparison:
    n, m = side * side, side * side // (4 if pooled else 1)
    e, d = channels // 8, channels // 2 if pooled else channels
    form = "paper" if pooled else "article"

    def literal(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return reference_attention(query, key, value)[0]

    return Comparison(
        label=f"{side}x{side} {form} C={channels} b={batch}",
        candidates=[
            Candidate(name="literal", prepare=lambda: _both_ways(literal, batch, n, m, e, d)),
            Candidate(name="sagan", prepare=lambda: _both_ways(attend, batch, n, m, e, d)),
        ],
        parameters={"side": side, "n": n, "m": m, "channels": channels, "batch": batch},
        items=batch,
        memory=True,
    )


def _both_ways(
    attention: Callable[[Tensor, Tensor, Tensor], Tensor],
    b: int,
    n: int,
    m: int,
    e: int,
    d: int,
) -> Callable[[], object]:
    draw = torch.Generator().manual_seed(0)
    inputs = [torch.randn(b, *shape, generator=draw) for shape in ((n, e), (m, e), (m, d))]
    for tensor in inputs:
        tensor.requires_grad_()
    upstream = torch.randn(b, n, d, generator=draw)

    def call() -> object:
        return torch.autograd.grad(attention(*inputs), inputs, upstream)

    return call
