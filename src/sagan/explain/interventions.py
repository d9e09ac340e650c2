"""Run a network with its attention changed: other gammas, uniform maps, hidden keys.

Dimensions: b batch, c channels, h w a picture's or map's sides, n queries, m keys, e query and key
width.
"""

import math
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sagan.nn.attention import SelfAttention

# exp gives exactly 0; -inf would give NaN in a fused kernel's tile that is hidden altogether
_HIDDEN_ENERGY = -1e9

Tokens = tuple[Tensor, Tensor, Tensor]


@contextmanager
def intervene(
    network: nn.Module,
    *,
    gamma_scale: float = 1.0,
    uniform: bool = False,
    hidden_keys: Tensor | None = None,
    layers: Collection[str] | None = None,
) -> Iterator[None]:
    """Run a network with its attention changed, inside the block only.

    Everything that runs the layers sees the change: the fast forward, `weights`,
    `record_attention` and `gammas`. Blocks nest: the inner one changes what the outer one left.
    The network itself is changed for the time of the block, so other threads must not use it.

    Args:
        network: any module with `SelfAttention` layers.
        gamma_scale: factor for each gamma; 0 removes attention.
        uniform: replace the trained map with one that weighs all keys alike.
        hidden_keys: bool `h w`, a grid of any size laid over the picture: no query sees a key whose
            cell touches a True; the other keys' weights are renormalised.
        layers: names of the layers to change, as `record_attention` gives them; None for all.

    Raises:
        ValueError: an unknown layer, a scale that is not finite, or a region that is not a bool
            grid; and on running a layer, a region that hides all of its keys.

    Example:
        >>> block = nn.Sequential(SelfAttention(8, form="article"))
        >>> _ = nn.init.ones_(block[0].gamma)
        >>> x = torch.randn(1, 8, 4, 4)
        >>> with intervene(block, gamma_scale=0):
        ...     torch.equal(block(x), x)
        True
        >>> right = torch.zeros(4, 4, dtype=torch.bool)
        >>> right[:, 2:] = True
        >>> with intervene(block, hidden_keys=right, uniform=True):
        ...     block[0].weights(x)[0, 0, :4].tolist()  # the top row of keys, from the top left
        [0.125, 0.125, 0.0, 0.0]
    """
    if not math.isfinite(gamma_scale):
        raise ValueError(f"gamma_scale must be a finite number, not {gamma_scale}")
    if hidden_keys is not None and (hidden_keys.dtype != torch.bool or hidden_keys.ndim != 2):
        raise ValueError(
            f"hidden_keys must be a bool grid h w, not {hidden_keys.dtype} "
            f"of shape {tuple(hidden_keys.shape)}"
        )
    with ExitStack() as changes:
        for layer in _named_layers(network, layers):
            if gamma_scale != 1.0:
                changes.enter_context(_scaled_gamma(layer, gamma_scale))
            if uniform or hidden_keys is not None:
                project = _changed_projection(layer, uniform, hidden_keys)
                changes.enter_context(_projecting_by(layer, project))
        yield


def gammas(network: nn.Module) -> dict[str, float]:
    """Read each attention layer's gamma, by the layer's name."""
    return {
        name: module.gamma.item()
        for name, module in network.named_modules()
        if isinstance(module, SelfAttention)
    }


def _named_layers(network: nn.Module, names: Collection[str] | None) -> list[SelfAttention]:
    found = {n: m for n, m in network.named_modules() if isinstance(m, SelfAttention)}
    if names is None:
        return list(found.values())
    unknown = [name for name in names if name not in found]
    if unknown:
        raise ValueError(f"no attention layer {unknown[0]!r}; known: {', '.join(found) or 'none'}")
    return [found[name] for name in dict.fromkeys(names)]


@contextmanager
def _scaled_gamma(layer: SelfAttention, scale: float) -> Iterator[None]:
    before = layer.gamma.detach().clone()
    with torch.no_grad():
        layer.gamma.mul_(scale)
    try:
        yield
    finally:
        with torch.no_grad():
            layer.gamma.copy_(before)


@contextmanager
def _projecting_by(layer: SelfAttention, project: Callable[[Tensor], Tokens]) -> Iterator[None]:
    """Replace a layer's `project`, where everything that it computes starts."""
    outer = vars(layer).get("project")
    layer.project = project  # type: ignore[assignment, method-assign]
    try:
        yield
    finally:
        if outer is None:
            del layer.project
        else:
            layer.project = outer  # type: ignore[method-assign]


def _changed_projection(
    layer: SelfAttention, uniform: bool, hidden_keys: Tensor | None
) -> Callable[[Tensor], Tokens]:
    inner = layer.project

    def project(x: Tensor) -> Tokens:
        query, key, value = inner(x)
        e = x.shape[1] // 8  # entries after these come from hidden keys, added below
        if uniform:
            query = torch.cat([torch.zeros_like(query[..., :e]), query[..., e:]], dim=2)
        if hidden_keys is not None:
            h, w = x.shape[2] // layer.key_stride, x.shape[3] // layer.key_stride
            hidden = on_key_grid(hidden_keys, h, w).flatten().to(x.device)
            # one more entry, 1 in every query and an energy in each key, adds to their product
            energy = torch.where(hidden, _HIDDEN_ENERGY, 0.0).to(key.dtype)
            key = torch.cat([key, energy.expand(len(key), -1)[..., None]], dim=2)
            query = F.pad(query, (0, 1), value=1.0)
            if len(key) and (key[0, :, e:] < 0).any(1).all():  # hidden here, or by an outer block
                raise ValueError(
                    f"the region hides all {h}x{w} keys of an attention layer; choose a smaller one"
                )
        return query, key, value

    return project


def on_key_grid(hidden: Tensor, height: int, width: int) -> Tensor:
    """Resize a bool grid to a layer's keys: True if a key's cell touches a True."""
    return F.adaptive_max_pool2d(hidden[None].float(), (height, width))[0] > 0
