"""Evaluation in training: `best` follows the score, and training knows nothing of it."""

import dataclasses
import hashlib
import json
import math

import digits_run
import numpy as np
import pytest
import torch

from sagan import metrics
from sagan.config import NetworkConfig, Runtime, TrainingConfig
from sagan.metrics import Reference
from sagan.runs.log import read_records
from sagan.runs.run import Run
from sagan.sampling import spread_labels
from sagan.training import snapshots as snapshots_module
from sagan.training import train
from sagan.training.batches import rows_apart
from sagan.training.evaluation import Scorer

NETWORK = NetworkConfig(resolution=8, channels=1, classes=10, latent_dim=8, g_width=4, d_width=8)
TRAINING = TrainingConfig(
    images=192,
    batch_size=16,
    standing_batches=1,
    log_every=32,
    snapshot_every=64,
    evaluate_every=64,
    evaluate_num=50,
)


def configure(network=NETWORK, **training):
    return digits_run.configure(network, TRAINING, **training)


def run_to(path, digits, *, progress=False, **training):
    runtime = Runtime(device="cpu")
    return train(configure(**training), Run(path), digits, runtime=runtime, progress=progress)


def score_as(monkeypatch, values):
    """Let the evaluations give these values in turn; an exception is raised."""
    given = iter(values)

    def score(self, generator, engine):
        value = next(given)
        if isinstance(value, Exception):
            raise value
        return dataclasses.replace(MEASURED, value=value)

    monkeypatch.setattr(Scorer, "_measure", score)


@dataclasses.dataclass(frozen=True)
class Measured:
    value: float = 0.0
    spread: float | None = None
    n_generated: int = 50
    n_real: int = 1000
    real_vs_real: None = None


MEASURED = Measured()
NAN, INFINITY, FAILS = float("nan"), float("inf"), RuntimeError("no memory\nat all")


def best_of(path):
    file = path / "best"
    return int(file.read_text().removeprefix("step-")) if file.exists() else None


def scores_of(path):
    return [r for r in read_records(path / "log.jsonl") if r["kind"] == "score"]


def contents(folder):
    return {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in folder.iterdir()}


def steps_of(path):
    return [int(p.name.removeprefix("step-")) for p in Run(path).checkpoint_paths()]


@pytest.mark.parametrize("metric", ["fd:pixel", "cas"])
def test_a_run_with_evaluation_ends_with_the_weights_of_one_without(tmp_path, digits, metric):
    run_to(tmp_path / "with", digits, evaluate_metric=metric)
    run_to(tmp_path / "without", digits, evaluate_every=0)
    scores = scores_of(tmp_path / "with")
    assert [(r["metric"], r["step"]) for r in scores] == [(metric, s) for s in (4, 8, 12)]
    assert all(isinstance(r["value"], float) for r in scores)
    assert not scores_of(tmp_path / "without")
    assert best_of(tmp_path / "without") is None
    newest = [Run(tmp_path / name).pointed_to("latest") for name in ("with", "without")]
    tensors = [
        {name: digest for name, digest in contents(path).items() if name != "manifest.json"}
        for path in newest
    ]
    assert tensors[0] == tensors[1]
    logs = [
        [
            {k: v for k, v in r.items() if k not in digits_run.CLOCK}
            for r in read_records(tmp_path / name / "log.jsonl")
            if r["kind"] != "score"
        ]
        for name in ("with", "without")
    ]
    assert logs[0] == logs[1]


def test_the_same_weights_score_the_same_and_the_real_side_is_prepared_once(
    tmp_path, digits, monkeypatch
):
    prepared = []
    prepare = Scorer._prepare
    monkeypatch.setattr(Scorer, "_prepare", lambda *a: prepared.append(1) or prepare(*a))
    run_to(tmp_path / "a", digits)
    assert len(prepared) == 1
    run_to(tmp_path / "b", digits)
    a, b = ([r["value"] for r in scores_of(tmp_path / name)] for name in "ab")
    assert a == b
    assert len(set(a)) == 3


def test_classes_are_as_frequent_as_the_data_s(tmp_path, digits, monkeypatch):
    rows = np.sort(
        np.concatenate([np.flatnonzero(digits.labels != 3), np.flatnonzero(digits.labels == 3)[:5]])
    )
    uneven = dataclasses.replace(digits, images=digits.images[rows], labels=digits.labels[rows])
    scored = []
    score = Reference.score
    monkeypatch.setattr(
        Reference, "score", lambda *a: scored.append(np.bincount(a[2]).tolist()) or score(*a)
    )
    run_to(tmp_path, uneven, images=64)
    counts = torch.tensor(np.bincount(uneven.labels))
    assert scored == [np.bincount(spread_labels(50, NETWORK, counts=counts)).tolist()]
    assert scored[0][3] <= 1 < 5 <= scored[0][0]


@pytest.mark.parametrize(
    ("values", "best"),
    [
        ([3.0, 1.0, 2.0], 2),
        ([NAN, 2.0, 1.0], 3),
        ([NAN, 1.0, 2.0], 2),
        ([1.0, NAN, 2.0], 1),
        ([2.0, NAN, 1.0], 3),
        ([2.0, 1.0, NAN], 2),
        ([NAN, NAN, NAN], None),
        ([-INFINITY, 2.0, INFINITY], 2),
        ([FAILS, 2.0, 1.0], 3),
        ([1.0, FAILS, 2.0], 1),
        ([2.0, 1.0, FAILS], 2),
        ([FAILS, FAILS, FAILS], None),
        ([1.0, 1.0, 1.0], 1),
    ],
)
@pytest.mark.fault(22)
def test_best_is_the_lowest_number_whatever_fails(tmp_path, digits, monkeypatch, values, best):
    score_as(monkeypatch, values)
    steps = {"images": 48, "snapshot_every": 16, "evaluate_every": 16}
    assert run_to(tmp_path, digits, **steps).images == 48
    assert best_of(tmp_path) == best
    assert Run(tmp_path).checkpoint(verify_files=()).step == (best or 3)
    for record, value in zip(scores_of(tmp_path), values, strict=True):
        good = isinstance(value, float) and abs(value) < INFINITY
        assert record["value"] == (value if good else None)
        assert ("error" in record) == (not good)
    json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1], parse_constant=pytest.fail)


def test_of_a_metric_to_be_high_the_highest_is_best(tmp_path, digits, monkeypatch):
    score_as(monkeypatch, [0.5, 0.9, 0.7])
    run_to(tmp_path, digits, evaluate_metric="cas")
    assert best_of(tmp_path) == 8


@pytest.mark.fault(22)
def test_a_failing_metric_is_said_in_one_line(tmp_path, digits, monkeypatch, capsys):
    score_as(monkeypatch, [FAILS, 1.0, 2.0])
    run_to(tmp_path, digits, progress=True)
    err = capsys.readouterr().err
    assert "could not be scored by fd:pixel (RuntimeError: no memory at all)" in err


@pytest.mark.fault(23)
def test_best_outlives_retention_and_what_comes_after_byte_for_byte(tmp_path, digits, monkeypatch):
    score_as(monkeypatch, [2.0, 1.0, *[3.0] * 6])
    kept = []
    save = Run.save

    def noting(self, step, *arguments, **named):
        path = save(self, step, *arguments, **named)
        if step == 8:
            kept.append(contents(path))
        return path

    monkeypatch.setattr(Run, "save", noting)
    run_to(tmp_path, digits, images=512, keep=1)
    assert steps_of(tmp_path) == [8, 32]
    assert contents(tmp_path / "checkpoints/step-00000008") == kept[0]
    assert Run(tmp_path).checkpoint(verify_files=()).step == 8


@pytest.mark.parametrize("later", [[0.5, 3.0, 3.0], [1.5, 3.0, 0.9], [NAN, 3.0, 3.0]])
def test_a_resumed_run_keeps_the_best_so_far(tmp_path, digits, monkeypatch, later):
    score_as(monkeypatch, [2.0, 1.0, 3.0])
    run_to(tmp_path, digits, keep=1)
    assert best_of(tmp_path) == 8
    score_as(monkeypatch, later)
    run_to(tmp_path, digits, keep=1, images=384)
    assert best_of(tmp_path) == {0.5: 16, 1.5: 24}.get(later[0], 8)


@pytest.mark.fault(3)
def test_killed_between_saving_and_pointing_the_score_is_not_lost(tmp_path, digits, monkeypatch):
    score_as(monkeypatch, [2.0, 1.0, 3.0])
    settle = Run.update_best

    def dies(self, *arguments):
        if len(self.checkpoint_paths()) == 2:
            raise KeyboardInterrupt
        settle(self, *arguments)

    monkeypatch.setattr(Run, "update_best", dies)
    with pytest.raises(KeyboardInterrupt):
        run_to(tmp_path, digits)
    assert best_of(tmp_path) == 4
    monkeypatch.setattr(Run, "update_best", settle)
    score_as(monkeypatch, [3.0])
    run_to(tmp_path, digits)
    assert best_of(tmp_path) == 8


@pytest.mark.fault(24)
def test_a_collapsed_generator_is_never_best(tmp_path, digits, monkeypatch):
    score_as(monkeypatch, [2.0, 1.0, 1.5])
    likeness = iter([0.0, 1.0, 0.0])
    look = snapshots_module.Viewer.look

    def collapsed(self, *arguments):
        view = look(self, *arguments)
        return dataclasses.replace(view, check=view.check | {"near_duplicates": next(likeness)})

    monkeypatch.setattr(snapshots_module.Viewer, "look", collapsed)
    run_to(tmp_path, digits)
    assert best_of(tmp_path) == 12


def test_an_evaluation_makes_a_snapshot_of_its_own(tmp_path, digits):
    run_to(tmp_path, digits, evaluate_every=40, snapshot_every=1000, keep=9)
    # the first steps at which 40, 80, 120 and 160 images have been shown, and the end
    assert [r["step"] for r in scores_of(tmp_path)] == steps_of(tmp_path) == [3, 5, 8, 10, 12]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"evaluate_metric": "nonsense"}, "unknown metric 'nonsense'; choose from"),
        ({"evaluate_metric": "prdc:pixel"}, "chosen by one number; prdc:pixel gives several"),
        ({"evaluate_metric": "fd:pixel,cas"}, "gives several"),
        ({"evaluate_metric": "fid"}, "Inception weights"),
        (
            {"evaluate_metric": "cas", "network": dataclasses.replace(NETWORK, classes=0)},
            "fd:pixel",
        ),
    ],
)
def test_a_metric_that_cannot_be_is_refused_before_anything_is_written(
    tmp_path, digits, options, said
):
    with pytest.raises(ValueError, match=said) as error:
        train(configure(**options), Run(tmp_path / "run"), digits, runtime=Runtime(device="cpu"))
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("metric", ["fd:own", "kid:own", "fd:pixel"])
def test_in_bf16_the_features_are_of_the_same_precision_on_both_sides(digits, metric):
    from sagan.models import build_generator
    from sagan.training.engine import Engine

    config = configure(evaluate_metric=metric)
    torch.manual_seed(0)
    generator = build_generator(config.network).eval()
    half, whole = (
        Scorer(config, digits).score(generator, Engine(Runtime(device="cpu"), precision))
        for precision in ("bf16", "float32")
    )
    assert half.get("error") is None
    assert half["value"] == pytest.approx(whole["value"], rel=0.02)


def test_held_out_images_are_not_the_real_ones(digits, monkeypatch):
    from sagan.models import build_generator
    from sagan.training.engine import Engine

    def split(images, labels, class_names, **how):
        seen.extend(images)
        return split_off_test(images, labels, class_names, **how)

    seen = []
    split_off_test = metrics.split_off_test
    monkeypatch.setattr(metrics, "split_off_test", split)
    config = configure(evaluate_metric="fd:pixel", holdout=0.5)
    generator = build_generator(config.network).eval()
    assert Scorer(config, digits).score(generator, Engine(Runtime(device="cpu"), "float32"))[
        "value"
    ]
    held_out, trained_on = rows_apart(config.training, digits)
    assert len(held_out) == math.ceil(len(digits) / 2)
    assert np.array_equal(np.stack(seen), digits.images[trained_on.numpy()])


def test_the_global_random_numbers_are_left_as_they_were(digits):
    from sagan.models import build_generator
    from sagan.training.engine import Engine

    config = configure(evaluate_metric="fd:own")
    scorer = Scorer(config, digits)
    before = torch.random.get_rng_state()
    generator = build_generator(config.network).eval()
    engine = Engine(Runtime(device="cpu"), "float32")
    first = scorer.score(generator, engine)["value"]
    assert first == scorer.score(generator, engine)["value"] is not None
    assert torch.equal(before, torch.random.get_rng_state())
