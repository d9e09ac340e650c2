"""Row 13: a second writer is refused; the lock of one that was killed frees itself."""

import os
import signal
import time

import digits_run
import pytest
from digits_run import SMALL, fingerprint

from sagan.config import Runtime, TrainingConfig
from sagan.runs.run import Run
from sagan.training import train
from sagan.training import trainer as trainer_module

pytestmark = pytest.mark.fault(13)
TRAINING = TrainingConfig(images=96, batch_size=16, snapshot_every=32, log_every=32)


def run_to(path, digits):
    config = digits_run.configure(SMALL, TRAINING)
    return train(config, Run(path), digits, runtime=Runtime(device="cpu"), progress=False)


def test_two_processes_that_train_one_run(tmp_path, digits):
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        update = trainer_module.Trainer._update

        def slow(self):
            update(self)
            if self.state.step == 3:  # after the first checkpoint
                self.saver.wait()
                os.write(writing, b"x")
                time.sleep(120)

        trainer_module.Trainer._update = slow
        try:
            run_to(tmp_path / "run", digits)
        finally:
            os._exit(0)
    try:
        assert os.read(reading, 1) == b"x"
        before = {p: p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.is_file()}
        with pytest.raises(ValueError, match="another process is training"):
            run_to(tmp_path / "run", digits)
        assert {p: p.read_bytes() for p in before} == before
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(reading)
        os.close(writing)
    assert run_to(tmp_path / "run", digits).images == 96
    run_to(tmp_path / "alone", digits)
    assert fingerprint(tmp_path / "run") == fingerprint(tmp_path / "alone")
