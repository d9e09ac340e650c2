"""What is measured at a snapshot: sample grids, attention, and numbers that tell a run's health.

Nothing here changes what training does next.

Dimensions: b images, c channels, h w the image's sides, d values of an image made small, z latent
length.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sagan.config import NetworkConfig
from sagan.data import ImageDataset
from sagan.nn.attention import attention_numbers, record_attention
from sagan.nn.spectral import SpectralNorm
from sagan.randomness import generator_for, sample_latents
from sagan.sampling import generate
from sagan.training.engine import Engine
from sagan.training.state import TrainState

_GRID_ROWS, GRID_COLUMNS = 10, 10
_ATTENTION_IMAGES = 17  # of the grid, evenly spread, for the attention numbers
_COMPARED_AT_PX = 32  # larger images are averaged down before they are compared
_CLOSE = 0.15  # of the typical distance between real images: closer is a near-duplicate
_POWER_ITERATIONS = 30


@dataclass(frozen=True)
class View:
    """What a snapshot shows."""

    samples: Tensor  # of the fixed latents, uint8 `b c h w`
    layers: list[dict[str, Any]]  # gamma and numbers of each attention layer
    check: dict[str, Any]  # for the health watch


class Viewer:
    """Look at a run's networks, always on the same latents.

    Samples are compared with the dataset's images. `batch_size` is the micro-batch of one process:
    no more images are made at once, so looking takes less memory than training.
    """

    def __init__(self, network: NetworkConfig, dataset: ImageDataset, *, batch_size: int) -> None:
        self._latents, self._labels = fixed_latents(network)
        self._batch_size = min(batch_size, GRID_COLUMNS)
        self._gauge = LikenessGauge(dataset, self._labels, num=len(self._latents))

    @torch.no_grad()
    def look(self, state: TrainState, engine: Engine) -> View:
        """Look at the averaged generator's images, and at both networks' weights."""
        average, discriminator = state.ema.network, state.discriminator
        latents, labels = self._latents, self._labels
        with engine.autocast():
            images = generate(average, latents, labels, batch_size=self._batch_size)
            samples = torch.cat(list(images))
            layers = self._layers(average, discriminator, engine.device)
        return View(samples, layers, self._check(samples, state))

    def _layers(
        self, generator: nn.Module, discriminator: nn.Module, device: torch.device
    ) -> list[dict[str, Any]]:
        """Each attention layer's numbers, averaged over a few images."""
        few = range(0, len(self._latents), math.ceil(len(self._latents) / _ATTENTION_IMAGES))
        sums: dict[tuple[str, str], dict[str, Any]] = {}
        for start in range(0, len(few), self._batch_size):
            chosen = list(few[start : start + self._batch_size])
            z = self._latents[chosen].to(device)
            y = None if self._labels is None else self._labels[chosen].to(device)
            with record_attention(generator) as g_maps, record_attention(discriminator) as d_maps:
                discriminator(generator(z, y), y)
            for network, maps in (("G", g_maps), ("D", d_maps)):
                for name, attention in maps.items():
                    layer = sums.setdefault((network, name), {"map": attention, "numbers": {}})
                    for number, value in attention_numbers(attention)._asdict().items():
                        total = layer["numbers"].get(number, 0.0)
                        layer["numbers"][number] = total + value * len(chosen) / len(few)
        return [
            {
                "network": network,
                "layer": name,
                "size_px": layer["map"].height,
                "gamma": layer["map"].gamma,
                **layer["numbers"],
            }
            for (network, name), layer in sums.items()
        ]

    def _check(self, images: Tensor, state: TrainState) -> dict[str, Any]:
        likeness = self._gauge.measure(images)
        return {
            "near_duplicates": likeness.near_duplicates,
            "near_duplicates_real": self._gauge.real.near_duplicates,
            "by_class": {str(label): share for label, share in likeness.by_class.items()},
            "spread": likeness.spread,
            "sigmas": largest_singular_values(state.modules),
        }


def fixed_latents(network: NetworkConfig) -> tuple[Tensor, Tensor | None]:
    """Latents `b z` and labels `b` of the sample grids: a class a row, a latent a column.

    Example:
        >>> latents, labels = fixed_latents(NetworkConfig(classes=3))
        >>> latents.shape, labels.tolist()[9:12]
        (torch.Size([30, 128]), [0, 1, 1])
    """
    if not network.classes:
        return sample_latents(range(_GRID_ROWS * GRID_COLUMNS), network.latent_dim), None
    rows = min(network.classes, _GRID_ROWS)
    shown = torch.arange(rows) * network.classes // rows
    columns = sample_latents(range(GRID_COLUMNS), network.latent_dim)
    return columns.repeat(rows, 1), shown.repeat_interleave(GRID_COLUMNS)


def not_finite(groups: Mapping[str, Mapping[str, Tensor]]) -> str:
    """Name the first tensor with a NaN or infinite value, as `ema (gamma)`; else empty.

    The host waits for the device once.

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

    Spectrally normalised layers have their estimate; the others take some power iterations from a
    fixed vector. The networks' names go before those of their layers.
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
    """How alike the images of each class are, compared with real ones."""

    near_duplicates: float  # share of images with another of their class much closer than real ones
    by_class: dict[int, float]  # the same by class number; empty without classes
    spread: float  # median distance between two images of a class, relative to real ones


class LikenessGauge:
    """Measure how many samples are nearly the same image, class by class.

    Two images are near-duplicates if their distance is under 0.15 of the median distance between
    two real ones of the same class (of any class, without classes). On the bundled digits no two of
    ten real or well-generated ones of a class come nearer than 0.17.

    It is made for b = `num` samples with these labels `b`, None without classes.
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
        """Judge each group by the distances between its pairs of images."""
        alike, spreads = {}, []
        for label, between in distances.items():
            typical = self._typical[label]
            if not typical or not len(between):  # real images are all alike too
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
    """Turn distances of pairs into a matrix with an infinite diagonal."""
    num = round((1 + (1 + 8 * len(distances)) ** 0.5) / 2)
    matrix = torch.full((num, num), torch.inf)
    above = torch.triu_indices(num, num, 1)
    matrix[above[0], above[1]] = matrix[above[1], above[0]] = distances
    return matrix
