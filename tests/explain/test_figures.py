"""Drawn maps have the right coordinates: planted attention is found where it was planted."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from sagan.config import NetworkConfig
from sagan.explain import explain_latents
from sagan.explain.figures import attention_figure
from sagan.models import build_discriminator, build_generator

POINTS = 8


def turned(y, x, side):
    """Where a query is made to look: its own place, rotated by 90 degrees."""
    return x, side - 1 - y


@pytest.fixture(scope="module", params=["article", "paper"])
def explained(request):
    """Both networks, with attention that looks from each place at the rotated one."""
    network = NetworkConfig(
        resolution=16,
        channels=1,
        latent_dim=8,
        g_width=16,
        d_width=32,
        g_attention=(8, 16),
        d_attention=(8,),
        attention_form=request.param,
    )
    generator, discriminator = build_generator(network).eval(), build_discriminator(network).eval()
    for layer in [*generator.attention.values(), *discriminator.attention.values()]:
        plant(layer)
    z = torch.randn(1, 8, generator=torch.Generator().manual_seed(0))
    return explain_latents(generator, discriminator, z, None, points=POINTS)


def plant(layer):
    """Let energy be -|key's place - turned query's place|^2, up to what all keys share."""

    def project(x, layer=layer):
        side = x.shape[2]
        y, x_ = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
        ty, tx = turned(y, x_, side)
        pooled = torch.stack([y, x_]).float()[None]
        if layer.key_stride > 1:  # a key stands for a cell: its place is the cell's centre
            pooled = nn.functional.avg_pool2d(pooled, layer.key_stride)
        key_y, key_x = pooled[0].flatten(1)
        query = torch.stack([ty.flatten(), tx.flatten(), torch.ones(side * side)], dim=1)
        key = torch.stack([2 * key_y, 2 * key_x, -(key_y**2 + key_x**2)], dim=1)
        value = layer._tokens(layer.value(x), pool=True)
        return 10 * query[None], key[None], value

    layer.project = project


def test_each_map_peaks_at_the_place_that_its_point_was_made_to_look_at(explained):
    _, layers = explained
    assert [(m.network, m.attention.height) for m in layers] == [("G", 8), ("G", 16), ("D", 8)]
    for maps in layers:
        side = maps.attention.height
        kh = maps.maps.shape[1]
        for (y, x), weights in zip(maps.points, maps.maps, strict=True):
            ty, tx = turned(int(y * side), int(x * side), side)
            wanted = (ty * kh // side, tx * kh // side)
            assert divmod(int(weights.argmax()), kh) == wanted
            assert weights.max() > 0.99


def test_the_figure_shows_it_there(explained):
    """Checked in the drawn pixels: the brightest yellow of each map."""
    image, layers = explained
    figure = attention_figure([("", image, layers)], title="")
    file = io.BytesIO()
    figure.savefig(file, dpi=50)
    pixels = np.asarray(Image.open(file).convert("RGB")).astype(int)
    height = len(pixels)
    axes = np.array(figure.axes).reshape(len(layers), 1 + POINTS)
    for maps, row in zip(layers, axes, strict=True):
        side, cells = maps.attention.height, maps.maps.shape[1]
        for (y, x), axis in zip(maps.points, row[1:], strict=True):
            ty, tx = turned(int(y * side), int(x * side), side)
            ty, tx = ty * cells // side, tx * cells // side
            yellow = []
            for cy in range(cells):
                for cx in range(cells):
                    # a corner of the cell, since the point's marker may cover the middle
                    place = ((cx + 0.15) / cells, (cy + 0.15) / cells)
                    left, bottom = axis.transData.transform(place) * 50 / figure.dpi
                    r, g, b = pixels[int(height - bottom), int(left)]
                    yellow.append(r + g - 2 * b)
            assert divmod(int(np.argmax(yellow)), cells) == (ty, tx)


def centroid(change):
    """The centre of a change `h w`, in [0, 1]."""
    h, w = change.shape
    total = change.sum()
    y = (change.sum(1) * (torch.arange(h) + 0.5)).sum() / total / h
    x = (change.sum(0) * (torch.arange(w) + 0.5)).sum() / total / w
    return float(y), float(x)


@pytest.mark.parametrize("family", ["resnet", "dcgan"])
def test_a_layers_cell_and_the_picture_at_its_point_are_the_same_place(family):
    """In G, change the cell and see the picture change; in D, change the picture, see the cell."""
    resolution = 32 if family == "dcgan" else 16
    network = NetworkConfig(
        family=family,
        resolution=resolution,
        channels=1,
        latent_dim=8,
        g_width=16,
        d_width=16,
        g_attention=(8,),
        d_attention=(8,),
    )
    generator, discriminator = build_generator(network).eval(), build_discriminator(network).eval()
    z = torch.randn(1, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        picture = generator(z)
    _, layers = explain_latents(generator, discriminator, z, None, points=POINTS)
    (g_layer,), (d_layer,) = generator.attention.values(), discriminator.attention.values()
    side = 8
    seen = []
    g_maps, d_maps = layers
    for y, x in g_maps.points:
        cell_y, cell_x = int(y * side), int(x * side)

        def change(_layer, _inputs, output, at=(cell_y, cell_x)):
            output = output.clone()
            output[:, :, *at] += 1.0
            return output

        handle = g_layer.register_forward_hook(change)
        with torch.no_grad():
            found = centroid((generator(z) - picture).abs()[0, 0])
        handle.remove()
        assert found == pytest.approx((y, x), abs=1 / side)
    handle = d_layer.register_forward_pre_hook(lambda _layer, inputs: seen.append(inputs[0]))
    for y, x in d_maps.points:
        changed = picture.clone()
        cell = resolution // side
        top, left = int(y * side) * cell, int(x * side) * cell
        changed[:, :, top : top + cell, left : left + cell] += 1.0
        with torch.no_grad():
            discriminator(torch.cat([picture, changed]))
        found = centroid((seen[-1][1] - seen[-1][0]).abs().sum(0))
        assert found == pytest.approx((y, x), abs=1 / side)
    handle.remove()
