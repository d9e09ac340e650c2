"""A look at the networks at a snapshot: the grid of fixed latents, attention on it, vital numbers.

Nothing here changes what training does next.

Dimensions: b images, z latent length.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from sagan.config import NetworkConfig
from sagan.data import ImageDataset
from sagan.nn.attention import attention_numbers, record_attention
from sagan.randomness import sample_latents
from sagan.sampling import generate
from sagan.training.engine import Engine
from sagan.training.state import TrainState
from sagan.training.vitals import LikenessGauge, largest_singular_values

_GRID_ROWS, GRID_COLUMNS = 10, 10
_ATTENTION_IMAGES = 17  # of the grid, evenly spread, for the attention numbers


@dataclass(frozen=True)
class View:
    """What a look shows.

    Args:
        samples: of the fixed latents, uint8 `b c h w`.
        layers: of each attention layer its gamma and numbers; empty without attention.
        check: vital numbers, for the health watch.
    """

    samples: Tensor
    layers: list[dict[str, Any]]
    check: dict[str, Any]


class Viewer:
    """Look at a run's networks, always on the same latents.

    Args:
        network: sizes of the networks.
        dataset: the real images, which samples are compared with.
        batch_size: of a training step in one process: no more images are made at once, so that
            looking, which keeps nothing for a backward pass, needs less memory than training.
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
        """Each attention layer's numbers: means over a few images, made a few at a time."""
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
    """The latents and labels of the sample grids: classes in rows, one latent a column.

    Returns:
        Latents `b z` and labels `b` (None when unconditional), row by row.

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
