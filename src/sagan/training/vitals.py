"""The numbers that tell a healthy run from a failing one. Each is cheap, and changes nothing.

Dimensions: b images, c channels, h w the image's sides, d values of an image made small.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sagan.data import ImageDataset
from sagan.nn.spectral import SpectralNorm
from sagan.randomness import generator_for

_COMPARED_AT_PX = 32  # larger images are averaged down first
_CLOSE = 0.15  # of the typical distance between real images: nearer is a near-duplicate
_POWER_ITERATIONS = 30


def not_finite(groups: Mapping[str, Mapping[str, Tensor]]) -> str:
    """Name the first tensor with a NaN or infinite value, as `ema (gamma)`; empty if there is none.

    The device is waited for once.

    Example:
        >>> not_finite({"ema": {"a": torch.ones(2), "b": torch.tensor([0.0, torch.nan])}})
        'ema (b)'
        >>> not_finite({"ema": {"steps": torch.tensor(3), "none": torch.empty(0)}})
        ''
    """
    floats = [
        (f"{group} ({name})", tensor.detach())
        for group, tensors in groups.items()
        for name, tensor in tensors.items()
        if tensor.is_floating_point() and tensor.numel()
    ]
    if not floats:
        return ""
    # The largest absolute value carries NaN and infinity along, one kernel for many tensors.
    largest: Iterable[Tensor] = torch._foreach_norm([tensor for _, tensor in floats], torch.inf)
    device = floats[0][1].device
    finite = torch.stack([value.to(device, torch.float32) for value in largest]).isfinite()
    return "" if bool(finite.all()) else floats[int(finite.long().argmin())][0]


def largest_singular_values(networks: Mapping[str, nn.Module]) -> dict[str, float]:
    """Estimate the largest singular value of each weight matrix, before spectral normalisation.

    Spectrally normalised layers have their estimate; the others take a few power iterations from a
    fixed vector.

    Args:
        networks: by the name to put before their layers'.

    Example:
        >>> layer = nn.Linear(2, 2, bias=False)
        >>> _ = layer.weight.data.copy_(torch.tensor([[3.0, 0.0], [0.0, 1.0]]))
        >>> values = largest_singular_values({"G": nn.Sequential(layer)})
        >>> {name: round(value, 3) for name, value in values.items()}
        {'G 0': 3.0}
    """
    found: dict[str, Tensor] = {}
    for prefix, network in networks.items():
        inside = {m.layer for m in network.modules() if isinstance(m, SpectralNorm)}
        for name, module in network.named_modules():
            if isinstance(module, SpectralNorm):
                found[f"{prefix} {name}"] = module.sigma().detach()
                continue
            weight = getattr(module, "weight", None)
            if isinstance(weight, Tensor) and weight.ndim >= 2 and module not in inside:
                rows = 1 if isinstance(module, nn.ConvTranspose2d) else 0
                found[f"{prefix} {name}"] = _largest(weight.detach().movedim(rows, 0))
    if not found:
        return {}
    return dict(zip(found, torch.stack(list(found.values())).tolist(), strict=True))


def _largest(weight: Tensor) -> Tensor:
    matrix = weight.flatten(1).float()
    start = torch.randn(matrix.shape[1], generator=generator_for(0, "singular value"))
    v = start.to(matrix.device)
    for _ in range(_POWER_ITERATIONS):
        v = F.normalize(matrix.t() @ (matrix @ v), dim=0)
    largest: Tensor = (matrix @ v).norm()
    return largest


@dataclass(frozen=True)
class Likeness:
    """How alike the images of each class are, against how alike real ones are.

    Args:
        near_duplicates: share of images with another one of their class that is much nearer than
            real images are to each other.
        by_class: the same of each class by its number; empty without classes.
        spread: median distance between two images of a class, in that of real ones.
    """

    near_duplicates: float
    by_class: dict[int, float]
    spread: float


class LikenessGauge:
    """Tell how many of some samples are nearly the same image, class by class.

    Two images are near-duplicates if their distance is under 0.15 of the median distance between
    two real ones of the same class (of any class, without classes). On the bundled digits no two of
    ten real or well-generated ones of a class come nearer than 0.17.

    Args:
        dataset: the real images.
        labels: of the samples that will be measured: `b`, or None without classes.
        num: how many samples, b.

    Example:
        >>> import numpy as np
        >>> noise = np.random.default_rng(0).integers(0, 255, (50, 1, 8, 8), np.uint8)
        >>> gauge = LikenessGauge(ImageDataset(noise, None, ()), None, num=10)
        >>> gauge.measure(torch.zeros(10, 1, 8, 8, dtype=torch.uint8)).near_duplicates
        1.0
        >>> gauge.real.near_duplicates
        0.0
    """

    def __init__(self, dataset: ImageDataset, labels: Tensor | None, *, num: int) -> None:
        self._groups = {-1: torch.arange(num)}
        if labels is not None:
            self._groups = {int(k): (labels == k).nonzero().flatten() for k in labels.unique()}
        self._typical: dict[int, float] = {}
        real = {}
        for label, members in self._groups.items():
            rows = torch.arange(len(dataset))
            if dataset.labels is not None and label >= 0:
                rows = (torch.from_numpy(dataset.labels) == label).nonzero().flatten()
            order = torch.randperm(len(rows), generator=generator_for(0, "likeness", label))
            chosen = rows[order[: len(members)]].sort().values
            distances = _distances(torch.from_numpy(dataset.images[chosen.numpy()]))
            self._typical[label] = float(distances.median()) if len(distances) else 0.0
            real[label] = distances
        self.real = self._likeness(real)

    def measure(self, images: Tensor) -> Likeness:
        """Compare samples, uint8 `b c h w`, in the order of the labels."""
        return self._likeness({k: _distances(images[rows]) for k, rows in self._groups.items()})

    def _likeness(self, distances: Mapping[int, Tensor]) -> Likeness:
        """Judge each group's distances, a value for each pair of its images."""
        alike, spreads = {}, []
        for label, between in distances.items():
            typical = self._typical[label]
            if not typical or not len(between):  # all alike in the data too
                continue
            near = _square(between) < _CLOSE * typical
            alike[label] = near.any(1).float().mean().item()
            spreads.append(float(between.median()) / typical)
        if not alike:
            return Likeness(0.0, {}, 1.0)
        by_class = {label: share for label, share in alike.items() if label >= 0}
        return Likeness(
            sum(alike.values()) / len(alike), by_class, float(torch.tensor(spreads).median())
        )


def _distances(images: Tensor) -> Tensor:
    """Root mean square differences of each pair of uint8 images `b c h w`, made small."""
    factor = -(-images.shape[-1] // _COMPARED_AT_PX)
    small = F.avg_pool2d(images.float(), factor).flatten(1)  # b d
    distances: Tensor = F.pdist(small)
    scale: float = small.shape[1] ** 0.5
    return distances / scale


def _square(distances: Tensor) -> Tensor:
    """Lay the distances of pairs out as a matrix, infinite on the diagonal."""
    num = round((1 + (1 + 8 * len(distances)) ** 0.5) / 2)
    matrix = torch.full((num, num), torch.inf)
    above = torch.triu_indices(num, num, 1)
    matrix[above[0], above[1]] = matrix[above[1], above[0]] = distances
    return matrix
