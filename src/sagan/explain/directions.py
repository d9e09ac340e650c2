"""Directions in the latent space along which pictures change most: SeFa and PCA.

Dimensions: b batch, c channels, h w the image's sides, z latent length, s samples, k directions,
f features.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from sagan.models import Generator
from sagan.models.dcgan import DCGANGenerator
from sagan.models.resnet import ResNetGenerator
from sagan.nn.spectral import SpectralNorm
from sagan.randomness import generator_for, sample_latents
from sagan.sampling import spread_labels

SAMPLES = 512  # for the PCA
_LEAST_OF_A_CLASS = 16  # of them


@dataclass(frozen=True)
class Direction:
    """A unit vector in latent space, along which to walk."""

    kind: str  # sefa, pca or random
    number: int  # from 1, the strongest first
    vector: Tensor  # `z`, of length 1, on the CPU
    share: float | None  # of the variance that all directions of its kind explain; None if random

    @property
    def name(self) -> str:
        """As `sefa 1`."""
        return f"{self.kind} {self.number}"


def sefa_directions(generator: Generator, count: int) -> list[Direction]:
    """The `count` latent directions that the generator's first layer lets through most strongly."""
    # It is linear in both families (a linear layer, or a transposed convolution of a 1x1 map): the
    # eigenvectors of A^T A for its matrix A, as many as the latent is long. Source: Shen and Zhou
    # 2021, "Closed-form factorization of latent semantics in GANs".
    matrix = first_matrix(generator)
    values, vectors = torch.linalg.eigh(matrix.T @ matrix)
    values, vectors = values.flip(0), vectors.flip(1).T
    if isinstance(generator, ResNetGenerator) and generator.noise is not None:
        side = generator.noise.side_px
        values, vectors = values.repeat_interleave(side**2), _in_cells(vectors, side, count)
    return _strongest_first("sefa", values, vectors, count)


def _in_cells(vectors: Tensor, side: int, count: int) -> Tensor:
    """The first vectors of a map's cell, each in every cell in turn from the middle: `k z`."""
    k = torch.arange(count)
    placed = vectors.new_zeros(count, vectors.shape[1], side**2)
    placed[k, :, (k + side**2 // 2 + side // 2) % side**2] = vectors[k // side**2]
    return placed.flatten(1)


@torch.no_grad()
def first_matrix(generator: Generator) -> Tensor:
    """The generator's first layer as a matrix `f z`, up to its scale and bias.

    Of spatial latents, it is what the layer does to each cell of their map.
    """
    if isinstance(generator, DCGANGenerator):
        weight: Tensor = generator.blocks[0][0].layer.weight  # type: ignore[index]
        return weight.flatten(1).T.cpu().double()  # z c h w
    noise = generator.noise
    first = generator.linear if noise is None else noise.to_map
    assert first is not None
    weight = (first.layer if isinstance(first, SpectralNorm) else first).weight  # type: ignore[assignment]
    return weight.flatten(1).cpu().double()


@torch.no_grad()
def pca_directions(
    generator: Generator, count: int, *, samples: int = SAMPLES, batch_size: int = 64
) -> list[Direction]:
    """The latent directions behind the principal components of the first block's features."""
    # The first layer alone is linear in a standard normal latent, so its PCA would find SeFa's
    # directions again; hence the first *block*, behind its ReLU. Each class's mean feature is
    # subtracted first, since a class is not the latent's doing. A direction is the regression of
    # the latents on a component's coordinates. The generator must be in eval mode, and `count`
    # below the number of samples. Of many classes some are left out, for each to have enough
    # samples. Source: Härkönen et al. 2020, "GANSpace", equation 3.
    config = generator.config
    device = next(generator.parameters()).device
    z = sample_latents(range(-samples, 0), config.latent_dim).to(device)
    each = max(1, math.ceil(config.classes * _LEAST_OF_A_CLASS / samples))
    labels = spread_labels(samples, config, range(0, config.classes, each))
    labels = None if labels is None else labels.to(device)
    rows = []
    for start in range(0, samples, batch_size):
        part = slice(start, start + batch_size)
        y = None if labels is None else labels[part]
        rows.append(_first_features(generator, z[part], y).flatten(1))
    features = _without_class_means(torch.cat(rows), labels)
    # the Gram matrix's eigenvectors are the components' coordinates; no f x f matrix is needed
    values, vectors = torch.linalg.eigh((features @ features.T).cpu().double())
    coordinates = vectors.flip(1)[:, :count]  # s k, orthonormal
    latents = z.cpu().double()
    directions = coordinates.T @ (latents - latents.mean(0))
    directions = directions / directions.norm(dim=1, keepdim=True)
    return _strongest_first("pca", values.flip(0).clamp(min=0), directions, count)


def random_directions(generator: Generator, count: int) -> list[Direction]:
    """Draw random directions, to compare the others with."""
    draw = generator_for(0, "directions")
    vectors = torch.randn(count, generator.config.latent_dim, generator=draw)
    vectors = vectors / vectors.norm(dim=1, keepdim=True)
    return [Direction("random", i + 1, vector, None) for i, vector in enumerate(vectors)]


@torch.no_grad()
def walk(
    generator: Generator, latents: Tensor, labels: Tensor | None, direction: Tensor, steps: Tensor
) -> Tensor:
    """Pictures in [-1, 1] at each distance in `steps` from latents `1 z`."""
    # distances are in units of a latent entry's standard deviation
    points = latents + steps.to(latents)[:, None] * direction.to(latents)
    labels = None if labels is None else labels.expand(len(points), *labels.shape[1:])
    return generator(points, labels)


def _first_features(generator: Generator, latents: Tensor, labels: Tensor | None) -> Tensor:
    """The output `b c h w` of the first block behind the latents, as in the forward itself."""
    if isinstance(generator, DCGANGenerator):
        return generator.blocks[0](latents[:, :, None, None])
    x, noise = generator.start(latents, labels), generator.noise
    for block in generator.blocks:
        x = block(x, labels)
        if noise is None or x.shape[-1] > noise.side_px:
            break
        x = noise(x, latents)
    return x


def _strongest_first(kind: str, values: Tensor, vectors: Tensor, count: int) -> list[Direction]:
    """Make directions of rows; signs, which are arbitrary, make the largest entry positive."""
    shares = (values / values.sum().clamp(min=torch.finfo(values.dtype).tiny)).tolist()
    found = []
    for i, vector in enumerate(vectors[:count]):
        sign = vector[vector.abs().argmax()].sign()
        found.append(Direction(kind, i + 1, (sign * vector).float(), shares[i]))
    return found


def _without_class_means(features: Tensor, labels: Tensor | None) -> Tensor:
    groups = torch.zeros(len(features), dtype=torch.int64) if labels is None else labels
    centred = features.clone()
    for label in groups.unique():
        rows = groups == label
        centred[rows] -= features[rows].mean(0)
    return centred
