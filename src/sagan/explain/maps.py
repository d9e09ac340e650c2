"""Attention maps of one image, at query points worth looking at.

Dimensions: h w the image's sides, gh gw a layer's query grid, kh kw its key grid, q query points.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from sagan.explain.pictures import ExplainedPicture
from sagan.images import to_uint8
from sagan.models import Discriminator, Generator
from sagan.nn.attention import AttentionMap, record_attention

_CANDIDATES = 0.25  # query points are chosen from this share of the pixels, the most detailed ones


@dataclass(frozen=True)
class QueryMaps:
    """One layer's attention at query points of one image."""

    network: str  # G or D
    layer: str  # its name in the network
    attention: AttentionMap  # the whole map, of a batch of one
    points: tuple[tuple[float, float], ...]  # (y, x) in [0, 1], the centres of the queries' cells
    maps: Tensor  # `q kh kw`, each summing to 1


def query_points(image: Tensor, count: int) -> list[tuple[float, float]]:
    """Choose points of an image `c h w` that lie on its details, spread out: (y, x) in [0, 1]."""
    # candidates: the quarter of the pixels with the strongest gradient, flat ones left out
    grey = image.float().mean(0)
    dy = F.pad((grey[2:] - grey[:-2]).abs(), (0, 0, 1, 1))
    dx = F.pad((grey[:, 2:] - grey[:, :-2]).abs(), (1, 1))
    strength = (dy + dx).flatten()
    h, w = grey.shape
    order = strength.argsort(descending=True, stable=True)[: max(count, int(_CANDIDATES * h * w))]
    order = order[: max(count, int((strength[order] > 0).sum()))]
    # farthest-point sampling, starting from the strongest
    places = torch.stack([(order // w + 0.5) / h, (order % w + 0.5) / w], dim=1)
    chosen = [0]
    distance = (places - places[0]).norm(dim=1)
    while len(chosen) < min(count, len(places)):
        chosen.append(int(distance.argmax()))
        distance = torch.minimum(distance, (places - places[chosen[-1]]).norm(dim=1))
    return [(float(y), float(x)) for y, x in places[chosen]]


@torch.no_grad()
def explain_latents(
    generator: Generator,
    discriminator: Discriminator | None,
    latents: Tensor,
    labels: Tensor | None,
    *,
    points: int = 5,
) -> tuple[Tensor, list[QueryMaps]]:
    """Generate an image (uint8 `c h w`) from latents `1 z`, and its maps, the generator's first."""
    with record_attention(generator) as maps:
        images = generator(latents, labels)
    places = query_points(images[0], points)
    layers = [_at_points("G", name, m, places) for name, m in maps.items()]
    if discriminator is not None:
        layers += look_at(discriminator, images, labels, places)
    return to_uint8(images[0]).cpu(), layers


@torch.no_grad()
def look_at(
    discriminator: Discriminator,
    images: Tensor,
    labels: Tensor | None,
    places: list[tuple[float, float]],
) -> list[QueryMaps]:
    """Collect D's maps of one image `1 c h w` in [-1, 1], generated or real, at query points."""
    with record_attention(discriminator) as maps:
        discriminator(images, labels)
    return [_at_points("D", name, m, places) for name, m in maps.items()]


@torch.no_grad()
def explain_picture(
    picture: ExplainedPicture,
    generator: Generator,
    discriminator: Discriminator | None,
    *,
    points: int = 5,
) -> list[QueryMaps]:
    """Collect the maps of G, if it made the picture, and of D: a `QueryMaps` per layer."""
    if picture.latents is None:
        assert discriminator is not None
        places = query_points(picture.image[0], points)
        return look_at(discriminator, picture.image, picture.labels, places)
    args = picture.latents, picture.labels
    return explain_latents(generator, discriminator, *args, points=points)[1]


def _at_points(
    network: str, layer: str, attention: AttentionMap, places: list[tuple[float, float]]
) -> QueryMaps:
    h, w = attention.height, attention.width
    cells = [(min(int(y * h), h - 1), min(int(x * w), w - 1)) for y, x in places]
    keys = h // attention.key_stride, w // attention.key_stride
    rows = attention.rows([y * w + x for y, x in cells], slice(1))[0].cpu()
    centres = tuple(((y + 0.5) / h, (x + 0.5) / w) for y, x in cells)
    return QueryMaps(network, layer, attention, centres, rows.unflatten(1, keys))
