"""Attention of one image at query points."""

import pytest
import torch
from attention_run import GREY_NETWORK, build_pair

from sagan.explain import explain_latents, query_points


@pytest.fixture(scope="module")
def networks():
    return build_pair(GREY_NETWORK, 0.7)


@pytest.fixture(scope="module")
def latents():
    return torch.randn(1, 8, generator=torch.Generator().manual_seed(0)), torch.tensor([2])


def test_every_layer_of_both_networks_is_explained(networks, latents):
    image, layers = explain_latents(*networks, *latents, points=4)
    assert image.shape == (1, 16, 16)
    assert [(m.network, m.attention.height) for m in layers] == [("G", 8), ("G", 16), ("D", 8)]
    for maps in layers:
        side = maps.attention.height // 2
        assert maps.maps.shape == (4, side, side)  # keys are pooled
        torch.testing.assert_close(maps.maps.sum((1, 2)), torch.ones(4))


def test_maps_are_the_rows_of_the_queries_at_the_points(networks, latents):
    _, layers = explain_latents(*networks, *latents, points=5)
    for maps in layers:
        side = maps.attention.height
        for (y, x), drawn in zip(maps.points, maps.maps, strict=True):
            row = int(y * side) * side + int(x * side)
            assert torch.equal(drawn.flatten(), maps.attention.weights[0, row])


def test_points_keep_their_place_in_the_picture_in_every_layer(networks, latents):
    """A point may move only to the centre of its cell: half a cell of the coarsest layer."""
    _, layers = explain_latents(*networks, *latents, points=5)
    places = torch.tensor([maps.points for maps in layers])
    assert (places - places[1]).abs().max() <= 0.5 / 8


def test_query_points_lie_on_details_and_apart():
    image = torch.zeros(1, 16, 16)
    image[:, 4:6, 2:4] = 1.0
    image[:, 10:12, 12:14] = 1.0
    points = torch.tensor(query_points(image, 4))
    for y, x in points:
        assert (abs(y - 5 / 16) < 0.2 and abs(x - 3 / 16) < 0.2) or (
            abs(y - 11 / 16) < 0.2 and abs(x - 13 / 16) < 0.2
        )
    distances = torch.cdist(points, points) + torch.eye(4)
    assert distances.min() > 0.08


def test_a_flat_image_still_has_points():
    assert len(query_points(torch.zeros(3, 8, 8), 5)) == 5
