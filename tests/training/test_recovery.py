"""Planted failures: detected at once, never saved as good, rolled back from a few times."""

import digits_run
import pytest
import torch
from digits_run import fingerprint, stable_log
from torch import nn

from sagan.config import NetworkConfig, Runtime, TrainingConfig
from sagan.errors import TrainingFailure
from sagan.runs.checkpoint import open_checkpoint
from sagan.runs.log import read_records
from sagan.runs.run import Run
from sagan.training import train
from sagan.training import trainer as trainer_module

NAN = float("nan")
NETWORK = NetworkConfig(
    resolution=8, channels=1, classes=10, latent_dim=8, g_width=4, d_width=8, g_attention=(8,)
)
TRAINING = TrainingConfig(
    images=192, batch_size=16, g_lr=1e-3, d_lr=1e-3, log_every=32, snapshot_every=64
)
STEPS = 12  # a record every 2, a snapshot every 4


def run_to(path, digits, *, rollback=0, progress=False, **training):
    config = digits_run.configure(NETWORK, TRAINING, **training)
    runtime = Runtime(device="cpu", rollback=rollback)
    return train(config, Run(path), digits, runtime=runtime, progress=progress)


def plant(monkeypatch, fault, *, at, retries=(0,)):
    """Do something to the trainer after a step, in the retries named."""
    step = trainer_module.Trainer._step

    def faulty(self):
        step(self)
        if self.state.step == at and self.state.retry in retries:
            with torch.no_grad():
                fault(self.state)

    monkeypatch.setattr(trainer_module.Trainer, "_step", faulty)


def weight_of_g(state):
    next(state.generator.parameters()).view(-1)[0] = NAN


def gradient_of_d(state):
    next(state.discriminator.parameters()).grad.view(-1)[0] = float("inf")


def loss(state):
    state.log_sums["g_loss"] += NAN


def average(state):
    next(state.ema.network.parameters()).view(-1)[0] = NAN


def moment(state):
    optimizer = state.networks.d_optimizer
    next(iter(optimizer.state.values()))["exp_avg_sq"].view(-1)[0] = float("inf")


def batch_norm(state):
    norm = next(m for m in state.generator.modules() if isinstance(m, nn.BatchNorm2d))
    norm.running_var[0] = NAN


def collapse(state):
    """Every image the same: the last norm before the image gives a constant."""
    for generator in (state.generator, state.ema.network):
        norms = [m for m in generator.modules() if isinstance(m, nn.BatchNorm2d) and m.affine]
        norms[-1].weight.zero_()


def blow_up(state):
    next(p for p in state.discriminator.parameters() if p.ndim > 1).mul_(50)


def of_kind(path, kind):
    return [r for r in read_records(Run(path).log_path) if r["kind"] == kind]


def steps_of(path):
    return [int(p.name.removeprefix("step-")) for p in Run(path).checkpoint_paths()]


def all_finite(path):
    return all(
        tensor.isfinite().all()
        for name in ("generator", "discriminator", "ema", "g_optimizer", "d_optimizer")
        for tensor in Run(path).checkpoint(verify_files=()).tensors(name).values()
    )


@pytest.mark.parametrize(
    ("fault", "at", "seen", "said"),
    [
        (weight_of_g, 5, 5, r"a weight of G \("),
        (gradient_of_d, 6, 6, r"a gradient of D \("),
        (loss, 5, 5, "g_loss"),
        (average, 7, 8, r"ema \("),
        (moment, 7, 8, r"_optimizer \(|a weight|loss"),
        (batch_norm, 7, 8, r"generator \("),
    ],
)
@pytest.mark.fault(20)
def test_what_is_no_number_is_seen_within_the_window_and_never_saved(
    tmp_path, digits, monkeypatch, fault, at, seen, said
):
    plant(monkeypatch, fault, at=at)
    with pytest.raises(TrainingFailure, match=rf"({said}).* is no longer finite at {16 * seen} "):
        run_to(tmp_path, digits)
    assert steps_of(tmp_path) == [4]
    assert all_finite(tmp_path)


@pytest.mark.parametrize(
    ("fault", "at"), [(weight_of_g, 2), (weight_of_g, 7), (collapse, 7), (blow_up, 7)]
)
@pytest.mark.fault(20, 24, 25)
def test_after_a_failure_the_run_goes_on_from_its_last_good_checkpoint(
    tmp_path, digits, monkeypatch, fault, at
):
    run_to(tmp_path / "sound", digits)
    plant(monkeypatch, fault, at=at)
    result = run_to(tmp_path / "run", digits, rollback=1)
    assert (result.images, result.exit_code) == (192, 0)
    (record,) = of_kind(tmp_path / "run", "rollback")
    assert (record["step"], record["retry"]) == (0 if at == 2 else 4, 1)
    assert record["failed_at_images"] in (32, 112, 128)
    assert steps_of(tmp_path / "run") == [4, 8, 12]
    assert all_finite(tmp_path / "run")
    assert Run(tmp_path / "run").checkpoint(verify_files=()).manifest["retry"] == 1
    # with other random numbers than those that failed
    assert fingerprint(tmp_path / "run") != fingerprint(tmp_path / "sound")
    losses = [r["d_loss"] for r in of_kind(tmp_path / "run", "train")]
    as_before = [r["d_loss"] for r in of_kind(tmp_path / "sound", "train")]
    same = 0 if at == 2 else 2
    assert losses[:same] == as_before[:same]
    assert all(a != b for a, b in zip(losses[same:], as_before[same:], strict=True))


@pytest.mark.parametrize(("at", "rollback"), [(7, 0), (7, 1), (2, 2)])
@pytest.mark.fault(21)
def test_a_failure_that_comes_back_ends_the_run_after_so_many_retries(
    tmp_path, digits, monkeypatch, at, rollback
):
    tried = []

    def fault(state):
        tried.append(state.retry)
        weight_of_g(state)

    plant(monkeypatch, fault, at=at, retries=range(10))
    said = {0: "--rollback 3", 1: "after 1 retry;", 2: "after 2 retries;"}[rollback]
    with pytest.raises(TrainingFailure, match=said) as failure:
        run_to(tmp_path, digits, rollback=rollback)
    assert "\n" not in str(failure.value)
    assert tried == list(range(rollback + 1))
    assert steps_of(tmp_path) == ([] if at == 2 else [4])
    with pytest.raises(TrainingFailure):  # the bound is of the run's life
        run_to(tmp_path, digits, rollback=rollback)
    assert len(tried) == rollback + 2
    monkeypatch.undo()
    assert run_to(tmp_path, digits, rollback=rollback).images == 192


@pytest.mark.parametrize("stop", ["asked", "killed"])
@pytest.mark.fault(21)
def test_a_run_that_was_taken_back_resumes_exactly(tmp_path, digits, monkeypatch, stop):
    """Stopped before the first checkpoint since, when only the log knows of the retry."""
    plant(monkeypatch, weight_of_g, at=7)
    run_to(tmp_path / "unbroken", digits, rollback=1)
    stops = iter([(6, 1), (9, 1), None])
    at = [next(stops)]
    step = trainer_module.Trainer._step

    def dies(self):
        if (self.state.step, self.state.retry) == at[0]:
            raise KeyboardInterrupt
        step(self)

    if stop == "killed":
        monkeypatch.setattr(trainer_module.Trainer, "_step", dies)
    else:
        monkeypatch.setattr(
            trainer_module.Trainer,
            "_asked_to_stop",
            lambda self, _: (self.state.step, self.state.retry) == at[0],
        )
    for _ in range(3):
        try:
            run_to(tmp_path / "broken", digits, rollback=1)
        except KeyboardInterrupt:
            assert stop == "killed"
        at[0] = next(stops, None)
    assert fingerprint(tmp_path / "broken") == fingerprint(tmp_path / "unbroken")
    assert stable_log(tmp_path / "broken") == stable_log(tmp_path / "unbroken")


@pytest.mark.parametrize(("fault", "name"), [(collapse, "collapse"), (blow_up, "blow-up")])
@pytest.mark.fault(24, 25)
def test_without_rollback_an_alarm_is_said_once_and_training_goes_on(
    tmp_path, digits, monkeypatch, capsys, fault, name
):
    plant(monkeypatch, fault, at=7)
    assert run_to(tmp_path, digits, progress=True, keep=1).images == 192
    (record,) = of_kind(tmp_path, "health")
    assert (record["name"], record["step"]) == (name, 8)
    assert capsys.readouterr().err.count(record["said"]) == 1
    # the last good checkpoint outlives newer ones that are not, whatever --keep says
    assert steps_of(tmp_path) == [4, 12]
    good, newest = (open_checkpoint(path) for path in Run(tmp_path).checkpoint_paths())
    assert (good.manifest["alarms"], newest.manifest["alarms"]) == ([], [name])


def test_asked_for_later_roll_back_goes_behind_all_that_were_alarmed(tmp_path, digits, monkeypatch):
    plant(monkeypatch, collapse, at=7)
    run_to(tmp_path, digits, keep=2)
    assert steps_of(tmp_path) == [4, 8, 12]
    monkeypatch.undo()
    run_to(tmp_path, digits, keep=2, images=256, rollback=1)
    (record,) = of_kind(tmp_path, "rollback")
    assert (record["step"], record["failed_at_images"]) == (4, 256)
    assert of_kind(tmp_path, "health") == []
    assert steps_of(tmp_path) == [12, 16]


@pytest.mark.parametrize(
    "seeds", [range(2), pytest.param(range(20), marks=pytest.mark.slow)], ids=["2", "20"]
)
@pytest.mark.fault(24)
def test_healthy_small_runs_raise_no_alarm(tmp_path, digits, seeds):
    for seed in seeds:
        run_to(tmp_path / f"{seed}", digits, seed=seed, images=128, d_lr=2e-3)
        assert of_kind(tmp_path / f"{seed}", "health") == []
        assert len(of_kind(tmp_path / f"{seed}", "check")) == 2
