"""Row 12: a checkpoint that is written beside training is of one step, whatever comes meanwhile."""

import errno
import os
import signal
import threading
import time

import digits_run
import pytest
import torch
from command_line import SMALL as OPTIONS
from command_line import sagan
from digits_run import SMALL, fingerprint, stable_log

from sagan.config import RunConfig, Runtime, TrainingConfig
from sagan.runs.checkpoint import open_checkpoint
from sagan.runs.run import Run
from sagan.training import train
from sagan.training import trainer as trainer_module
from sagan.training.saving import Saver

pytestmark = pytest.mark.fault(12)
TRAINING = TrainingConfig(
    images=192, batch_size=16, g_lr=1e-3, d_lr=1e-3, log_every=32, snapshot_every=64
)


def run_to(path, digits, **training):
    config = digits_run.configure(SMALL, TRAINING, **training)
    return train(config, Run(path), digits, runtime=Runtime(device="cpu"), progress=False)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory, digits):
    path = tmp_path_factory.mktemp("unbroken")
    run_to(path, digits)
    return path


def contents(run, name):
    folder = Run(run).path / "checkpoints" / name
    return {file.name: file.read_bytes() for file in folder.glob("*.safetensors")}


def test_steps_go_on_while_it_is_written_and_do_not_change_it(
    tmp_path, digits, unbroken, monkeypatch
):
    steps, seen = [], []
    save, update = Run.save, trainer_module.Trainer._update

    def slow(self, step, *args, **named):
        before = len(steps)
        until = time.monotonic() + 60
        while step == 4 and len(steps) < before + 3 and time.monotonic() < until:
            time.sleep(0.01)
        seen.append(len(steps) - before)
        return save(self, step, *args, **named)

    monkeypatch.setattr(Run, "save", slow)
    monkeypatch.setattr(
        trainer_module.Trainer, "_update", lambda self: (update(self), steps.append(1))
    )
    run_to(tmp_path, digits)
    assert seen[0] >= 3
    for name in ("step-00000004", "step-00000008", "step-00000012"):
        assert contents(tmp_path, name) == contents(unbroken, name)
    assert stable_log(tmp_path) == stable_log(unbroken)


def test_at_most_one_is_under_way_and_the_end_waits_for_it(tmp_path, digits, monkeypatch):
    under_way, most, ended = [], [], []
    save = Run.save

    def counted(self, step, *args, **named):
        assert threading.current_thread() is not threading.main_thread()
        under_way.append(step)
        most.append(len(under_way))
        time.sleep(0.2)
        save(self, step, *args, **named)
        under_way.remove(step)
        ended.append(step)

    monkeypatch.setattr(Run, "save", counted)
    run_to(tmp_path, digits, snapshot_every=16)
    assert ended == list(range(1, 13))
    assert max(most) == 1


def test_a_signal_waits_for_it(tmp_path, digits, monkeypatch):
    save = Run.save

    def slow(self, *args, **named):
        signal.raise_signal(signal.SIGTERM)
        time.sleep(0.5)
        return save(self, *args, **named)

    monkeypatch.setattr(Run, "save", slow)
    result = run_to(tmp_path, digits)
    assert result.exit_code == 143
    step = result.images // 16
    assert Run(tmp_path).checkpoint(verify_files=()).step == step
    assert threading.active_count() == 1 or not [
        t for t in threading.enumerate() if t.name.startswith("sagan-save")
    ]


@pytest.mark.parametrize(
    "at", [pytest.param(1, marks=pytest.mark.slow), 2, pytest.param(3, marks=pytest.mark.slow)]
)
def test_a_full_disk_ends_the_run_in_one_line_and_what_was_saved_stands(
    tmp_path, monkeypatch, capfd, at
):
    options = [*OPTIONS, "--images", 192, "--snapshot-every", 64, "--log-every", 32]
    save, calls = Run.save, []

    def full(self, *args, **named):
        calls.append(1)
        if len(calls) == at:
            raise OSError(errno.ENOSPC, "No space left on device", str(self.path))
        return save(self, *args, **named)

    with monkeypatch.context() as patch:
        patch.setattr(Run, "save", full)
        assert sagan("train", tmp_path / "run", *options) == 1
    said = capfd.readouterr().err
    assert "No space left on device" in said
    assert "Traceback" not in said
    steps = [path.name for path in Run(tmp_path / "run").checkpoint_paths()]
    assert len(steps) == at - 1
    assert sagan("train", tmp_path / "run", *options) == 0
    assert Run(tmp_path / "run").checkpoint(verify_files=()).step == 6


@pytest.mark.parametrize(
    "call", [*(pytest.param(call, marks=pytest.mark.slow) for call in (1, 4, 6, 8, 15)), 7]
)
def test_killed_while_it_is_written_the_run_goes_on_exactly(tmp_path, digits, unbroken, call):
    """kill -9 at a call that writes to the disk, in a process of its own."""
    child = os.fork()
    if not child:
        from sagan import files

        calls, real = [], os.fsync

        def dies(descriptor):
            calls.append(threading.current_thread().name)
            saving = [name for name in calls if name.startswith("sagan-save")]
            if len(saving) == call:
                os.kill(os.getpid(), signal.SIGKILL)
            real(descriptor)

        files.os.fsync = dies
        try:
            run_to(tmp_path, digits)
        finally:
            os._exit(0)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    for path in Run(tmp_path).checkpoint_paths():
        open_checkpoint(path).verify()
    run_to(tmp_path, digits)
    assert fingerprint(tmp_path) == fingerprint(unbroken)
    assert stable_log(tmp_path) == stable_log(unbroken)


def test_the_copy_shares_nothing_with_the_networks(tmp_path):
    weights = torch.ones(3, 4, 5, 5).contiguous(memory_format=torch.channels_last)
    saver = Saver(Run(tmp_path), best=None)
    saver.save(7, {"ema": {"w": weights}}, config=RunConfig(), keep=1, facts={"images": 64})
    weights.zero_()
    saver.wait()
    saver.close()
    assert bool((Run(tmp_path).checkpoint(verify_files=()).tensors("ema")["w"] == 1).all())
