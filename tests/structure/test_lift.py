"""Structure lift: zero for independent parts and a collapsed generator, high for real data."""

import json

import numpy as np
import pytest

from sagan.data.procedural import PROCEDURAL, render
from sagan.structure import score_structure
from sagan.structure.lift import recombine
from sagan.structure.planted import VIOLATIONS, paint

PX = {"twins": 16, "quadrupeds": 64, "barcode": 16}
CHANCE = {"twins": 0.02, "quadrupeds": 0.3, "barcode": 0.04}  # at most, that real parts meet


@pytest.fixture(scope="module")
def real():
    return {name: render(name, range(700), resolution=PX[name], seed=4)[0] for name in PROCEDURAL}


@pytest.mark.parametrize("name", PROCEDURAL)
def test_real_images_pass_and_their_parts_meet_by_chance_alone(name, real):
    score = score_structure(name, real[name])
    assert score.pass_rate > 0.995
    assert score.abstain_rate < 0.01
    assert score.lift > 1 - CHANCE[name]
    low, high = score.lift_interval
    assert low <= score.lift <= high
    assert high - low < 0.06
    assert json.loads(json.dumps(score.to_dict()))["lift"] == score.lift


@pytest.mark.parametrize("name", PROCEDURAL)
def test_a_collapsed_generator_has_no_lift(name, real):
    one = np.repeat(real[name][:1], 200, axis=0)
    score = score_structure(name, one)
    assert score.pass_rate == score.recombined_rate == 1
    assert score.lift == 0
    assert score.lift_interval == (0, 0)


def test_recombined_twins_have_no_lift(real):
    """Quarters of different pictures: the parts are independent."""
    images = real["twins"].copy()
    for k, (y, x) in enumerate([(0, 8), (8, 0), (8, 8)]):
        area = np.s_[:, :, y : y + 8, x : x + 8]
        images[area] = np.roll(images, 100 * (k + 1), axis=0)[area]
    score = score_structure("twins", images)
    assert score.pass_rate < 0.03
    low, high = score.lift_interval
    assert low <= 0 <= high


def test_recombined_barcodes_have_no_lift(real):
    images = real["barcode"].copy()
    images[..., 8:] = np.roll(images, 100, axis=0)[..., 8:]
    score = score_structure("barcode", images)
    assert abs(score.lift) < 0.02
    assert score.rules["bit_agreement"][0] == pytest.approx(0.5, abs=0.05)


def test_a_few_good_modes_out_of_step_have_no_lift():
    """Left and right are each of three codes, independently: a third pass, by chance."""
    rng = np.random.default_rng(0)
    images, _ = render("barcode", range(3), resolution=16)
    left, right = rng.integers(0, 3, (2, 1400))
    mixed = np.concatenate([images[left][..., :8], images[right][..., 8:]], axis=3)
    score = score_structure("barcode", mixed)
    assert 0.25 < score.pass_rate < 0.42
    low, high = score.lift_interval
    assert low < 0 < high


@pytest.mark.parametrize("name", PROCEDURAL)
def test_violations_do_not_pass(name):
    for plant in VIOLATIONS[name].values():
        images = paint(name, 210, resolution=PX[name], seed=3, plant=plant)
        score = score_structure(name, images)
        assert score.pass_rate < 0.01
        assert score.lift < 0.01


def test_parts_are_recombined_from_different_images():
    parts = np.repeat(np.arange(14.0)[:, None, None], 4, axis=1)
    mixed = recombine(np.concatenate([parts, parts[:3]]))  # three are too few for a group
    assert mixed.shape == (2, 42, 4, 1)
    for group, rows in enumerate(mixed[..., 0]):
        assert {*rows.ravel()} == {*range(7 * group, 7 * group + 7)}
        assert all(len({*row}) == 4 for row in rows)
        for part in range(4):  # each image's part is used as often
            assert (np.unique(rows[:, part], return_counts=True)[1] == 6).all()


def test_the_interval_covers_the_truth_as_often_as_it_says():
    """Independent parts: the lift is 0, and 95 % of the intervals have it."""
    images, _ = render("barcode", range(2), resolution=16)
    rng = np.random.default_rng(1)
    covered = 0
    for seed in range(100):
        left, right = rng.integers(0, 2, (2, 210))
        mixed = np.concatenate([images[left][..., :8], images[right][..., 8:]], axis=3)
        low, high = score_structure("barcode", mixed, seed=seed).lift_interval
        covered += low <= 0 <= high
    assert 88 <= covered <= 100


def test_more_than_a_fifth_abstained_is_refused(real):
    images = real["twins"][:200].copy()
    images[:40] = 128
    assert score_structure("twins", images).abstain_rate == 0.2
    images[40] = 128
    with pytest.raises(ValueError, match=r"20\.5% of 200 images cannot be read as twins"):
        score_structure("twins", images)


def test_batches_are_scored_as_one_array(real):
    images = real["twins"]
    whole = score_structure("twins", images, seed=1)
    assert (
        score_structure("twins", (images[k : k + 33] for k in range(0, 700, 33)), seed=1) == whole
    )
    assert score_structure("twins", images, seed=2).rules != whole.rules


@pytest.mark.parametrize(
    ("name", "images", "says"),
    [
        ("triplets", np.zeros((1, 3, 16, 16), np.uint8), "choose from twins"),
        ("twins", np.zeros((1, 3, 16, 16)), "not float64"),
        ("twins", np.zeros((1, 3, 16, 32), np.uint8), "square"),
        ("twins", np.zeros((1, 1, 16, 16), np.uint8), "3 channels, not 1"),
        ("twins", np.zeros((1, 3, 128, 128), np.uint8), "at 16, 32, 64 px, not at 128"),
        ("quadrupeds", np.zeros((1, 3, 16, 16), np.uint8), "at 32, 64 px, not at 16"),
        ("twins", np.zeros((0, 3, 16, 16), np.uint8), "no images"),
        ("twins", [], "no images"),
        ("twins", render("twins", range(69), resolution=16)[0], "69 images .* too few: 70"),
    ],
)
def test_bad_images_are_refused(name, images, says):
    with pytest.raises(ValueError, match=says):
        score_structure(name, images)
