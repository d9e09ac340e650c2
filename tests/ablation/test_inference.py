"""The statistics against hand-computed values and SciPy's, and on planted differences."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import permutation_test, ttest_1samp

from sagan.ablation.inference import (
    bootstrap_interval,
    detectable,
    holm,
    power,
    sign_flip_interval,
    sign_flip_p,
)

numbers = st.floats(-1, 1, width=32).filter(lambda x: abs(x) > 1e-3)
pairs = st.lists(numbers, min_size=1, max_size=9)


def test_sign_flips_by_hand():
    # means of |1 + 2| / 2 among (3, 1, -1, -3) / 2: two of four
    assert sign_flip_p([1, 2]) == 0.5
    # sums of 1, 2, 4: 7, 5, 3, 1 and negatives; |5| or more: 4 of 8
    assert sign_flip_p([-1, 2, 4]) == 0.5
    assert sign_flip_p([1, 2, 4]) == 0.25
    assert sign_flip_p([0.0, 0.0, 0.0]) == 1.0
    # equal sums count, though floats do not add exactly: .1 + .2 and .3
    assert sign_flip_p([0.1, 0.2, -0.3]) == 1.0


@given(pairs.filter(lambda values: len(values) > 1))
def test_it_is_scipys_exact_test(values):
    theirs = permutation_test(
        (np.array(values),),
        lambda x, axis: np.mean(x, axis=axis),
        permutation_type="samples",
        n_resamples=np.inf,
        vectorized=True,
    ).pvalue
    assert sign_flip_p(values) == pytest.approx(min(1.0, theirs))


@given(pairs, st.floats(0.01, 100))
def test_p_is_symmetric_free_of_scale_and_never_below_its_least(values, scale):
    p = sign_flip_p(values)
    assert 2 / 2 ** len(values) <= p <= 1
    assert sign_flip_p([-v for v in values]) == p
    assert sign_flip_p(values[::-1]) == pytest.approx(p)
    assert sign_flip_p([scale * v for v in values]) == pytest.approx(p)


@given(st.lists(st.floats(0.01, 1), min_size=1, max_size=9))
def test_differences_of_one_sign_reach_the_least_p(values):
    assert sign_flip_p(values) == 2 / 2 ** len(values)


def test_how_many_can_be_tested():
    assert sign_flip_p([1.0] * 16) == 2 / 2**16
    for wrong in ([], [1.0] * 17):
        with pytest.raises(ValueError, match="1 to 16 pairs"):
            sign_flip_p(wrong)


def test_it_is_wrong_as_often_as_it_says_and_finds_what_is_planted():
    rng = np.random.default_rng(5)
    null = [sign_flip_p(row) for row in rng.standard_normal((800, 8))]
    assert 0.03 < np.mean(np.array(null) <= 0.05) <= 0.065
    planted = [sign_flip_p(row) for row in rng.normal(1.5, 1.0, (300, 8))]
    assert np.mean(np.array(planted) <= 0.05) == pytest.approx(power(1.5, 8), abs=0.06)
    assert np.mean(np.array(planted) <= 0.05) > 0.9


def test_holm_by_hand():
    assert holm([]) == []
    assert holm([0.2]) == [0.2]
    assert holm([0.01, 0.02, 0.03, 0.5]) == pytest.approx([0.04, 0.06, 0.06, 0.5])
    assert holm([0.9, 0.8]) == [1.0, 1.0]


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_keeps_the_order_and_lies_between_nothing_and_bonferroni(ps):
    adjusted = holm(ps)
    for p, a in zip(ps, adjusted, strict=True):
        assert p <= a <= min(1.0, p * len(ps)) or a == pytest.approx(p)
        assert a <= 1
    for (p, a), (q, b) in itertools.combinations(zip(ps, adjusted, strict=True), 2):
        assert (p <= q) <= (a <= b)


def test_the_interval_of_the_test_is_where_it_does_not_reject():
    values = [0.31, 0.12, 0.24, 0.2, 0.43, 0.33, -0.05, 0.18]
    low, high = sign_flip_interval(values)
    for shift, kept in ((low + 1e-6, True), (low - 1e-6, False), (high - 1e-6, True)):
        assert (sign_flip_p([v - shift for v in values]) > 0.05) == kept
    assert (sign_flip_p(values) <= 0.05) == (not low <= 0 <= high)
    assert sign_flip_interval(values[:5]) == (-math.inf, math.inf)


def test_the_bootstrap_is_reproducible_and_about_as_wide_as_it_should_be():
    values = np.random.default_rng(1).normal(0.2, 0.1, 200)
    low, high = bootstrap_interval(list(values))
    assert (low, high) == bootstrap_interval(list(values)) != bootstrap_interval(values, seed=1)
    theirs = ttest_1samp(values, 0).confidence_interval()
    assert (low, high) == pytest.approx((theirs.low, theirs.high), abs=0.003)


def test_power_grows_with_effect_and_pairs():
    assert power(0, 8) == pytest.approx(0.047, abs=0.015)  # 12 of 256 ways
    assert power(0.5, 8) < power(1.0, 8) < power(2.0, 8)
    assert power(1.0, 6) < power(1.0, 8) < power(1.0, 12)
    assert power(1.0, 12) == pytest.approx(power(1.0, 13), abs=0.06)  # simulated, and by t
    assert power(detectable(8), 8) == pytest.approx(0.8, abs=0.02)
    assert detectable(12) < detectable(8) < detectable(6)
