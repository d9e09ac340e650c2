"""Spectral normalisation of any layer with a weight: convolution, transposed, linear, embedding."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

_TRANSPOSED = nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d


class SpectralNorm(nn.Module):
    """Run a layer with its weight divided by (an estimate of) its largest singular value.

    The estimate is sigma = u^T W v. `power_iteration` moves u and v; the forward never does, so it
    is pure: the training loop calls `power_iteration(network)` once per optimiser step, evaluation
    and gradient accumulation see fixed vectors, and a resumed run continues exactly. Gradients flow
    through sigma but not through u and v.

    Args:
        layer: a module with a `weight` of at least two dimensions.
        dim: the weight's dimension that becomes the matrix's rows; by default the output channels
            (1 for transposed convolutions). The quoted code takes 0 for those too.
        eps: added to the vectors' norms.

    Raises:
        ValueError: the layer has no weight matrix, or dim is out of range.

    Source:
        Miyato et al. 2018, algorithm 1, with one iteration per step.

    Example:
        >>> layer = SpectralNorm(nn.Linear(8, 4))
        >>> for _ in range(50):
        ...     power_iteration(layer)
        >>> round(torch.linalg.matrix_norm(layer.normalized_weight(), 2).item(), 4)
        1.0
    """

    u: Tensor
    v: Tensor

    def __init__(self, layer: nn.Module, *, dim: int | None = None, eps: float = 1e-12) -> None:
        super().__init__()
        weight = getattr(layer, "weight", None)
        if not isinstance(weight, Tensor) or weight.ndim < 2:
            raise ValueError(f"{type(layer).__name__} has no weight matrix to normalise")
        if dim is None:
            dim = 1 if isinstance(layer, _TRANSPOSED) else 0
        if not 0 <= dim < weight.ndim:
            raise ValueError(f"dim {dim} is out of range for a weight of {weight.ndim} dimensions")
        self.layer = layer
        self.dim = dim
        self.eps = eps
        rows = weight.shape[dim]
        u = torch.nn.functional.normalize(torch.randn(rows), dim=0).to(weight)
        self.register_buffer("u", u)
        self.register_buffer("v", u.new_zeros(weight.numel() // rows))
        self.power_iteration(steps=15)

    def matrix(self) -> Tensor:
        """The weight as the matrix that is normalised: `rows, everything else`."""
        weight: Tensor = self.layer.weight  # type: ignore[assignment]
        return weight.movedim(self.dim, 0).flatten(1)

    def power_iteration(self, steps: int = 1) -> None:
        """Move u and v towards the leading singular vectors of the weight."""
        _advance([self], steps)

    def sigma(self) -> Tensor:
        """The estimated largest singular value, a scalar that carries gradient to the weight."""
        matrix = self.matrix()
        with without_autocast(matrix):
            return torch.dot(self.u, torch.mv(matrix, self.v))

    def normalized_weight(self) -> Tensor:
        """The weight that the forward uses: `weight / sigma`."""
        weight: Tensor = self.layer.weight  # type: ignore[assignment]
        if weight.is_meta or torch.compiler.is_compiling():  # these use the plain formula
            return weight / self.sigma()
        with without_autocast(weight):
            normalised: Tensor = _Normalised.apply(  # type: ignore[no-untyped-call]
                weight, self.u, self.v, self.dim
            )
        return normalised

    def forward(self, x: Tensor) -> Tensor:
        """Run the layer with the normalised weight."""
        return functional_call(self.layer, {"weight": self.normalized_weight()}, (x,))

    if TYPE_CHECKING:  # nn.Module's own returns Any
        __call__ = forward


class _Order:
    """A view of a weight as a matrix with columns in memory order, so that nothing is copied."""

    # for a channels-last weight that order differs from the one in which v is stored

    def __init__(self, shape: torch.Size, stride: tuple[int, ...], dim: int) -> None:
        kept = [d for d in range(len(shape)) if d != dim]
        laid = sorted(kept, key=lambda d: stride[d], reverse=True)
        self._dims = [dim, *laid]
        self._dims_back = [self._dims.index(d) for d in range(len(shape))]
        self._kept_shape = [shape[d] for d in kept]
        self._laid_shape = [shape[d] for d in laid]
        self._to_laid = [kept.index(d) for d in laid]
        self._to_kept = [laid.index(d) for d in kept]

    def matrix(self, weight: Tensor) -> Tensor:
        """The weight as `rows, everything else`."""
        return weight.permute(self._dims).flatten(1)

    def laid(self, v: Tensor) -> Tensor:
        """The vector v, reordered like the matrix's columns."""
        return v.view(self._kept_shape).permute(self._to_laid).flatten()

    def restored(self, v: Tensor) -> Tensor:
        """Undo `laid`."""
        return v.view(self._laid_shape).permute(self._to_kept).flatten()

    def weight(self, matrix: Tensor) -> Tensor:
        """Undo `matrix`."""
        return matrix.view(len(matrix), *self._laid_shape).permute(self._dims_back)


@cache
def _order_of(shape: torch.Size, stride: tuple[int, ...], dim: int) -> _Order:
    return _Order(shape, stride, dim)


class _Normalised(torch.autograd.Function):
    """`weight / sigma` with its closed-form gradient: `(g - <g, weight / sigma> u v^T) / sigma`."""

    # the same as autograd on the formula, in a third of the passes over the weight

    @staticmethod
    def forward(ctx: Any, weight: Tensor, u: Tensor, v: Tensor, dim: int) -> Tensor:
        order = _order_of(weight.shape, weight.stride(), dim)
        v = order.laid(v)
        sigma = torch.dot(u, torch.mv(order.matrix(weight), v))
        ctx.order = order
        ctx.save_for_backward(weight, u, v, sigma)
        return weight / sigma

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        weight, u, v, sigma = ctx.saved_tensors
        matrix = ctx.order.matrix
        if torch.is_grad_enabled():  # for second derivatives, which go through sigma too
            sigma = torch.dot(u, torch.mv(matrix(weight), v))
        upstream = matrix(gradient)
        along = torch.dot(upstream.flatten(), matrix(weight).flatten()) / sigma
        result = (upstream / sigma).addr(u, v * (-along / sigma))
        return ctx.order.weight(result), None, None, None


def without_autocast(tensor: Tensor) -> AbstractContextManager[None]:
    """Disable autocast on the tensor's device inside the block."""
    kind = tensor.device.type
    # the compiler cannot trace the question, and compiles for nothing that lacks autocast
    if not torch.compiler.is_compiling() and not torch.amp.is_autocast_available(kind):  # meta, say
        return nullcontext()
    return torch.autocast(kind, enabled=False)


def power_iteration(network: nn.Module, steps: int = 1) -> None:
    """Advance every spectral norm of a network; call once per optimiser step of that network.

    Args:
        network: any module that contains `SpectralNorm` layers; their vectors change in place.
        steps: iterations.

    Source:
        Miyato et al. 2018, algorithm 1.

    Example:
        >>> net = nn.Sequential(SpectralNorm(nn.Conv2d(3, 8, 3)), nn.ReLU())
        >>> power_iteration(net)
    """
    _advance([m for m in network.modules() if isinstance(m, SpectralNorm)], steps)


@torch.no_grad()
def _advance(layers: Sequence[SpectralNorm], steps: int) -> None:
    """Iterate layers at once, bit for bit as alone: a product per layer, all else batched."""
    weights: list[Tensor] = [layer.layer.weight for layer in layers]  # type: ignore[misc]
    if not layers or weights[0].is_meta:  # no numbers to iterate on
        return
    orders = [
        _order_of(weight.shape, weight.stride(), layer.dim)
        for layer, weight in zip(layers, weights, strict=True)
    ]
    matrices = [order.matrix(weight) for order, weight in zip(orders, weights, strict=True)]
    us, eps = [layer.u for layer in layers], [layer.eps for layer in layers]
    with without_autocast(weights[0]):
        for _ in range(steps):
            vs = _unit([torch.mv(m.t(), u) for m, u in zip(matrices, us, strict=True)], eps)
            us = _unit([torch.mv(m, v) for m, v in zip(matrices, vs, strict=True)], eps)
    if steps:
        restored = [order.restored(v) for order, v in zip(orders, vs, strict=True)]
        torch._foreach_copy_([layer.v for layer in layers], restored)
        torch._foreach_copy_([layer.u for layer in layers], us)


def _unit(vectors: list[Tensor], eps: list[float]) -> list[Tensor]:
    """Divide vectors by their norms plus eps."""
    norms = torch._foreach_norm(vectors)
    torch._foreach_add_(norms, eps)
    return list(torch._foreach_div(vectors, list(norms)))
