"""Values of torch-fidelity, clean-fid and prdc, run elsewhere on these vectors, and stored.

torch-fidelity 0.4.0 (5e211a9), clean-fid 0.1.35 (e88c4d6), prdc 0.1 (e320c1d). The vectors are of
NumPy's frozen generator. docs/metrics.md gives the tolerances.
"""

import numpy as np
import pytest

from sagan.metrics.formulas.frechet import frechet_distance_of
from sagan.metrics.formulas.inception_score import InceptionScore
from sagan.metrics.formulas.kernel import kernel_distance
from sagan.metrics.formulas.prdc import prdc

draw = np.random.RandomState
X = draw(0).normal(size=(400, 12)) * np.linspace(0.5, 2, 12) + 0.1
Y = draw(1).normal(size=(300, 12)) * np.linspace(0.6, 1.8, 12)


@pytest.mark.fault(34)
def test_frechet_distance_of_torch_fidelity_and_clean_fid():
    assert frechet_distance_of(X, Y) == pytest.approx(0.592446377193454, rel=1e-9)


def test_frechet_distance_of_torch_fidelity_with_fewer_samples_than_features():
    x, y = draw(3).normal(size=(40, 100)), draw(4).normal(size=(30, 100)) * 1.3
    # theirs takes the root of a singular product, which costs it digits
    assert frechet_distance_of(x, y) == pytest.approx(149.82888189315776, rel=1e-7)


@pytest.mark.fault(34)
def test_kernel_distance_of_torch_fidelity_and_clean_fid():
    value = kernel_distance(X[:300], Y).value  # their subsets set to all 300
    assert value == pytest.approx(0.057014819901337166, rel=1e-10)


@pytest.mark.fault(34)
def test_inception_score_of_torch_fidelity():
    logits = draw(2).normal(size=(500, 20)) * 3
    score = InceptionScore(20)
    score.update(logits)
    value, spread = score.compute()  # theirs on the images in the order of our splits
    assert value == pytest.approx(5.308738477672945, rel=1e-10)
    assert spread == pytest.approx(0.18868473359772472, rel=1e-8)


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (Y, (0.9033333333333333, 0.885, 0.9566666666666667, 0.9325)),
        (Y * 0.3 + 0.2, (1.0, 0.0025, 4.561333333333334, 0.5575)),
    ],
)
@pytest.mark.fault(34)
def test_precision_recall_density_and_coverage_of_prdc(made, expected):
    found = prdc(X, made, 5)
    values = (found.precision, found.recall, found.density, found.coverage)
    assert values == pytest.approx(expected, abs=1e-12)
