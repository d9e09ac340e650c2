"""The Fréchet distance against closed forms and SciPy, its moments against NumPy's."""

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given
from hypothesis import strategies as st

from sagan.metrics.formulas.frechet import Gaussian, Moments, frechet_distance, frechet_distance_of


def reference(x, y):
    """The formula as in the paper, with SciPy's matrix root."""
    s, t = (np.atleast_2d(np.cov(z, rowvar=False)) for z in (x, y))
    root = scipy.linalg.sqrtm(s @ t)
    gap = x.mean(0) - y.mean(0)
    return gap @ gap + np.trace(s) + np.trace(t) - 2 * np.trace(root).real


def samples(seed, n, d):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + rng.normal(size=d)


@given(st.lists(st.tuples(st.floats(0, 9), st.floats(0, 9), st.floats(-5, 5)), min_size=1))
def test_commuting_gaussians_have_the_closed_form(axes):
    a, b, gap = np.array(axes).T
    rng = np.random.default_rng(len(axes))
    turn, _ = np.linalg.qr(rng.normal(size=(len(a), len(a))))
    first = Gaussian(np.zeros(len(a)), (turn * a**2) @ turn.T)
    second = Gaussian(turn @ gap, (turn * b**2) @ turn.T)
    expected = (gap**2).sum() + ((a - b) ** 2).sum()
    assert frechet_distance(first, second) == pytest.approx(expected, abs=1e-5, rel=1e-9)


@pytest.mark.parametrize(("n", "d"), [(500, 1), (500, 8), (300, 64)])
def test_it_equals_the_formula_with_scipys_root(n, d):
    x, y = samples(0, n, d), samples(1, n - 100, d)
    expected = reference(x, y)
    for moments in ((x, y), (y, x)):
        first, second = (Moments(d), Moments(d))
        first.update(moments[0])
        second.update(moments[1])
        assert frechet_distance(first.gaussian(), second.gaussian()) == pytest.approx(
            expected, rel=1e-8
        )
    assert frechet_distance_of(x, y) == pytest.approx(expected, rel=1e-8)


def test_the_same_is_at_no_distance():
    x = samples(0, 200, 16)
    gaussian = Gaussian(x.mean(0), np.cov(x, rowvar=False), 200)
    assert frechet_distance(gaussian, gaussian) == 0
    assert frechet_distance_of(x, x.copy()) == 0
    assert frechet_distance_of(x, x[::-1]) < 1e-10


def test_fewer_samples_than_features_are_exact():
    x, y = samples(0, 20, 50), samples(1, 30, 50)
    short = frechet_distance_of(x, y)
    gaussians = [Gaussian(z.mean(0), np.cov(z, rowvar=False)) for z in (x, y)]
    assert frechet_distance(*gaussians) == pytest.approx(short, rel=1e-9)
    again = frechet_distance_of(x, x + 1)
    assert again == pytest.approx(50, rel=1e-12)  # a shift by 1 in each of 50
    rank_one = frechet_distance_of(np.zeros((2, 50)), y)
    expected = np.square(y.mean(0)).sum() + y.var(0, ddof=1).sum()
    assert rank_one == pytest.approx(expected, rel=1e-12)


@given(st.lists(st.integers(0, 40), min_size=1, max_size=8), st.integers(0, 5))
def test_moments_do_not_depend_on_batches_or_their_order(sizes, seed):
    x = np.random.default_rng(seed).normal(1e4, 1, size=(sum(sizes) + 2, 3))  # far from zero
    parts = np.split(x, np.cumsum(sizes))
    forth, back = Moments(3), Moments(3)
    for part, other in zip(parts, reversed(parts), strict=True):
        forth.update(part)
        back.update(other)
    for moments in (forth, back):
        assert moments.n == len(x)
        np.testing.assert_allclose(moments.gaussian().mean, x.mean(0), rtol=1e-14)
        expected = np.cov(x, rowvar=False)
        np.testing.assert_allclose(moments.gaussian().covariance, expected, rtol=1e-9, atol=1e-9)


def test_moments_follow_when_more_comes():
    moments, x = Moments(2), samples(0, 30, 2)
    moments.update(x[:10])
    first = moments.gaussian()
    assert moments.gaussian() is first
    moments.update(x[10:])
    np.testing.assert_allclose(moments.gaussian().covariance, np.cov(x, rowvar=False))


def test_a_single_sample_and_other_features_are_refused():
    moments = Moments(3)
    moments.update(np.zeros((1, 3)))
    with pytest.raises(ValueError, match="at least 2 samples, not 1"):
        moments.gaussian()
    with pytest.raises(ValueError, match="3 features cannot be compared with 4"):
        frechet_distance_of(np.zeros((9, 3)), np.zeros((9, 4)))


def test_halves_of_the_same_are_further_apart_when_smaller():
    x = samples(0, 2000, 8)
    assert frechet_distance_of(x[:50], x[50:100]) > 4 * frechet_distance_of(x[:1000], x[1000:])
