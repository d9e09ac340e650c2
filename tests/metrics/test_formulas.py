"""KID, IS, precision to coverage, 1-NN, memorisation, duplicates against plain NumPy and SciPy."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from sagan.metrics.formulas import neighbours
from sagan.metrics.formulas.duplicates import near_duplicate_distance, near_duplicate_rate
from sagan.metrics.formulas.inception_score import InceptionScore
from sagan.metrics.formulas.kernel import kernel_distance
from sagan.metrics.formulas.memorisation import memorisation
from sagan.metrics.formulas.nn1 import nn1
from sagan.metrics.formulas.prdc import prdc


def normal(seed, n, d, shift=0.0):
    return np.random.default_rng(seed).normal(shift, 1, size=(n, d))


@pytest.fixture(params=[2**10, 2**26])
def _chunks(request, monkeypatch):
    """A few rows at once, and all."""
    monkeypatch.setattr(neighbours, "_CHUNK_BYTES", request.param)


def test_kid_is_the_unbiased_estimate_term_by_term():
    x, y = normal(0, 40, 5), normal(1, 30, 5, 0.5)

    def kernel(a, b):
        return (a @ b / 5 + 1) ** 3

    xx = [kernel(a, b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j]
    yy = [kernel(a, b) for i, a in enumerate(y) for j, b in enumerate(y) if i != j]
    xy = [kernel(a, b) for a in x for b in y]
    expected = np.mean(xx) + np.mean(yy) - 2 * np.mean(xy)
    assert kernel_distance(x, y).value == pytest.approx(expected, rel=1e-12)
    assert kernel_distance(y, x).value == pytest.approx(expected, rel=1e-12)


def test_kid_is_nought_on_average_and_its_spread_is_over_subsets():
    values = [kernel_distance(normal(i, 60, 4), normal(100 + i, 60, 4)) for i in range(60)]
    mean = np.mean([v.value for v in values])
    assert abs(mean) < 4 * np.std([v.value for v in values]) / np.sqrt(60)
    x, y = normal(0, 60, 4), normal(1, 60, 4)
    assert kernel_distance(x, y, seed=1) == kernel_distance(x, y, seed=1)
    assert kernel_distance(x, y, seed=1).spread != kernel_distance(x, y, seed=2).spread
    assert kernel_distance(x, y, subset_size=10).spread > 2 * kernel_distance(x, y).spread
    with pytest.raises(ValueError, match="at least 4 images a side, not 3"):
        kernel_distance(x[:3], y)


@pytest.mark.parametrize("batch", [1, 7, 200])
def test_the_inception_score_is_the_formula_in_any_batches(batch):
    logits = normal(0, 200, 6) * 3
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    expected = []
    for s in range(10):
        part = p[s::10]
        divergence = (part * (np.log(part) - np.log(part.mean(0)))).sum(1)
        expected.append(np.exp(divergence.mean()))
    score = InceptionScore(6)
    for start in range(0, 200, batch):
        score.update(logits[start : start + batch])
    value, spread = score.compute()
    assert value == pytest.approx(np.mean(expected), rel=1e-12)
    assert spread == pytest.approx(np.std(expected), rel=1e-9)


def test_the_inception_score_has_its_bounds_and_needs_ten_images():
    score = InceptionScore(5)
    score.update(np.zeros((50, 5)))  # sure of nothing
    assert score.compute()[0] == pytest.approx(1)
    few = InceptionScore(5)
    few.update(np.zeros((9, 5)))
    with pytest.raises(ValueError, match="at least 10 images, not 9"):
        few.compute()


@pytest.mark.usefixtures("_chunks")
@pytest.mark.parametrize("k", [1, 3, 5])
def test_prdc_counts_balls(k):
    real, made = normal(0, 60, 3), normal(1, 45, 3, 0.4)
    real_radius = np.sort(cdist(real, real), 1)[:, k]  # column 0 is itself
    made_radius = np.sort(cdist(made, made), 1)[:, k]
    distance = cdist(real, made)
    inside = distance < real_radius[:, None]
    found = prdc(real, made, k)
    assert found.precision == inside.any(0).mean()
    assert found.recall == (distance < made_radius).any(1).mean()
    assert found.density == pytest.approx(inside.sum() / (k * 45))
    assert found.coverage == inside.any(1).mean()


def test_prdc_is_strict_where_distances_tie():
    real = np.arange(10.0)[:, None]
    found = prdc(real, real + 1e9, 2)
    assert found.coverage == 0
    on_the_sphere = prdc(real, np.repeat([[10.0]], 3, axis=0), 1)  # 1 from the last real one
    assert on_the_sphere.density == 0


@pytest.mark.usefixtures("_chunks")
def test_nn1_leaves_one_out_of_both():
    real, made = normal(0, 40, 3), normal(1, 40, 3, 0.6)
    both = np.concatenate([real, made])
    distance = cdist(both, both)
    np.fill_diagonal(distance, np.inf)
    same = (distance.argmin(1) >= 40) == (np.arange(80) >= 40)
    found = nn1(real, made)
    assert found.accuracy == pytest.approx(same.mean())
    assert found.of_real == pytest.approx(same[:40].mean())


def test_nn1_reads_copies_repeats_and_ties():
    x = normal(0, 50, 4)
    assert nn1(x, x.copy()).accuracy == 0  # each one's nearest is its copy
    repeated = nn1(x, np.repeat(normal(1, 5, 4), 10, axis=0))
    assert repeated.of_generated == 1
    assert nn1(np.zeros((9, 2)), np.zeros((9, 2))).accuracy == 0.5
    with pytest.raises(ValueError, match="as many of both, not 50 and 49"):
        nn1(x, x[1:])


@pytest.mark.usefixtures("_chunks")
def test_memorisation_sees_copies_and_only_copies():
    train, held_out, other = normal(0, 120, 6), normal(1, 60, 6), normal(2, 90, 6)
    order = np.random.default_rng(0).permutation(120)  # as the seed deals them
    to_held_out = cdist(other, held_out).min(1)
    expected = [
        (cdist(other, train[part]).min(1) < to_held_out).mean() for part in (order[:60], order[60:])
    ]
    sound = memorisation(other, train, held_out)
    assert sound.nearer_to_train == pytest.approx(np.mean(expected))
    assert 0.35 < sound.nearer_to_train < 0.65
    assert sound.copies < 0.1
    half = np.concatenate([other[:45], train[:45] + 1e-6])
    copied = memorisation(half, train, held_out)
    # each copy is in one of the two parts that train is dealt into
    assert copied.nearer_to_train > sound.nearer_to_train + 0.1
    assert copied.copies > 0.48
    assert memorisation(train[:100], train[:100], held_out).copies == 1  # 40 are in no part
    twice = np.concatenate([held_out[:2], train])  # some held-out images are in training too
    assert memorisation(train, twice, held_out).copies == 1
    assert memorisation(other, twice, held_out).copies < 0.1
    assert memorisation(held_out, train, held_out).nearer_to_train == 0
    with pytest.raises(ValueError, match="at least 2"):
        memorisation(other[:1], train, held_out)


def test_near_duplicates_are_rare_among_real_ones_and_alarm_on_a_collapse():
    for seed in range(20):
        x = normal(seed, 300, 8)
        near = near_duplicate_distance(x[:150])
        assert near_duplicate_rate(x[150:], near) < 0.03
        assert near_duplicate_rate(x[150:170].repeat(5, axis=0), near) == 1
    collapsed = np.concatenate([x[:50], x[:50] + 1e-3])
    assert near_duplicate_rate(collapsed, near) == 1
    alone = np.array([[0.0], [0.1], [5.0]])
    assert near_duplicate_rate(alone, 0.2) == pytest.approx(2 / 3)
    with pytest.raises(ValueError, match="need more than 1 images"):
        near_duplicate_rate(x[:1], near)
