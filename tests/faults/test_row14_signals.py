"""Row 14: a signal at any moment saves; resumed, the run is as if it had never come."""

import resource
import signal
import time

import digits_run
import pytest
from digits_run import fingerprint, stable_log

from sagan.config import Runtime, TrainingConfig
from sagan.runs.log import read_records
from sagan.runs.run import Run, find_checkpoint
from sagan.training import evaluation, train
from sagan.training import trainer as trainer_module
from sagan.training.journal import Journal
from sagan.training.snapshots import Snapshots

pytestmark = pytest.mark.fault(14)
TRAINING = TrainingConfig(
    images=128, batch_size=16, g_lr=1e-3, d_lr=1e-3, log_every=32, snapshot_every=64,
    evaluate_every=64, evaluate_num=40, evaluate_metric="kid:pixel", ema_start=32,
)  # fmt: skip


def run_to(path, digits, **runtime):
    config = digits_run.configure(digits_run.SMALL, TRAINING)
    how = Runtime(device="cpu", **runtime)
    return train(config, Run(path), digits, runtime=how, progress=False)


def scores(path):
    """The log, without how long a score took."""
    return [
        {name: value for name, value in record.items() if name != "seconds"}
        for record in stable_log(path)
    ]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory, digits):
    path = tmp_path_factory.mktemp("unbroken")
    run_to(path, digits)
    return path


def when(monkeypatch, owner, name, number, *, call):
    """Send a signal in the so-many-th call of a method."""
    real, calls = getattr(owner, name), []

    def signalled(*args, **kwargs):
        calls.append(name)
        if len(calls) == call:
            signal.raise_signal(number)
        return real(*args, **kwargs)

    monkeypatch.setattr(owner, name, signalled)


@pytest.mark.parametrize(
    ("owner", "name", "call", "step"),
    [
        (trainer_module.Trainer, "_update", 3, 3),
        pytest.param(Snapshots, "_look", 1, 4, marks=pytest.mark.slow),
        pytest.param(evaluation.Scorer, "_measure", 1, 4, marks=pytest.mark.slow),
        (evaluation.Scorer, "_measure", 2, 8),  # at the end
        (Run, "save", 1, 4),
        pytest.param(Journal, "grid", 1, 4, marks=pytest.mark.slow),
    ],
    ids=["a step", "pictures", "an evaluation", "the last one", "a save", "sampling"],
)
def test_a_signal_in_any_phase_saves_and_the_run_resumes_exactly(
    tmp_path, digits, unbroken, monkeypatch, owner, name, call, step
):
    with monkeypatch.context() as patch:
        when(patch, owner, name, signal.SIGTERM, call=call)
        result = run_to(tmp_path, digits)
    assert result.exit_code == 143
    if name != "save":  # that goes on beside the next step
        assert Run(tmp_path).pointed_to("latest").name == f"step-{step:08}"
    assert run_to(tmp_path, digits).exit_code == 0
    assert fingerprint(tmp_path) == fingerprint(unbroken)
    assert scores(tmp_path) == scores(unbroken)
    assert (tmp_path / "best").read_text() == (unbroken / "best").read_text()


def test_an_evaluation_hears_it_at_once_and_no_step_follows(tmp_path, digits, monkeypatch):
    steps = []
    update = trainer_module.Trainer._update
    monkeypatch.setattr(
        trainer_module.Trainer, "_update", lambda self: (steps.append(1), update(self))
    )

    def slow(*_):
        signal.raise_signal(signal.SIGTERM)
        time.sleep(30)

    monkeypatch.setattr(evaluation.Scorer, "_measure", slow)
    began = time.monotonic()
    assert run_to(tmp_path, digits).exit_code == 143
    assert time.monotonic() - began < 20
    assert len(steps) == 4
    assert find_checkpoint(tmp_path, verify_files=None).manifest["score_due"]


@pytest.mark.parametrize(
    ("name", "runtime"), [("SIGHUP", {}), ("SIGXCPU", {}), ("SIGUSR2", {}),
                          ("SIGUSR1", {"stop_signal": "USR1"})],
)  # fmt: skip
def test_further_signals_stop_with_their_number(tmp_path, digits, monkeypatch, name, runtime):
    number = getattr(signal, name)
    outside = signal.signal(number, signal.SIG_DFL)  # nohup, under which tests may run, ignores HUP
    try:
        with monkeypatch.context() as patch:
            when(patch, trainer_module.Trainer, "_update", number, call=2)
            result = run_to(tmp_path, digits, **runtime)
        after = signal.getsignal(number)
    finally:
        signal.signal(number, outside)
    assert result.exit_code == 128 + number
    assert find_checkpoint(tmp_path, verify_files=None).step == 2
    assert after == signal.SIG_DFL


def test_usr1_saves_and_training_goes_on(tmp_path, digits, unbroken, monkeypatch):
    saved = []
    save = Run.save

    def noting(self, step, *args, **named):
        saved.append(step)
        return save(self, step, *args, **named)

    monkeypatch.setattr(Run, "save", noting)
    when(monkeypatch, trainer_module.Trainer, "_update", signal.SIGUSR1, call=3)
    assert run_to(tmp_path, digits).exit_code == 0
    assert saved == [3, 4, 8]
    assert fingerprint(tmp_path) == fingerprint(unbroken)
    assert scores(tmp_path) == scores(unbroken)


def test_started_with_nohup_it_outlives_its_terminal(tmp_path, digits, monkeypatch):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        when(monkeypatch, trainer_module.Trainer, "_update", signal.SIGHUP, call=2)
        assert run_to(tmp_path, digits).exit_code == 0
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.slow
def test_the_limit_of_processor_time_saves_and_stops(tmp_path):
    """With the real limit, in a process of its own."""
    import subprocess
    import sys

    command = [sys.executable, "-m", "sagan", "train", tmp_path / "run", "--images", "10000000"]
    command += ["--g-width", "4", "--d-width", "8", "--device", "cpu", "--log-every", "64"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        log = tmp_path / "run/log.jsonl"
        until = time.monotonic() + 120
        while '"train"' not in (log.read_text() if log.exists() else ""):
            assert time.monotonic() < until
            time.sleep(0.1)
        resource.prlimit(process.pid, resource.RLIMIT_CPU, (1, resource.RLIM_INFINITY))
        _, said = process.communicate(timeout=240)
    finally:
        process.kill()
        process.wait()
        process.stderr.close()
    assert process.returncode == 152
    assert said.splitlines()[-1].startswith("Stopped at ")
    steps = [r["step"] for r in read_records(log)]
    assert find_checkpoint(tmp_path / "run", verify_files=None).step >= steps[-1]
