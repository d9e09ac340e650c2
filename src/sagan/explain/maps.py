"""Attention maps of one image, at query points worth looking at.

Dimensions: h w the image's sides, gh gw a layer's query grid, kh kw its key grid, q query points.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from sagan.explain.pictures import Subject
from sagan.images import to_uint8
from sagan.models import Discriminator, Generator
from sagan.nn.attention import AttentionMap, record_attention

_CANDIDATES = 0.25  # share of the pixels, the most detailed ones, that query points are chosen from


@dataclass(frozen=True)
class QueryMaps:
    """One layer's attention at query points of one image.

    Args:
        network: `G` or `D`.
        layer: the layer's name in the network.
        attention: the whole map, of a batch of one.
        points: the query points in [0, 1] x [0, 1] as (y, x), the centres of the queries' cells.
        maps: `q kh kw`, each summing to 1.
    """

    network: str
    layer: str
    attention: AttentionMap
    points: tuple[tuple[float, float], ...]
    maps: Tensor


def query_points(image: Tensor, count: int) -> list[tuple[float, float]]:
    """Choose points of an image that lie on its details, spread out: (y, x) in [0, 1].

    Among the quarter of the pixels with the strongest gradient, the first is the strongest and each
    further one is the farthest from those before.

    Args:
        image: `c h w`.
        count: how many, at least 1.

    Example:
        >>> image = torch.zeros(1, 8, 8)
        >>> image[:, :, 4:] = 1.0
        >>> sorted({x for _, x in query_points(image, 3)})  # along the edge
        [0.4375, 0.5625]
    """
    grey = image.float().mean(0)
    dy = F.pad((grey[2:] - grey[:-2]).abs(), (0, 0, 1, 1))
    dx = F.pad((grey[:, 2:] - grey[:, :-2]).abs(), (1, 1))
    strength = (dy + dx).flatten()
    h, w = grey.shape
    order = strength.argsort(descending=True, stable=True)[: max(count, int(_CANDIDATES * h * w))]
    order = order[: max(count, int((strength[order] > 0).sum()))]
    places = torch.stack([(order // w + 0.5) / h, (order % w + 0.5) / w], dim=1)
    chosen = [0]
    distance = (places - places[0]).norm(dim=1)
    while len(chosen) < min(count, len(places)):
        chosen.append(int(distance.argmax()))
        distance = torch.minimum(distance, (places - places[chosen[-1]]).norm(dim=1))
    return [(float(y), float(x)) for y, x in places[chosen]]


@torch.no_grad()
def explain_image(
    generator: Generator,
    discriminator: Discriminator | None,
    latents: Tensor,
    labels: Tensor | None,
    *,
    points: int = 5,
) -> tuple[Tensor, list[QueryMaps]]:
    """Generate one image, and collect how every attention layer of G and D looks at it.

    Args:
        generator, discriminator: of one run, in eval mode; a run may be without the latter.
        latents: `1 z`.
        labels: `1`, or None.
        points: how many query points.

    Returns:
        The image, uint8 `c h w`, and a `QueryMaps` per layer, the generator's first.
    """
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
    """Collect how every attention layer of D looks at one image, generated or real.

    Args:
        discriminator: in eval mode.
        images: `1 c h w` in [-1, 1].
        labels: `1` or `1 k`, or None.
        places: the query points, (y, x) in [0, 1].
    """
    with record_attention(discriminator) as maps:
        discriminator(images, labels)
    return [_at_points("D", name, m, places) for name, m in maps.items()]


@torch.no_grad()
def explain_subject(
    subject: Subject,
    generator: Generator,
    discriminator: Discriminator | None,
    *,
    points: int = 5,
) -> list[QueryMaps]:
    """Collect how G, where it made the picture, and D look at it: a `QueryMaps` per layer."""
    if subject.latents is None:
        assert discriminator is not None
        places = query_points(subject.image[0], points)
        return look_at(discriminator, subject.image, subject.labels, places)
    args = subject.latents, subject.labels
    return explain_image(generator, discriminator, *args, points=points)[1]


def _at_points(
    network: str, layer: str, attention: AttentionMap, places: list[tuple[float, float]]
) -> QueryMaps:
    h, w = attention.height, attention.width
    cells = [(min(int(y * h), h - 1), min(int(x * w), w - 1)) for y, x in places]
    keys = h // attention.key_stride, w // attention.key_stride
    rows = attention.rows([y * w + x for y, x in cells], slice(1))[0].cpu()
    return QueryMaps(
        network,
        layer,
        attention,
        tuple(((y + 0.5) / h, (x + 0.5) / w) for y, x in cells),
        rows.unflatten(1, keys),
    )
