"""Attention kernels: the literal definition, and the faster forms that training runs.

Dimensions: b batch, n queries, m keys, e query and key width, d value width.
"""

from collections.abc import Iterator
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

AttentionPath = Literal["recomputed", "fused", "plain"]

# Energies (n * m) from which recomputing the map, piece by piece in the cache, beats storing it.
# Measured on two AVX-512 cores; see docs/speed.md: 1024 x 256 is still faster stored.
RECOMPUTED_FROM_ENERGIES = 2**19

# Energies per piece and thread, 512 KB in float32: a piece and its gradient stay in a core's
# second-level cache. Fewer queries per piece than the second number make slow matrix products.
_PIECE_ENERGIES = 2**17
_PIECE_QUERIES = 64


def reference_attention(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    """The definition that the fast paths must equal: attended values, and the map `b n m`."""
    # Query `b n e`, key `b m e`, value `b m d`. Zhang et al. 2019, equations 1 and 2; there is no
    # 1/sqrt(e)
    energy = torch.bmm(query, key.transpose(1, 2))
    weights = energy.softmax(dim=-1)
    return torch.bmm(weights, value), weights


def attention_path(n: int, m: int, device_type: str) -> AttentionPath:
    """The path that `attend` takes for n queries and m keys."""
    # recomputed: piece by piece, the map once more in the backward pass (large maps on the CPU).
    # fused: `scaled_dot_product_attention` with widths that CUDA's kernels take.
    # plain: the literal form, which stores the map: for small maps, where it is fastest; on other
    # devices; and inside torch.compile or an exporter on the CPU, which cannot trace the pieces.
    if device_type == "cuda":
        return "fused"
    if device_type != "cpu" or torch.compiler.is_compiling():
        return "plain"
    return "recomputed" if n * m >= RECOMPUTED_FROM_ENERGIES else "plain"


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Compute `reference_attention(query, key, value)[0]`, up to rounding, by the fastest path."""
    # For large maps memory is linear in n and m. Second derivatives take the memory of the literal
    # form, and on CUDA need the math kernel, which `training.losses.gradient_penalty` selects.
    path = attention_path(query.shape[1], key.shape[1], query.device.type)
    if path == "recomputed":
        return _Recomputed.apply(query, key, value)  # type: ignore[no-untyped-call]
    if path == "plain":
        return reference_attention(query, key, value)[0]
    d = value.shape[-1]  # fused kernels need widths in multiples of 8; zeros change no energy
    query, key, value = (F.pad(t, (0, -t.shape[-1] % 8)) for t in (query, key, value))
    heads = query[:, None], key[:, None], value[:, None]
    return F.scaled_dot_product_attention(*heads, scale=1.0)[:, 0, :, :d]


class _Recomputed(torch.autograd.Function):
    """Attention in cache-sized pieces, each recomputed in the backward pass."""

    # PyTorch's fused CPU kernels need values as wide as keys; padding keys to the values' width
    # multiplies the work on the energies by 4 to 8. These are plain matrix products, arranged so
    # that none has a narrow output with many rows: BLAS libraries run `(m x nc) (nc x e)` up to
    # eight times slower than its transpose.

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        attended = query.new_empty(*query.shape[:2], value.shape[2])
        for images, queries in pieces(len(query), query.shape[1], key.shape[1]):
            weights = _weights(query[images, queries], key[images])
            attended[images, queries] = torch.bmm(weights, value[images])
        ctx.save_for_backward(query, key, value)
        return attended

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        query, key, value = ctx.saved_tensors
        if torch.is_grad_enabled():  # for second derivatives
            return _literal_backward(query, key, value, gradient)
        b, n, m = len(query), query.shape[1], key.shape[1]
        sums = torch.promote_types(query.dtype, torch.float32)
        query_t = torch.empty_like(query.mT, memory_format=torch.contiguous_format)
        key_t = key.new_zeros(b, key.shape[2], m, dtype=sums)
        value_t = value.new_zeros(b, value.shape[2], m, dtype=sums)
        for images, queries in pieces(b, n, m):
            q, k, g = query[images, queries], key[images], gradient[images, queries]
            weights = _weights(q, k)
            _add_product(value_t[images], g.mT, weights)
            slope = _softmax_backward(torch.bmm(g, value[images].mT), weights)
            query_t[images, :, queries] = torch.bmm(k.mT, slope.mT)
            _add_product(key_t[images], q.mT, slope)
        return query_t.mT, key_t.mT.to(key.dtype), value_t.mT.to(value.dtype)


def pieces(b: int, n: int, m: int) -> Iterator[tuple[slice, slice]]:
    """Split b images of n queries into pieces: several whole images, or some queries of one."""
    most = _PIECE_ENERGIES * torch.get_num_threads()
    images = max(1, most // (n * m))
    queries = n if n * m <= most else max(_PIECE_QUERIES, most // m)
    for i in range(0, b, images):
        for j in range(0, n, queries):
            yield slice(i, i + images), slice(j, j + queries)


def _weights(query: Tensor, key: Tensor) -> Tensor:
    """The map's rows for these queries."""
    return torch.bmm(query, key.mT).softmax(-1).to(query.dtype)


def _add_product(total: Tensor, a: Tensor, b: Tensor) -> None:
    if total.dtype == a.dtype:
        total.baddbmm_(a, b)
    else:  # bf16 operands, summed over the pieces in float32
        total += torch.bmm(a, b)


def _softmax_backward(gradient: Tensor, weights: Tensor) -> Tensor:
    """The gradient of the energies, by PyTorch's own kernel in one pass over memory."""
    return torch.ops.aten._softmax_backward_data(gradient, weights, -1, weights.dtype)


def _literal_backward(
    query: Tensor, key: Tensor, value: Tensor, gradient: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The same gradients from the whole map, in operations that autograd can follow."""
    weights = _weights(query, key)
    slope = _softmax_backward(torch.bmm(gradient, value.mT), weights)
    return torch.bmm(slope, key), torch.bmm(slope.mT, query), torch.bmm(weights.mT, gradient)
