"""The scorer and its records: protocol, floors, cautions, and what does not change a score."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from sagan.metrics import (
    default_metrics,
    parse_metrics,
    prepare,
    split_off_test,
    with_test_split,
)
from sagan.metrics.collect import Needs
from sagan.metrics.features import classifier
from sagan.metrics.formulas.frechet import Gaussian
from sagan.metrics.formulas.statistics import (
    check_protocol,
    is_statistics,
    read_statistics,
    write_statistics,
)
from sagan.metrics.registry import METRICS, Measured, Metric, Pairwise
from sagan.metrics.selftest import selftest


@pytest.fixture(scope="module")
def real(digits):
    train, test = digits
    return with_test_split(
        train.images[:400], train.labels[:400], test.images[:200], test.labels[:200],
        train.class_names,
    )  # fmt: skip


@pytest.fixture(scope="module")
def made(digits):
    """Other real digits, in place of generated ones."""
    train, _ = digits
    return torch.tensor(train.images[400:700]), train.labels[400:700]


OFFLINE = "cas,fd:pixel,intra-fd:pixel,kid:pixel,prdc:pixel,nn1:pixel,memorisation:pixel,duplicates"


@pytest.fixture(scope="module")
def reference(real):
    return prepare(real, parse_metrics(OFFLINE, "pixel"), num=300)


@pytest.fixture(scope="module")
def scores(reference, made):
    return {score.metric: score for score in reference.score([made[0]], made[1])}


def test_records_say_all_that_decides_them(scores):
    assert list(scores) == [
        "cas", "fd:pixel", "intra-fd:pixel", "kid:pixel", "precision:pixel", "recall:pixel",
        "density:pixel", "coverage:pixel", "nn1:pixel", "memorisation:pixel", "duplicates:pixel",
    ]  # fmt: skip
    for score in scores.values():
        record = score.to_dict()
        assert record["protocol"]["features"] == "pixel"
        assert record["protocol"]["resize"] == "none (8x8 px), [0, 1]"
        assert record["protocol"]["quantisation"] == "uint8"
        assert record["protocol"]["seed"] == 0
        assert record["protocol"]["version"]
        assert record["better"] in ("lower", "higher")
        assert record["n_generated"] == 300
        assert record["real_vs_real"]["value"] >= -0.01
        assert record["seconds"] >= 0
    assert scores["fd:pixel"].real_vs_real.n == (300, 300)
    assert scores["fd:pixel"].at_real_n.n == (300, 300)
    assert scores["fd:pixel"].n_real == 400
    assert scores["fd:pixel"].title == "fd (features pixel)"
    assert scores["cas"].n_real == 200
    assert set(scores["cas"].per_class) == set("0123456789")
    assert scores["intra-fd:pixel"].value == pytest.approx(
        np.mean(list(scores["intra-fd:pixel"].per_class.values()))
    )


def test_values_are_plain_numpys(real, made, scores):
    x = made[0].numpy().reshape(300, -1) / 255
    y = real.images[:400].reshape(400, -1) / 255
    gap, s, t = x.mean(0) - y.mean(0), np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    values, vectors = np.linalg.eigh(s)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    common = np.sqrt(np.linalg.eigvalsh(root @ t @ root).clip(0)).sum()
    expected = gap @ gap + np.trace(s) + np.trace(t) - 2 * common
    assert scores["fd:pixel"].value == pytest.approx(expected, rel=1e-6)

    def kernel(a, b):
        return (a @ b.T / 64 + 1) ** 3

    xx, yy, xy = kernel(x, x), kernel(y, y), kernel(x, y)
    within = (xx.sum() - np.trace(xx)) / (300 * 299) + (yy.sum() - np.trace(yy)) / (400 * 399)
    assert scores["kid:pixel"].value == pytest.approx(within - 2 * xy.mean(), rel=1e-8)
    radius = np.sort(cdist(y, y), 1)[:, 5]
    inside = cdist(y, x) < radius[:, None]
    assert scores["coverage:pixel"].value == pytest.approx(inside.any(1).mean(), abs=1 / 400)


def test_real_digits_score_like_real_digits(scores):
    for name in ("fd:pixel", "kid:pixel", "nn1:pixel", "coverage:pixel", "density:pixel"):
        floor, value = scores[name].real_vs_real, scores[name].at_real_n or scores[name]
        assert abs(value.value - floor.value) < 6 * floor.spread, name
    assert "indistinguishable" in scores["kid:pixel"].caution
    assert scores["cas"].value == pytest.approx(scores["cas"].real_vs_real.value, abs=0.05)
    assert scores["duplicates:pixel"].value == 0


def test_scores_depend_neither_on_batches_nor_on_what_was_scored_before(reference, made, scores):
    images, labels = made
    for sizes in ([7] * 42 + [6], [1, 299]):
        for score in reference.score(images.split(sizes), labels):
            assert score.value == pytest.approx(scores[score.metric].value, rel=1e-9, abs=1e-12)
            assert score.real_vs_real == scores[score.metric].real_vs_real
    reference.score([torch.zeros_like(images)], labels)
    again = {score.metric: score.value for score in reference.score([images], labels)}
    assert again == {name: score.value for name, score in scores.items()}


def test_the_order_of_images_does_not_matter_where_all_are_looked_at(reference, made, scores):
    images, labels = made
    order = np.random.default_rng(0).permutation(300)
    for score in reference.score([images[order]], labels[order]):
        assert score.value == pytest.approx(scores[score.metric].value, rel=1e-6, abs=1e-9)


def test_a_collapsed_generator_is_seen(reference, made, scores):
    images, labels = made
    rows = np.arange(300) % 5
    worse = {score.metric: score for score in reference.score([images[rows]], labels[rows])}
    assert worse["duplicates:pixel"].value == 1
    assert worse["coverage:pixel"].value < 0.2
    assert worse["nn1:pixel"].value > scores["nn1:pixel"].value + 0.2
    assert worse["fd:pixel"].value > 5 * scores["fd:pixel"].value
    assert "indistinguishable" not in worse["fd:pixel"].caution


def test_copies_of_the_training_images_are_seen(reference, real, scores):
    copies = {
        score.metric: score
        for score in reference.score([torch.tensor(real.images[:300])], real.labels[:300])
    }
    assert copies["memorisation:pixel"].value > scores["memorisation:pixel"].value + 0.15
    assert copies["memorisation:pixel"].details["copies"] == 1
    assert copies["nn1:pixel"].value < 0.3


@pytest.mark.fault(34)
def test_a_single_comparison_of_real_images_calls_nothing_like_real(real, made, monkeypatch):
    """Its spread is that of KID's subsets, which are smaller than what is scored."""
    monkeypatch.setattr("sagan.metrics.scorer._CHEAP", 100)
    specs = parse_metrics("kid:pixel,nn1:pixel", "pixel")
    kid, nn1 = prepare(real, specs, num=300).score([made[0]])
    assert (kid.real_vs_real.repeats, kid.caution) == (1, "")
    assert "indistinguishable" in nn1.caution  # which has a standard error


def test_too_few_real_images_for_a_floor_leave_the_score(real, made):
    few = dataclasses.replace(
        real,
        images=real.images[392:403],
        labels=real.labels[392:403],
        held_out=real.held_out[392:403],
    )
    specs = parse_metrics("fd:pixel,prdc:pixel,memorisation:pixel", "pixel")
    for score in prepare(few, specs, num=300).score([made[0]]):
        assert np.isfinite(score.value)
        assert (score.real_vs_real is None) == (score.metric != "fd:pixel"), score.metric


def test_few_images_are_labelled_as_few(real, made):
    reference = prepare(real, parse_metrics("fd,nn1,prdc", "pixel"),
                        num=30)  # fmt: skip
    said = {s.metric: s.caution for s in reference.score([made[0][:30]])}
    assert "30 images for 64 features: the covariance is singular" in said["fd:pixel"]
    assert "30 images are few" in said["nn1:pixel"]
    assert "30 images are few" in said["coverage:pixel"]


def test_wrong_numbers_of_images_and_missing_labels_are_refused(reference, made, real):
    images, labels = made
    with pytest.raises(ValueError, match="expected 300 images, got more than 300"):
        reference.score([images, images[:1]], np.append(labels, 1)[:300])
    with pytest.raises(ValueError, match="expected 300 images, got 299"):
        reference.score([images[:299]], labels)
    with pytest.raises(ValueError, match="cas needs the classes of the generated"):
        reference.score([images])
    with pytest.raises(ValueError, match="299 labels for 300 images"):
        reference.score([images], labels[:299])
    without = split_off_test(real.images, None, (), seed=0)
    with pytest.raises(ValueError, match="cas needs real images of at least two classes"):
        prepare(without, parse_metrics("cas"), num=10)
    with pytest.raises(ValueError, match="at least 2"):
        prepare(real, parse_metrics("fd:pixel"), num=1)
    with pytest.raises(ValueError, match="9 real images are too few"):
        split_off_test(real.images[:9], None, (), seed=0)


@pytest.fixture
def _short_training(monkeypatch):
    """A classifier that has learned something, in a second."""
    monkeypatch.setattr(classifier, "_STEPS", 40)


@pytest.mark.usefixtures("_short_training")
def test_own_features_are_of_classes_or_of_rotations_and_by_the_seed(real, made):
    specs = parse_metrics("fd:own,kid:own")
    values = [
        prepare(real, specs, num=300, seed=seed).score([made[0]])[0].value for seed in (0, 0, 1)
    ]
    assert values[0] == values[1]
    assert values[0] != values[2]
    unlabelled = split_off_test(real.images, None, (), seed=0)
    reference = prepare(unlabelled, specs, num=300)
    score = reference.score([made[0]])[0]
    assert "classifier of rotations" in score.protocol["resize"]
    blurred = (made[0].float() * 0.5 + made[0].roll(1, 3).float() * 0.5).byte()
    assert reference.score([blurred])[0].value > 1.5 * score.value


def test_a_split_by_seed_is_said_and_stratified(real):
    split = split_off_test(real.images, real.labels, real.class_names, seed=3)
    assert split.n_reference == 600
    counts = np.bincount(split.labels[split.held_out]) / np.bincount(split.labels)
    assert np.abs(counts - 0.2).max() < 0.05
    score = prepare(split, parse_metrics("memorisation:pixel"), num=20, seed=3).score(
        [torch.tensor(real.images[:20])]
    )[0]
    assert score.protocol["test_split"] == "a fifth, by seed 3"
    assert "may have been trained on" in score.caution


@pytest.mark.parametrize(
    ("text", "features", "said"),
    [
        ("fidd", "own", "unknown metric 'fidd'; choose from fid, intra-fid"),
        ("fid", "own", "weights are needed: give their file"),
        ("is", "pixel", "weights are needed"),
        ("kid:inception", "own", "weights are needed"),
        ("fid:own", "inception", "use fd:own"),
        ("fd:nonsense", "own", "unknown features 'nonsense'"),
        ("cas:own", "own", "cas looks at pixels"),
        ("kid:inception", "inception-clean", "opens inception-clean only"),
    ],
)
def test_wrong_names_are_refused(text, features, said):
    with pytest.raises(ValueError, match=said):
        parse_metrics(text, features)


def test_fid_is_called_so_in_its_own_protocol_only():
    (fid,) = parse_metrics("fid", "inception")
    (clean,) = parse_metrics("fid", "inception-clean")
    assert (fid.key(), clean.key()) == ("fid", "clean-fid")
    assert parse_metrics("kid", "inception-clean")[0].key() == "kid:inception-clean"
    names = [s.key() for s in default_metrics(labelled=True, held_out=True, features="inception")]
    assert names[:3] == ["fid", "intra-fid", "is"]
    few = [s.key() for s in default_metrics(labelled=False, held_out=False)]
    assert not {"cas", "memorisation:pixel"} & set(few)


def test_a_new_metric_is_one_record(real, made, monkeypatch):
    def gap(x, y, seed, spread):
        n = (len(x.features), len(y.features))
        return [Measured(abs(x.features.mean() - y.features.mean()), n)]

    record = Metric(
        name="gap",
        better="lower",
        measure=Pairwise(gap),
        needs=Needs(keep=100),
        by_default=("pixel",),
        protocol={"of": "means"},
    )
    monkeypatch.setitem(METRICS, "gap", record)
    assert default_metrics(labelled=False, held_out=False)[-1].key() == "gap:pixel"
    (score,) = prepare(real, parse_metrics("gap:pixel"), num=300).score([made[0]])
    assert score.value < 0.1
    assert score.real_vs_real.value < 0.1
    assert (score.better, score.n_generated, score.n_real) == ("lower", 100, 100)
    assert score.protocol["of"] == "means"
    assert "100 images are few" in score.caution


def test_what_a_metric_sees_does_not_depend_on_the_others(real, made, monkeypatch):
    names = ("cas", "kid", "prdc", "nn1")
    for name in names:  # as 10,000 of more images
        few = dataclasses.replace(METRICS[name], needs=Needs(keep=100))
        monkeypatch.setitem(METRICS, name, few)
    text = ",".join(names)
    found = []
    for more in ("", ",intra-fd"):  # which keeps all
        scores = prepare(real, parse_metrics(text + more, "pixel"), num=300).score(
            [made[0]], made[1]
        )
        kept = [score for score in scores if not score.metric.startswith("intra-fd")]
        found.append([(s.metric, s.value, s.real_vs_real, s.n_generated) for s in kept])
    assert found[0] == found[1]
    assert {n for *_, n in found[0]} == {100}


@pytest.mark.parametrize(
    ("metric", "least"), [("kid:pixel", 4), ("prdc:pixel", 6), ("fd:pixel", 2), ("nn1:pixel", 2)]
)
def test_too_few_generated_images_are_refused_before_any_is_looked_at(real, made, metric, least):
    with pytest.raises(ValueError, match=f"at least {least} generated images"):
        prepare(real, parse_metrics(metric, "pixel"), num=least - 1)
    prepare(real, parse_metrics(metric, "pixel"), num=least).score([made[0][:least]])


class Half:
    """Stands in for Inception: half of the pixels as features, 1008 logits."""

    name, dim, resize, weights_sha256 = "inception", 32, "none", "abc"

    def __call__(self, images):
        pixels = images.double().flatten(1).numpy() / 255
        return pixels[:, :32], np.tile(pixels, (1, 16))[:, :1008]


def test_saved_statistics_stand_in_for_the_real_images(real, made, tmp_path):
    specs = parse_metrics("fid,is,intra-fid", "inception")
    whole = prepare(real, specs, num=300, inception=Half())
    fid, score, intra = whole.score([made[0]], made[1])
    assert [s.metric for s in (fid, score, intra)] == ["fid", "is", "intra-fid"]
    assert fid.n_real == 400
    assert 1 <= score.value < 1008
    assert len(intra.per_class) == 10
    path = tmp_path / "real.npz"
    write_statistics(path, whole.statistics, "none")
    assert is_statistics(path)
    saved = read_statistics(path, 32)
    again = prepare(None, specs[:2], num=300, inception=Half(), statistics=saved).score([made[0]])
    assert again[0].value == pytest.approx(fid.value, rel=1e-12)
    assert (again[0].n_real, again[0].real_vs_real) == (400, None)
    check_protocol(path, "none")
    with pytest.raises(ValueError, match="is of other features: none, not clean-fid's"):
        check_protocol(path, "clean-fid's")
    with np.load(path) as arrays:  # what other programs read
        np.testing.assert_allclose(arrays["mu"], whole.statistics.mean)
        assert arrays["sigma"].shape == (32, 32)


def test_statistics_of_others_and_damaged_ones(tmp_path):
    path = tmp_path / "other.npz"
    np.savez(path, mu=np.zeros(4, np.float32), sigma=np.eye(4, dtype=np.float32))
    gaussian = read_statistics(path, 4)
    assert (gaussian.n, gaussian.covariance.dtype) == (0, np.float64)
    with pytest.raises(ValueError, match=r"mu of shape \(4,\)"):
        read_statistics(path, 2048)
    np.savez(path, mu=np.full(4, np.nan), sigma=np.eye(4))
    with pytest.raises(ValueError, match="NaN"):
        read_statistics(path, 4)
    np.savez(path, images=np.zeros((3, 8, 8), np.uint8))
    assert not is_statistics(path)
    with pytest.raises(ValueError, match="needs real images"):
        prepare(None, parse_metrics("fd:pixel"), num=9, statistics=Gaussian(np.zeros(1), np.eye(1)))


@pytest.mark.usefixtures("_short_training")
def test_the_self_test_sees_what_it_should(digits):
    train, _ = digits
    result = selftest(train.images, train.labels, train.class_names, splits=2)
    z = result.z
    assert z["a class dropped"]["cas"] < -5
    assert z["100 images repeated"]["coverage"] < -10
    assert z["100 images repeated"]["duplicates"] > 100
    assert z["halves mixed, same class"]["nn1"] > 3
    assert z["10 % labels wrong"]["cas"] < -2
    assert all(value == 0 for m, value in z["10 % labels wrong"].items() if m != "cas")
    assert z["blur"]["fd:pixel"] > 10
    assert z["blur"]["density"] > 3  # the wrong way: density rewards blur
    with pytest.raises(ValueError, match="at least 2 splits"):
        selftest(train.images, train.labels, train.class_names, splits=1)
