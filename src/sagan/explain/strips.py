"""Strips of pictures: walks along directions, from seed to seed, and from class to class.

Dimensions: b pictures of a strip, c channels, h w their sides.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from sagan.config import RunConfig
from sagan.explain.directions import (
    Direction,
    pca_directions,
    random_directions,
    sefa_directions,
    walk,
)
from sagan.explain.pictures import ExplainedPicture
from sagan.images import to_uint8
from sagan.models import Generator
from sagan.sampling import generate, interpolation_labels, interpolation_latents

_FRAMES = 7
_MAX_DISTANCE = 3.0  # of a walk, in standard deviations of a latent's entry
_COUNT = 3  # directions of each kind


class Strip(NamedTuple):
    """A row of pictures: its title, a note at its end, and the pictures, uint8 `b c h w`."""

    title: str
    note: str
    images: Tensor


class StripGroup(NamedTuple):
    """Strips under one title, with headings for their columns."""

    title: str
    columns: list[str]
    strips: list[Strip]


def direction_strips(generator: Generator, picture: ExplainedPicture) -> StripGroup:
    """Walk from a generated picture along SeFa's and PCA's first directions, and a random one."""
    assert picture.latents is not None
    steps = torch.linspace(-_MAX_DISTANCE, _MAX_DISTANCE, _FRAMES)
    count = min(_COUNT, generator.config.latent_dim)
    directions = sefa_directions(generator, count) + pca_directions(generator, count)
    directions += random_directions(generator, 1)
    strips = []
    for direction in directions:
        pictures = walk(generator, picture.latents, picture.labels, direction.vector, steps)
        images = to_uint8(pictures).cpu()
        ends = (images[-1].float() - images[0].float()).abs().mean().item()
        strips.append(Strip(_title(direction), f"ends differ\nby {ends:.0f} of 255", images))
    title = f"Walks from {picture.caption}: distance along a unit direction in latent space"
    return StripGroup(title, [f"{step:+.0f}" if step else "0" for step in steps.tolist()], strips)


def _title(direction: Direction) -> str:
    kind = {"sefa": "SeFa", "pca": "PCA", "random": "random"}[direction.kind]
    if direction.share is None:
        return kind
    return f"{kind} {direction.number}\n{direction.share:.0%}"


def interpolation_strips(
    generator: Generator, config: RunConfig, picture: ExplainedPicture
) -> StripGroup:
    """Walk from a generated picture to the next seed, and to the next class if it has one."""
    assert picture.latents is not None
    assert picture.seed is not None
    network, seed = config.network, picture.seed
    latents = interpolation_latents((seed, seed + 1), _FRAMES, network)
    same = None if picture.labels is None else picture.labels.cpu().expand(_FRAMES)
    images = torch.cat(list(generate(generator, latents, same)))
    strips = [Strip(f"seed {seed}\nto {seed + 1}", "", images)]
    title = "From seed to seed"
    if picture.labels is not None and network.classes > 1:
        start = int(picture.labels)
        end = (start + 1) % network.classes
        labels = interpolation_labels((start, end), _FRAMES, network)
        stay = picture.latents.cpu().expand(_FRAMES, -1)
        images = torch.cat(list(generate(generator, stay, labels)))
        named = [config.data.name_of(label) for label in (start, end)]
        title += ", and from class to class"
        strips.append(Strip(f"class {named[0]}\nto {named[1]}", "", images))
    shares = [f"{i / (_FRAMES - 1):.0%}" for i in range(_FRAMES)]
    return StripGroup(title, shares, strips)
