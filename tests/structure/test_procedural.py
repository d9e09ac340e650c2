"""The procedural sets: rules exact by construction, images from (seed, i) alone, soft edges."""

import numpy as np
import pytest

from sagan.data import load_dataset, pack_dataset
from sagan.data.procedural import PROCEDURAL, RESOLUTIONS_PX, render
from sagan.data.procedural.barcode import draw_barcode
from sagan.data.procedural.draws import Draws
from sagan.data.procedural.quadrupeds import KINDS, draw_quadrupeds, strokes
from sagan.data.procedural.raster import coverage, disc_distance, hsv_to_rgb
from sagan.data.procedural.twins import draw_twins

MANY = np.arange(5000)


def apart(one, other):
    return 180 - np.abs((one - other) % 360 - 180)


def test_twins_share_a_hue_and_the_pairs_differ_by_60_degrees():
    scenes = draw_twins(3, MANY)
    hue = scenes.hue_deg
    assert (hue[:, 0] == hue[:, 3]).all()
    assert (hue[:, 1] == hue[:, 2]).all()
    assert apart(hue[:, 0], hue[:, 1]).min() >= 60 - 1e-9
    assert np.histogram(hue[:, 0], 12, (0, 360))[0].min() > 300  # hues are continuous: all occur


def test_twins_discs_stay_in_their_quarters():
    scenes = draw_twins(3, MANY)
    for at, upper in ((scenes.x, [0, 1, 0, 1]), (scenes.y, [0, 0, 1, 1])):
        low = np.array(upper) / 2
        assert ((at - scenes.radius) >= low + 0.02).all()
        assert ((at + scenes.radius) <= low + 0.48).all()
    assert scenes.x[:, 0].std() > 0.02  # positions jitter


def test_quadrupeds_have_four_legs_side_by_side_inside_the_picture():
    scenes = draw_quadrupeds(3, MANY)
    assert (scenes.legs == 4).all()
    ends, radius, there = strokes(scenes)
    assert (there[:, :5].sum(axis=1) == 4).all()
    hips, feet = np.sort(ends[:, :4, 0]), np.sort(ends[:, :4, 2])
    assert min(np.diff(hips).min(), np.diff(feet).min()) > 0.06  # about 4 px at 64
    for k in (0, 1):
        low = np.minimum(ends[..., k], ends[..., k + 2]) - radius
        high = np.maximum(ends[..., k], ends[..., k + 2]) + radius
        assert low[there].min() > 0.04
        assert high[there].max() < 0.96
    assert np.bincount(scenes.kind, minlength=len(KINDS)).min() > 1500


def test_every_leg_ends_below_head_tail_and_body():
    ends, radius, there = strokes(draw_quadrupeds(3, MANY))
    feet = (ends[:, :4, 3] + radius[:, :4]).min(axis=1)
    others = np.maximum(ends[:, 5:, 1], ends[:, 5:, 3]) + radius[:, 5:]
    assert there[:, 5:].all()
    assert (feet - others.max(axis=1)).min() > 0.08  # room to count legs in: 5 px at 64


def test_barcodes_are_repeated_at_the_far_right():
    scenes = draw_barcode(3, MANY)
    assert (scenes.bits[:, 0] == scenes.bits[:, 1]).all()
    codes = scenes.bits[:, 0] @ (2 ** np.arange(6))
    assert np.bincount(codes, minlength=64).min() > 40  # all 64 occur
    assert (scenes.left[:, 0] + scenes.width[:, 0]).max() < 0.35
    assert scenes.left[:, 1].min() > 0.65
    for ink in (scenes.light, scenes.dark):
        assert ink.min() >= 0
        assert ink.max() <= 1


@pytest.mark.parametrize("name", PROCEDURAL)
def test_an_image_depends_on_its_seed_and_number_alone(name):
    images, labels = render(name, range(150), resolution=32, seed=9)
    for rows in ([149], [70, 3], range(40, 120)):
        again, again_labels = render(name, rows, resolution=32, seed=9)
        np.testing.assert_array_equal(again, images[list(rows)])
        if labels is not None:
            np.testing.assert_array_equal(again_labels, labels[list(rows)])
    other, _ = render(name, range(150), resolution=32, seed=10)
    assert (other != images).any(axis=(1, 2, 3)).all()
    assert len({image.tobytes() for image in images}) == 150


@pytest.mark.parametrize("name", PROCEDURAL)
def test_a_scene_is_the_same_at_every_resolution(name):
    small, large = (render(name, range(20), resolution=px)[0].astype(float) for px in (16, 64))
    shrunk = large.reshape(20, 3, 16, 4, 16, 4).mean(axis=(3, 5))
    assert np.abs(shrunk - small).mean() < 2.5
    assert np.abs(shrunk - small).max() < 60


def test_draws_are_even_and_uncorrelated():
    draws = Draws(0, "twins", np.arange(20_000))
    one, other = draws.between(0, 1, 3).T[:2]
    assert abs(one.mean() - 0.5) < 0.01
    assert abs(one.std() - 12**-0.5) < 0.01
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.03
    assert abs(np.corrcoef(one[1:], one[:-1])[0, 1]) < 0.03


def test_hsv_is_that_of_the_standard_library():
    from colorsys import hsv_to_rgb as reference

    rng = np.random.default_rng(0)
    for hue, saturation, value in rng.random((50, 3)):
        mine = hsv_to_rgb(np.array(hue * 360), np.array(saturation), np.array(value))
        np.testing.assert_allclose(mine, reference(hue, saturation, value), atol=1e-12)


@pytest.mark.parametrize("px", RESOLUTIONS_PX)
def test_edges_are_soft(px):
    """A pixel on a disc's edge has the value that its share inside of the disc gives."""
    at = np.array([0.37]), np.array([0.29]), np.array([0.15])
    share = coverage(disc_distance(*at, px), px)[0]
    fine = (disc_distance(*at, px * 16) < 0)[0].reshape(px, 16, px, 16).mean(axis=(1, 3))
    assert np.abs(share - fine).max() < 0.06
    soft = (share > 0.05) & (share < 0.95)
    assert soft.sum() > 2 * px * 0.15
    assert abs(share.sum() / px**2 / (np.pi * 0.15**2) - 1) < 0.4 / px


@pytest.mark.parametrize("name", PROCEDURAL)
def test_pictures_have_values_between_their_colours(name):
    images, _ = render(name, range(10), resolution=32)
    for image in images.astype(int):
        steps = np.sort(np.abs(np.diff(image.max(axis=0), axis=1)).ravel())
        assert ((steps > 8) & (steps < 0.8 * steps[-1])).sum() >= 4


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr("sagan.data.procedural.sets._NUM", {"train": 300, "test": 80})


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("name", PROCEDURAL)
def test_a_name_is_a_source_with_two_splits(name, tmp_path):
    train, test = (
        load_dataset(name, resolution=16, split=split, cache=tmp_path)
        for split in ("train", "test")
    )
    assert (len(train), len(test)) == (300, 80)
    expected, labels = render(name, range(300), resolution=16, seed=0)
    np.testing.assert_array_equal(train.images, expected)
    np.testing.assert_array_equal(test.images, render(name, range(80), resolution=16, seed=1)[0])
    if labels is None:
        assert train.labels is None
        assert train.class_names == ()
    else:
        np.testing.assert_array_equal(train.labels, labels)
        assert train.class_names == KINDS
    assert len([*tmp_path.glob("*/packed.json")]) == 2
    again = load_dataset(name, resolution=16, cache=tmp_path)
    assert again.fingerprint == train.fingerprint
    assert len([*tmp_path.glob("*/packed.json")]) == 2  # rendered once


@pytest.mark.usefixtures("few")
def test_a_packed_name_is_drawn_at_its_resolution_not_resized(tmp_path):
    packed = pack_dataset("twins", tmp_path / "packed", resolution=64)
    np.testing.assert_array_equal(packed.images, render("twins", range(300), resolution=64)[0])


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"name": "triplets"}, "choose from twins, quadrupeds, barcode"),
        ({"resolution": 24}, "drawn at 16, 32, 64 px, not at 24"),
        ({"seed": -1}, "must be 0 or more, not -1"),
        ({"indices": [-3]}, "numbered from 0, not -3"),
    ],
)
def test_bad_arguments_are_refused(options, says):
    with pytest.raises(ValueError, match=says):
        render(**{"name": "twins", "indices": [0], "resolution": 16, **options})


def test_a_resolution_that_is_not_drawn_is_refused_as_data(tmp_path):
    with pytest.raises(ValueError, match="not at 8"):
        load_dataset("twins", resolution=8, cache=tmp_path)
