"""Directions in latent space: against definitions, and against directions that are planted."""

from dataclasses import replace

import pytest
import torch

from sagan.config import DataConfig, NetworkConfig, RunConfig
from sagan.config.network import spatial_latent_dim
from sagan.explain import generated_pictures, pca_directions, sefa_directions, walk
from sagan.explain.directions import first_matrix, random_directions
from sagan.explain.strips import direction_strips, interpolation_strips
from sagan.images import to_uint8
from sagan.models import build_generator
from sagan.randomness import sample_latents

RESNET = NetworkConfig(resolution=8, channels=1, classes=3, latent_dim=12, g_width=8)
DCGAN = NetworkConfig(family="dcgan", resolution=32, channels=1, latent_dim=12, g_width=8)


@pytest.fixture(params=[RESNET, DCGAN], ids=["resnet", "dcgan"])
def generator(request):
    return build_generator(request.param).eval().requires_grad_(False)


def first_layer(generator):
    if generator.config.family == "dcgan":
        return generator.blocks[0][0]
    return generator.linear


def planted(generator, gains):
    """Make the first layer pass some latent entries by their gains, and the rest weakly."""
    layer = first_layer(generator)
    torch.nn.init.orthogonal_(layer.layer.weight)
    scale = torch.ones(12) * 0.01
    scale[list(gains)] = torch.tensor(list(gains.values()))
    shape = (-1, 1, 1, 1) if generator.config.family == "dcgan" else (1, -1)
    layer.layer.weight.mul_(scale.view(shape))
    layer.power_iteration(30)


def test_sefa_directions_are_stretched_most_by_the_first_layer(generator):
    """No unit vector changes the layer's output more than the first direction does."""
    found = sefa_directions(generator, 12)
    layer = first_layer(generator)
    zero = torch.zeros(1, 12)

    def respond(z):
        args = z[:, :, None, None] if generator.config.family == "dcgan" else z
        return layer(args).flatten(1)

    stretch = [(respond(d.vector[None]) - respond(zero)).norm().item() for d in found]
    assert stretch == sorted(stretch, reverse=True)
    tried = torch.nn.functional.normalize(torch.randn(200, 12), dim=1)
    assert (respond(tried) - respond(zero)).norm(dim=1).max() <= stretch[0] + 1e-5
    basis = torch.stack([d.vector for d in found])
    torch.testing.assert_close(basis @ basis.T, torch.eye(12), atol=1e-5, rtol=0)
    assert sum(d.share for d in found) == pytest.approx(1)
    assert [d.name for d in found[:2]] == ["sefa 1", "sefa 2"]


@pytest.mark.parametrize("find", [sefa_directions, pca_directions])
def test_planted_directions_are_found_in_order(generator, find):
    planted(generator, {7: 3.0, 2: 1.0})
    first, second = find(generator, 2)
    assert first.vector.abs().argmax() == 7
    assert second.vector.abs().argmax() == 2
    assert first.vector[7] > 0.9  # the sign is fixed too
    assert second.vector[2] > 0.5  # ReLU mixes in what the first one gates
    assert first.share > second.share > 0


def test_pca_does_not_mistake_the_class_for_the_latent():
    """Classes that differ far more than latents leave the directions as they are."""
    network = build_generator(RESNET).eval().requires_grad_(False)
    planted(network, {7: 3.0, 2: 1.0})
    for module in network.blocks[0].modules():
        if hasattr(module, "bias") and isinstance(
            getattr(module, "bias", None), torch.nn.Embedding
        ):
            module.bias.weight.copy_(5 * torch.randn_like(module.bias.weight))
    assert pca_directions(network, 1)[0].vector.abs().argmax() == 7


def test_pca_has_several_samples_of_a_class_however_many_there_are():
    many = replace(RESNET, classes=100)  # of 64 samples, less than one each
    network = build_generator(many).eval().requires_grad_(False)
    planted(network, {7: 3.0, 2: 1.0})
    first = pca_directions(network, 1, samples=64)[0]
    assert first.vector.abs().argmax() == 7
    assert 0 < first.share <= 1


def test_a_walk_passes_through_its_start(generator):
    z, labels = torch.randn(1, 12), None if not generator.config.classes else torch.tensor([1])
    steps = torch.tensor([-2.0, 0.0, 2.0])
    direction = random_directions(generator, 1)[0]
    assert direction.vector.norm().item() == pytest.approx(1)
    pictures = walk(generator, z, labels, direction.vector, steps)
    torch.testing.assert_close(pictures[1:2], generator(z, labels))
    torch.testing.assert_close(pictures[2:], generator(z + 2 * direction.vector, labels))


def test_strips_begin_and_end_where_they_say():
    names = DataConfig(class_names=("a", "b", "c"))
    config = RunConfig(network=RESNET, data=names)
    network = build_generator(RESNET).eval()
    picture, other, _ = generated_pictures(network, config, 3, seed=4, classes=[2])
    group = interpolation_strips(network, config, picture)
    seeds, classes = group.strips
    assert (seeds.title, classes.title) == ("seed 4\nto 5", "class c\nto a")
    ends = [picture.pixels(), other.pixels()]
    assert (seeds.images[[0, -1]].int() - torch.stack(ends).int()).abs().max() <= 1
    with torch.no_grad():
        to_a = to_uint8(network(picture.latents, torch.tensor([0])))[0]
    assert (classes.images[0].int() - picture.pixels().int()).abs().max() <= 1
    assert (classes.images[-1].int() - to_a.int()).abs().max() <= 1
    walks = direction_strips(network, picture)
    assert walks.columns == ["-3", "-2", "-1", "0", "+1", "+2", "+3"]
    assert [s.title.split("\n")[0] for s in walks.strips] == [
        *("SeFa 1", "SeFa 2", "SeFa 3", "PCA 1", "PCA 2", "PCA 3", "random")
    ]
    for strip in walks.strips:
        assert (strip.images[3].int() - picture.pixels().int()).abs().max() <= 1
        difference = (strip.images[-1].float() - strip.images[0].float()).abs().mean()
        assert f"by {difference:.0f} of 255" in strip.note


def test_an_unconditional_run_has_no_class_to_go_to():
    config = RunConfig(network=DCGAN)
    network = build_generator(DCGAN).eval()
    (picture,) = generated_pictures(network, config, 1)
    assert [s.title for s in interpolation_strips(network, config, picture).strips] == [
        "seed 0\nto 1"
    ]


@pytest.mark.parametrize("resolution", [8, 16])
def test_spatial_latents_have_directions_too(resolution):
    network = NetworkConfig(
        resolution=resolution,
        latent="spatial",
        latent_dim=spatial_latent_dim(resolution),
        g_width=4,
    )
    generator = build_generator(network).eval().requires_grad_(False)
    z = sample_latents([1, 2], network.latent_dim)
    side = resolution // 2
    maps = generator.noise.to_map.layer(z.unflatten(1, (-1, side, side)))
    dense = torch.kron(first_matrix(generator), torch.eye(side**2))  # the same at each cell
    torch.testing.assert_close(
        (z.double() @ dense.T).unflatten(1, maps.shape[1:]).float(),
        maps,  # its bias is 0 at first
    )
    stretch = torch.linalg.eigvalsh(dense.T @ dense).flip(0)
    found = sefa_directions(generator, side**2 + 2)
    for i, direction in enumerate(found):
        assert (dense @ direction.vector.double()).norm() ** 2 == pytest.approx(stretch[i].item())
        assert direction.share == pytest.approx((stretch[i] / stretch.sum()).item())
    basis = torch.stack([d.vector for d in found])
    torch.testing.assert_close(basis @ basis.T, torch.eye(len(found)), atol=1e-5, rtol=0)
    for directions in (sefa_directions(generator, 2), pca_directions(generator, 2, samples=64)):
        assert all(d.vector.isfinite().all() and d.share > 0 for d in directions)
