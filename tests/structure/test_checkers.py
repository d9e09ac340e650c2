"""The checkers read what is in the pictures, abstain from others, and keep their error rates."""

import dataclasses

import numpy as np
import pytest

from sagan.data.procedural import PROCEDURAL, render
from sagan.data.procedural.barcode import draw_barcode
from sagan.data.procedural.quadrupeds import draw_quadrupeds, paint_quadrupeds, strokes
from sagan.data.procedural.twins import draw_twins
from sagan.structure import error_rates
from sagan.structure.checker import abstained
from sagan.structure.checkers import CHECKERS
from sagan.structure.planted import VIOLATIONS, paint, perturbed

FEW = np.arange(64)


def test_hues_are_those_of_the_scene():
    hues = CHECKERS["twins"].read(render("twins", FEW, resolution=16)[0])[..., 0]
    off = (hues - draw_twins(0, FEW).hue_deg + 180) % 360 - 180
    assert np.abs(off).max() < 4


def test_bits_are_those_of_the_scene():
    bits = CHECKERS["barcode"].read(render("barcode", FEW, resolution=16)[0])
    np.testing.assert_array_equal(bits, draw_barcode(0, FEW).bits)


def test_legs_are_counted_on_their_side_of_the_middle():
    legs = CHECKERS["quadrupeds"].read(render("quadrupeds", FEW, resolution=64)[0])[..., 0]
    ends, _, _ = strokes(draw_quadrupeds(0, FEW))
    x = (ends[:, :4, 0] + ends[:, :4, 2]) / 2
    clear = np.abs(x - 0.5).min(axis=1) > 0.02  # no leg on the middle
    assert clear.sum() > 40
    np.testing.assert_array_equal(legs[clear, 0], (x < 0.5).sum(axis=1)[clear])
    assert (legs.sum(axis=1) == 4).all()


@pytest.mark.parametrize(("name", "split"), [("twins", 4), ("barcode", 2)])
def test_parts_of_pixels_are_read_as_parts_of_readings(name, split):
    """So recombining readings is recombining pictures."""
    images, _ = render(name, FEW, resolution=32)
    mixed, read = images.copy(), CHECKERS[name].read(images)
    expected = read.copy()
    half = 16
    for k in range(1, split):
        area = np.s_[:, :, :, half:]
        if split == 4:
            y, x = half * (k // 2), half * (k % 2)
            area = np.s_[:, :, y : y + half, x : x + half]
        mixed[area] = np.roll(images, k, axis=0)[area]
        expected[:, k] = np.roll(read, k, axis=0)[:, k]
    np.testing.assert_allclose(CHECKERS[name].read(mixed), expected, atol=1e-9)


@pytest.mark.parametrize("name", PROCEDURAL)
def test_nothing_is_read_in_other_pictures(name):
    rng = np.random.default_rng(0)
    flat = np.full((20, 3, 32, 32), 128, np.uint8)
    noise = rng.integers(0, 256, flat.shape, np.uint8)
    smooth = perturbed(noise, strength=2)
    read = CHECKERS[name].read
    for images in (flat, noise, smooth):
        assert abstained(read(images)).mean() > 0.9
    for other in {*PROCEDURAL} - {name}:
        assert abstained(read(render(other, FEW, resolution=32)[0])).mean() > 0.5, other


def test_a_hidden_disc_is_abstained_from():
    images, _ = render("twins", FEW, resolution=16)
    images[:, :, :8, :8] = images[:, :, :1, :1]
    assert abstained(CHECKERS["twins"].read(images)).all()


def test_an_animal_that_leaves_the_picture_is_abstained_from():
    scenes = dataclasses.replace(draw_quadrupeds(0, FEW), x=np.full(64, 0.95))
    assert abstained(CHECKERS["quadrupeds"].read(paint_quadrupeds(scenes, 64))).all()


def test_planted_violations_are_what_they_say():
    pictures = {
        (name, violation): (
            render(name, FEW, resolution=64)[0],
            paint(name, 64, resolution=64, plant=plant),
        )
        for name, plants in VIOLATIONS.items()
        for violation, plant in plants.items()
    }
    sound, wrong = pictures["twins", "one wrong twin"]
    off = [
        (sound[:, :, y : y + 32, x : x + 32] != wrong[:, :, y : y + 32, x : x + 32]).any((1, 2, 3))
        for y in (0, 32)
        for x in (0, 32)
    ]
    assert (np.sum(off, axis=0) == 1).all()  # one quarter has changed
    for violation, count in (("three legs", 3), ("five legs", 5)):
        legs = CHECKERS["quadrupeds"].read(pictures["quadrupeds", violation][1])
        assert (legs.sum(axis=(1, 2)) == count).all()
    bits = CHECKERS["barcode"].read(pictures["barcode", "one wrong bit"][1])
    assert ((bits[:, 0] != bits[:, 1]).sum(axis=1) == 1).all()


def test_medium_is_as_strong_as_it_says():
    """Noise of .05; a blur and a warp of .8 px at 32 px."""
    flat = np.full((40, 1, 32, 32), 128, np.uint8)
    assert perturbed(flat).std() == pytest.approx(0.05 * 255, rel=0.05)
    ramp = np.tile(np.arange(32, dtype=np.uint8) * 8, (200, 1, 32, 1))
    moved = (perturbed(ramp).astype(float) - ramp)[:, 0, 8:24, 8:24] / 8  # px along x
    assert np.sqrt((moved**2).mean() - (0.05 * 255 / 8) ** 2) == pytest.approx(0.8, rel=0.1)
    step = np.zeros((1, 1, 32, 32), np.uint8)
    step[..., 16:] = 200
    half = perturbed(np.repeat(step, 300, axis=0)).mean(axis=(0, 1, 2))
    assert 0.1 < half[14] / 200 < 0.2  # a Gaussian of sqrt(.8**2 + .8**2) px, 1.5 px off


# clean errors; medium false-fail, false-pass; most abstained
LIMITS = {
    ("twins", 16): (0, 0.03, 0.02, 0.02),
    ("twins", 32): (0, 0.03, 0.02, 0.02),
    ("twins", 64): (0, 0.03, 0.02, 0.02),
    ("quadrupeds", 64): (0, 0.04, 0.065, 0.04),
    ("barcode", 16): (0, 0.06, 0.02, 0.1),
    ("barcode", 32): (0, 0.03, 0.02, 0.08),
    ("barcode", 64): (0, 0.03, 0.02, 0.08),
}
SMALL = "twins", "barcode"  # these are checked at smaller sizes too


@pytest.mark.parametrize(
    ("name", "px"),
    [pytest.param(n, px, marks=[pytest.mark.slow] * (px == 64 and n in SMALL)) for n, px in LIMITS],
)
def test_error_rates_hold(name, px):
    clean, false_fail, false_pass, most_abstained = LIMITS[name, px]
    for row in error_rates(name, num=200, resolution=px):
        if row.level == "clean":
            assert row.error_rate <= clean, row
            assert row.abstain_rate == 0, row
        elif row.level == "medium":
            assert row.error_rate <= (false_pass if row.violation else false_fail), row
            assert row.abstain_rate <= most_abstained, row


def test_quadrupeds_at_32_px_are_counted_where_clean():
    rows = error_rates("quadrupeds", num=100, resolution=32)
    assert [row.error_rate for row in rows if row.level == "clean"] == [0, 0, 0]
