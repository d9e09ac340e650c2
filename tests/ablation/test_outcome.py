"""What is made of scores: planted differences are found, planted nulls are not."""

import numpy as np
import pytest
from made_up_experiment import make_experiment

from sagan.ablation.inference import LEVEL
from sagan.ablation.outcome import (
    conclude,
    differences_over,
    find,
    images_until,
    mean_over,
    read_outcome,
    verdict,
    when,
)
from sagan.ablation.protocol import Contrast

NOISE = np.random.default_rng(0).normal(0, 0.03, (3, 8, 5))
ARMS = ("none", "attention", "residual")


def planted(effect, *, late=False, common=0.0):
    """Lifts that grow to .5, and `effect` more with attention, if late then at the end only."""

    def value(arm, seed, images):
        grown = 0.5 * images / 400 + common * (seed % 2)
        extra = effect if arm == "attention" and (images == 400 or not late) else 0.0
        return float(grown + extra + NOISE[ARMS.index(arm), seed, images // 100])

    return value


def concluded(folder, values, **changes):
    plan = make_experiment(folder, values, **changes)
    return conclude(read_outcome(folder, plan))


def test_a_planted_win_is_found(tmp_path):
    outcome = concluded(tmp_path, planted(0.15))
    found = outcome.primary
    assert found.p == 2 / 2**8
    assert found.interval[0] < 0.15 < found.interval[1]
    assert found.test_interval[0] > 0
    assert verdict(outcome).startswith("Attention wins against none: +0.1")
    assert [f.adjusted <= LEVEL for f in outcome.secondary] == [True, True, True]
    assert outcome.secondary[1].mean > 0  # reached in fewer images


def test_a_planted_loss_is_found(tmp_path):
    outcome = concluded(tmp_path, planted(-0.15))
    assert verdict(outcome).startswith("Attention loses against none: -0.1")
    assert outcome.primary.mean < 0


def test_nothing_is_found_where_nothing_is(tmp_path):
    outcome = concluded(tmp_path, planted(0.0))
    assert outcome.primary.p > LEVEL
    said = verdict(outcome)
    assert said.startswith("No difference detected: attention against none")
    assert f"a difference of {outcome.primary.detectable:.2g} would have been found" in said


def test_pairing_takes_out_what_seeds_have_in_common(tmp_path):
    alone = concluded(tmp_path / "a", planted(0.1)).primary
    noisy = concluded(tmp_path / "b", planted(0.1, common=5.0)).primary
    assert noisy.differences == pytest.approx(alone.differences)
    assert noisy.p == alone.p


def test_an_unfinished_experiment_has_no_verdict(tmp_path):
    done = {(arm, seed) for arm in ARMS for seed in range(7)} | {("none", 7)}
    outcome = concluded(tmp_path, planted(0.15), done=done)
    assert verdict(outcome).startswith("Unfinished (22 of 24 runs), so no verdict")
    assert outcome.primary.seeds == (0, 1, 2, 3, 4, 5, 6)
    none = concluded(tmp_path / "empty", planted(0.1), done={("none", 0)})
    assert verdict(none).startswith("Nothing can be said")


def test_too_few_seeds_have_none_either(tmp_path):
    outcome = concluded(tmp_path, planted(0.15), seeds=3)
    assert verdict(outcome).startswith("Too few seeds for a verdict")
    values = planted(0.15)
    refused = lambda arm, seed, images: (
        None
        if (arm, seed) in {("none", 0), ("none", 4), ("none", 5)}
        else values(arm, seed, images)
    )
    said = verdict(concluded(tmp_path / "refused", refused))
    assert said.startswith("Too few seeds of 8, as others' pictures cannot be read, for a verdict")
    assert "5 seeds" in said


def test_enough_seeds_have_one_whatever_was_allowed(tmp_path):
    outcome = concluded(tmp_path, planted(0.15), underpowered=True)
    assert verdict(outcome).startswith("Attention wins against none")


def test_a_refused_score_leaves_its_seed_out_at_the_end_and_is_0_in_the_curve(tmp_path):
    values = planted(0.15)
    refused = lambda arm, seed, images: (
        None if (arm, seed) == ("none", 2) else values(arm, seed, images)
    )
    outcome = concluded(tmp_path, refused)
    assert outcome.primary.seeds == (0, 1, 3, 4, 5, 6, 7)
    assert outcome.secondary[0].seeds == tuple(range(8))  # the curve's mean
    as_zero = find(outcome.scores, outcome.scores.plan.primary, refused_as=0.0)
    assert as_zero.seeds == tuple(range(8))
    assert as_zero.values[2][1] == 0.0
    over = differences_over(outcome.scores, "attention", "none", "lift")
    assert over[-1].by_seed[2] == values("attention", 2, 400)


def test_a_snapshot_made_by_stopping_is_not_of_the_curve(tmp_path):
    training = {"images": 400, "batch_size": 50, "snapshot_every": 100}
    plan = make_experiment(
        tmp_path, planted(0.1), configs={arm: {"training": training} for arm in ARMS}
    )
    assert plan.snapshot_steps() == {2, 4, 6, 8}
    curve = read_outcome(tmp_path, plan).curve("none", 0, "lift")
    assert [images for images, _ in curve] == [200, 400]  # made up for steps 1 to 4


def test_lower_is_better_of_a_distance(tmp_path):
    plan = make_experiment(tmp_path, planted(0.1))
    for file in tmp_path.glob("runs/*/scores.jsonl"):
        file.write_text(file.read_text().replace('"lift"', '"fd:pixel"'))
    scores = read_outcome(tmp_path, plan)
    contrast = Contrast("attention", "none", "fd:pixel", "end")
    assert find(scores, contrast).mean < 0
    assert differences_over(scores, "attention", "none", "fd:pixel")[-1].mean < 0


def test_the_mean_of_a_curve_and_when_a_level_is_reached_by_hand():
    curve = [(100, 0.0), (200, 0.4), (400, 0.6)]
    assert mean_over(curve) == pytest.approx((20 + 100) / 300)
    assert images_until(curve, 0.5, 400) == 300
    assert images_until(curve, 0.2, 400) == 150
    assert images_until(curve, 0.7, 400) == 400
    assert images_until([(100, 0.5)], 0.5, 400) == 100
    assert images_until([(100, None), (200, 0.8)], 0.4, 400) == 150


def test_when_says_where_an_arm_is_ahead(tmp_path):
    scores = concluded(tmp_path, planted(0.3, late=True)).scores
    said = when(differences_over(scores, "attention", "none", "lift"))
    assert said.endswith("ahead at 400.")
    always = concluded(tmp_path / "b", planted(0.3)).scores
    assert when(differences_over(always, "attention", "none", "lift")) == (
        "Over training, in images: ahead 100 to 400."
    )
