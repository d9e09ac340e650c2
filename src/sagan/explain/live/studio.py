"""The live page's model: an open run that renders any image with its maps.

Dimensions: c h w an image's, z latent length, k classes.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sagan.config import NetworkConfig
from sagan.config.channels import discriminator_blocks
from sagan.config.growth import stage_config
from sagan.config.network import why_no_maps
from sagan.errors import CheckpointError
from sagan.explain.bundle import Layer, pack_bundle
from sagan.explain.causal_check import GREY_LEVELS
from sagan.explain.directions import Direction, pca_directions, sefa_directions
from sagan.explain.history import read_history
from sagan.explain.html_report import history_lines
from sagan.explain.interventions import gammas, intervene
from sagan.explain.live.request import MAX_DIRECTIONS, MAX_SEED, ImageRequest
from sagan.explain.maps import query_points
from sagan.images import to_uint8
from sagan.models import Discriminator, Generator, build_discriminator, build_generator
from sagan.nn.attention import record_attention
from sagan.randomness import sample_latents
from sagan.runs.checkpoint import Checkpoint
from sagan.runs.log import read_records
from sagan.runs.open_run import load_discriminator, load_run_generator
from sagan.runs.run import Run, find_checkpoint
from sagan.sampling import slerp

_KEPT_NETWORKS = 4  # checkpoints whose networks stay in memory
_MAX_MAP_BYTES = 4 << 20  # holds a 64x64 layer with pooled keys
_FINDERS: dict[str, Callable[[Generator, int], list[Direction]]] = {
    "sefa": sefa_directions,
    "pca": pca_directions,
}

Networks = tuple[Generator, Discriminator | None]


class TrainingPoint(NamedTuple):
    """A point in training that the page can show."""

    step: int
    images: int
    path: Path | None  # of the checkpoint; None is before training


class Rendering(NamedTuple):
    """An image and the maps that made and judged it."""

    image: Tensor  # `1 c h w` in [-1, 1]
    logit: float | None  # D's; None in an imported run without D
    layers: list[Layer]


class Studio:
    """Renders images of a run, or of one of its checkpoints, on request. Not thread-safe."""

    def __init__(self, path: Path, *, device: str = "cpu") -> None:
        checkpoint = find_checkpoint(path, verify_files=None)
        self.config = checkpoint.config
        network = self.config.network
        self._has_discriminator = checkpoint.has("discriminator")
        if not _can_look(network, self._has_discriminator):
            raise ValueError(f"{path} {why_no_maps(network)}: there is nothing to explore")
        self._device = device
        self._networks: OrderedDict[int, Networks] = OrderedDict()
        self._directions: dict[tuple[int, str], list[Direction]] = {}
        self._unchanged: tuple[ImageRequest, Rendering] | None = None
        self._run = Run(checkpoint.run)
        self._beginning = stage_config(checkpoint.run_config, 0)
        self._name = str(path)
        points = _find_training_points(self._run, checkpoint)
        self.training_points = {point.step: point for point in points}
        self._step = checkpoint.step
        # the layers, and a warm-up: the next ones are faster
        first = ImageRequest(step=self._step, seed=0, label=0 if self._classes else None)
        self._layers = self.make(first).layers

    @property
    def _classes(self) -> int:
        return self.config.network.classes

    def facts(self) -> dict[str, Any]:
        """What the page needs to know before the first image."""
        config = self.config
        parts = [self._name, f"{config.data.source or 'own data'}, {config.network.resolution} px"]
        parts.append(f"preset {config.preset}")
        return {
            "about": " · ".join(parts),
            "resolution": config.network.resolution,
            "classes": list(config.data.class_names or map(str, range(self._classes))),
            "checkpoints": [
                {"step": point.step, "images": point.images}
                for point in self.training_points.values()
            ],
            "step": self._step,
            "layers": [
                {
                    "key": f"{layer.network} {layer.name}",
                    "network": layer.network,
                    "height": layer.attention.height,
                    "width": layer.attention.width,
                }
                for layer in self._layers
            ],
            "history": history_lines(read_history(self._run.log_path)),
            "directions": list(_FINDERS),
            "most_directions": MAX_DIRECTIONS,
            "most_seed": MAX_SEED,
        }

    def render(self, request: ImageRequest) -> bytes:
        """Render an image with its maps, as a bundle for the page."""
        # ValueError: no such checkpoint, class or layer, or every key is hidden. CheckpointError:
        # the checkpoint is damaged, or has gone since the page was opened.
        keys = [f"{layer.network} {layer.name}" for layer in self._layers]
        if request.layer is not None and request.layer not in keys:
            raise ValueError(f"no attention layer {request.layer!r}; known: {', '.join(keys)}")
        made = self.make(request) if request.changes_attention else self._as_trained(request)
        images = {"picture": to_uint8(made.image[0]).cpu()}
        facts: dict[str, Any] = {
            "caption": self._caption(request),
            "points": query_points(made.image[0].cpu(), 1),
            "images_seen": self.training_points[request.step].images,
            "logit": made.logit,
            "change": None,
        }
        if request.changes_attention:
            before = self._as_trained(request)
            images["before"] = to_uint8(before.image[0]).cpu()
            pixels = (made.image - before.image).abs().mean().item() * GREY_LEVELS
            facts["change"] = {
                "pixels": pixels,
                "logit": made.logit,
                "logit_before": before.logit,
            }
        return pack_bundle(images, made.layers, facts, max_map_bytes=_MAX_MAP_BYTES)

    def make(self, request: ImageRequest) -> Rendering:
        """Make the image and collect the maps: `render` without the packing."""
        generator, discriminator = self._pair(request.step)
        latents, labels = self._inputs(request)
        with ExitStack() as stack:
            stack.enter_context(torch.no_grad())
            stack.enter_context(self._changed(request, generator, discriminator))
            g_maps = stack.enter_context(record_attention(generator))
            image = generator(latents, labels)
            d_maps, logit = {}, None
            if discriminator is not None:
                d_maps = stack.enter_context(record_attention(discriminator))
                logit = discriminator(image, labels).item()
        layers = [Layer("G", name, attention) for name, attention in g_maps.items()]
        by = 0 if discriminator is None else self._renumbered_by(discriminator)
        layers += [Layer("D", _renumbered(name, by), m) for name, m in d_maps.items()]
        return Rendering(image, logit, layers)

    def _as_trained(self, request: ImageRequest) -> Rendering:
        """Make the image without changes; the last one is kept, since sliders compare with it."""
        plain = replace(request, layer=None, gamma_scale=1.0, uniform=False, region=None)
        if self._unchanged is None or self._unchanged[0] != plain:
            self._unchanged = plain, self.make(plain)
        return self._unchanged[1]

    def _pair(self, step: int) -> Networks:
        """The networks of a point in training; those last used stay open."""
        if step not in self.training_points:
            known = ", ".join(map(str, self.training_points))
            raise ValueError(f"this run keeps no checkpoint of step {step}; it has {known}")
        if step not in self._networks:
            self._networks[step] = self._open(self.training_points[step].path)
        self._networks.move_to_end(step)
        while len(self._networks) > _KEPT_NETWORKS:
            self._networks.popitem(last=False)
        return self._networks[step]

    def _renumbered_by(self, discriminator: Discriminator) -> int:
        """How much higher the page numbers D's layers than this D, of another size of the run."""
        networks = self.config.network, discriminator.config
        opened, other = (len(discriminator_blocks(network)) for network in networks)
        return opened - other  # a run that grows gains blocks before those that it has

    def _open(self, path: Path | None) -> Networks:
        """Load a checkpoint's networks; None is those that training started from."""
        discriminator = None
        if path is None:
            network, seed = self._beginning.network, self.config.training.seed
            generator = build_generator(network, seed=seed).to(self._device).eval()
            if self._has_discriminator:
                discriminator = build_discriminator(network, seed=seed).to(self._device).eval()
        elif not path.exists():
            raise CheckpointError(f"{path.name} is gone: training has replaced it")
        else:
            generator = load_run_generator(path, device=self._device)
            if self._has_discriminator:
                discriminator = load_discriminator(path, device=self._device)
        return generator, discriminator

    def _inputs(self, request: ImageRequest) -> tuple[Tensor, Tensor | None]:
        seeds = (request.seed, request.to_seed)
        a, b = sample_latents(seeds, self.config.network.latent_dim, truncation=request.truncation)
        t = torch.tensor([[request.between]])
        latents = slerp(a, b, t) if request.between else a[None]
        if any(request.amounts):
            directions = self._directions_of(request.step, request.direction)
            for amount, direction in zip(request.amounts, directions, strict=False):
                latents = latents + amount * direction.vector.cpu()
        return latents.to(self._device), self._labels(request)

    def _directions_of(self, step: int, kind: str) -> list[Direction]:
        """A checkpoint's directions, found when they are first walked along."""
        if (step, kind) not in self._directions:
            generator, _ = self._pair(step)
            count = min(MAX_DIRECTIONS, self.config.network.latent_dim)
            self._directions[step, kind] = _FINDERS[kind](generator, count)
        return self._directions[step, kind]

    def _labels(self, request: ImageRequest) -> Tensor | None:
        ends = (request.label, request.label if request.to_label is None else request.to_label)
        if not self._classes:
            if ends != (None, None):
                raise ValueError("this run has no classes: label must be null")
            return None
        for label in ends:
            if label is None or label >= self._classes:
                raise ValueError(f"label must be from 0 to {self._classes - 1}, not {label}")
        if ends[0] == ends[1] or not request.between:
            return torch.tensor([ends[0]], device=self._device)
        one_hot = torch.nn.functional.one_hot(torch.tensor(ends), self._classes).float()
        return one_hot[0].lerp(one_hot[1], request.between)[None].to(self._device)

    @contextmanager
    def _changed(
        self, request: ImageRequest, generator: Generator, discriminator: Discriminator | None
    ) -> Iterator[None]:
        hidden = None
        if request.region is not None:
            side = self.config.network.resolution
            hidden = torch.zeros(side, side, dtype=torch.bool)
            # outwards to whole pixels, but for rounding errors
            left, top, right, bottom = (round(edge * side, 6) for edge in request.region)
            hidden[int(top) : -int(-bottom // 1), int(left) : -int(-right // 1)] = True
        chosen: dict[str, list[str] | None] = {"G": None, "D": None}
        if request.layer is not None:
            network, _, name = request.layer.partition(" ")
            if network == "D" and discriminator is not None:
                name = _renumbered(name, -self._renumbered_by(discriminator))
            module = generator if network == "G" else discriminator
            if module is None or name not in gammas(module):
                side = generator.config.resolution
                raise ValueError(f"{request.layer} is not there yet, at {side} px")
            chosen = {"G": [], "D": [], network: [name]}
        with ExitStack() as stack:
            for key, module in (("G", generator), ("D", discriminator)):
                if module is None:
                    continue
                change = intervene(
                    module,
                    gamma_scale=request.gamma_scale,
                    uniform=request.uniform,
                    hidden_keys=hidden,
                    layers=chosen[key],
                )
                stack.enter_context(change)
            yield

    def _caption(self, request: ImageRequest) -> str:
        parts = []
        if request.label is not None:
            parts.append(f"class {self.config.data.name_of(request.label)}")
        parts.append(f"seed {request.seed}")
        if request.between:
            parts.append(f"{request.between:.0%} of the way to seed {request.to_seed}")
        return ", ".join(parts)


def _can_look(network: NetworkConfig, has_discriminator: bool) -> bool:
    return bool(network.g_maps or (network.d_maps and has_discriminator))


def _renumbered(name: str, by: int) -> str:
    """A layer's name with another number, as `attention.2` for `attention.0` and 2."""
    prefix, _, number = name.rpartition(".")
    return f"{prefix}.{int(number) + by}"


def _find_training_points(run: Run, chosen: Checkpoint) -> Iterator[TrainingPoint]:
    """The points in training to show: before it, and each sound checkpoint that was kept.

    Those of a size without attention, which a run that grows may begin with, are left out.
    """
    has_discriminator = chosen.has("discriminator")
    first = next(read_records(run.log_path), None)
    from_nothing = first is not None and first.get("kind") not in ("import", "init")
    if from_nothing and _can_look(stage_config(chosen.run_config, 0).network, has_discriminator):
        yield TrainingPoint(0, 0, None)
    paths = {path.name: path for path in (*run.checkpoint_paths(), chosen.path)}
    for name, path in sorted(paths.items()):
        try:
            checkpoint = run.open(path)
        except CheckpointError:
            if name == chosen.path.name:
                raise
            continue  # training itself skips it
        if not _can_look(checkpoint.config.network, has_discriminator):
            continue
        yield TrainingPoint(checkpoint.step, int(checkpoint.manifest.get("images", 0)), path)
