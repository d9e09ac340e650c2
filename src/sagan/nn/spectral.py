"""Spectral normalisation of any layer with a weight: convolution, transposed, linear, embedding."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.func import functional_call


class SpectralNorm(nn.Module):
    """Run a layer with its weight divided by (an estimate of) its largest singular value.

    The estimate is sigma = u^T W v. `power_iteration` moves u and v; the forward never does, so it
    is pure: the training loop calls `power_iteration(network)` once per optimiser step, evaluation
    and gradient accumulation see fixed vectors, and a resumed run continues exactly. The gradient
    flows through sigma but not through u and v.

    Args:
        layer: a module with a `weight` of at least two dimensions.
        dim: the weight's dimension that becomes the matrix's rows; by default the output channels
            (1 for transposed convolutions). The quoted code takes 0 for those too.
        eps: added to the vectors' norms.

    Raises:
        ValueError: the layer has no such weight, or dim is out of range.

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
            dim = 1 if isinstance(layer, nn.ConvTranspose2d) else 0
        if not 0 <= dim < weight.ndim:
            raise ValueError(f"dim {dim} is out of range for a weight of {weight.ndim} dimensions")
        self.layer = layer
        self.dim = dim
        self.eps = eps
        rows = weight.shape[dim]
        self.register_buffer("u", torch.nn.functional.normalize(torch.randn(rows), dim=0))
        self.register_buffer("v", torch.zeros(weight.numel() // rows))
        self.power_iteration(steps=15)

    def matrix(self) -> Tensor:
        """The weight as the matrix whose singular value is meant: `rows, everything else`."""
        weight: Tensor = self.layer.weight  # type: ignore[assignment]
        return weight.movedim(self.dim, 0).flatten(1)

    @torch.no_grad()
    def power_iteration(self, steps: int = 1) -> None:
        """Move u and v towards the leading singular vectors of the weight."""
        matrix = self.matrix()
        if matrix.is_meta:  # there are no numbers to iterate on
            return
        with _full_precision(matrix):
            for _ in range(steps):
                v = torch.mv(matrix.t(), self.u)
                self.v.copy_(v / (v.norm() + self.eps))
                u = torch.mv(matrix, self.v)
                self.u.copy_(u / (u.norm() + self.eps))

    def sigma(self) -> Tensor:
        """The estimated largest singular value, a scalar that carries gradient to the weight."""
        matrix = self.matrix()
        with _full_precision(matrix):
            return torch.dot(self.u, torch.mv(matrix, self.v))

    def normalized_weight(self) -> Tensor:
        """The weight that the forward uses: `weight / sigma`."""
        weight: Tensor = self.layer.weight  # type: ignore[assignment]
        return weight / self.sigma()

    def forward(self, x: Tensor) -> Tensor:
        """Run the layer with the normalised weight."""
        output: Tensor = functional_call(self.layer, {"weight": self.normalized_weight()}, (x,))
        return output


def _full_precision(tensor: Tensor) -> AbstractContextManager[None]:
    kind = tensor.device.type
    if not torch.amp.is_autocast_available(kind):  # meta, say
        return nullcontext()
    return torch.autocast(kind, enabled=False)


def power_iteration(network: nn.Module, steps: int = 1) -> None:
    """Advance every spectral norm of a network; call once per optimiser step of that network.

    Example:
        >>> net = nn.Sequential(SpectralNorm(nn.Conv2d(3, 8, 3)), nn.ReLU())
        >>> power_iteration(net)
    """
    for module in network.modules():
        if isinstance(module, SpectralNorm):
            module.power_iteration(steps)
