"""torch.compile with a failing compiler: done without, by all processes, and only then."""

import contextlib
import os
import signal
import subprocess
import sys

import pytest
import torch
from digits_run import configure, fingerprint
from torch import nn
from torch._inductor.exc import InductorError

from sagan.config import NetworkConfig, Runtime, TrainingConfig
from sagan.devices import usable_cores
from sagan.runs.log import read_records
from sagan.runs.run import Run
from sagan.training import train
from sagan.training import trainer as trainer_module

CONFIG = configure(
    NetworkConfig(
        resolution=8, channels=1, classes=10, latent_dim=8, g_width=4, d_width=8, g_attention=(8,)
    ),
    TrainingConfig(images=96, batch_size=16, log_every=16, snapshot_every=48),
)


def run_to(path, digits, **runtime):
    return train(CONFIG, Run(path), digits, runtime=Runtime(device="cpu", **runtime))


class Uncompilable(nn.Module):
    """Stands in for a compiled network whose compiler fails at a call, having changed the state."""

    calls = 0

    def __init__(self, network, fails_at):
        super().__init__()
        self.network, self.fails_at = network, fails_at

    def forward(self, *inputs):
        type(self).calls += 1
        if type(self).calls >= self.fails_at:
            self.network(*inputs)
            with torch.no_grad():
                for tensor in (*self.network.parameters(), *self.network.buffers()):
                    tensor.zero_()
            raise InductorError(OSError("no working\nC++ [compiler]"), None)
        return self.network(*inputs)


@pytest.mark.parametrize("fails_at", [1, 2, 15])  # G's first call, D's, and in the fifth step
def test_a_compiler_that_fails_is_done_without_and_nothing_is_lost(
    tmp_path, digits, monkeypatch, capsys, fails_at
):
    run_to(tmp_path / "plain", digits)
    monkeypatch.setattr(Uncompilable, "calls", 0)
    monkeypatch.setattr(torch, "compile", lambda network: Uncompilable(network, fails_at))
    assert run_to(tmp_path / "asked", digits, compile=True).images == 96
    said = capsys.readouterr().err
    line = "torch.compile failed (OSError: no working C++ [compiler]); continuing without it.\n"
    assert said.count(line) == 1
    assert fingerprint(tmp_path / "asked") == fingerprint(tmp_path / "plain")
    losses = [
        [(r["step"], r["d_loss"]) for r in read_records(Run(path).log_path) if r["kind"] == "train"]
        for path in (tmp_path / "plain", tmp_path / "asked")
    ]
    assert losses[0] == losses[1]


def test_an_error_that_is_not_the_compilers_is_not_taken_for_one(
    tmp_path, digits, monkeypatch, capsys
):
    """An unreadable disk, say: read again it would be said to be the compiler's fault."""
    failed = []
    update = trainer_module.Trainer._update

    def fails_once(self):
        if self.state.step == 4 and not failed:
            failed.append(self.state.step)
            raise OSError("Input/output error")
        update(self)

    monkeypatch.setattr(trainer_module.Trainer, "_update", fails_once)
    monkeypatch.setattr(torch, "compile", lambda network: network)
    with pytest.raises(OSError, match="Input/output error"):
        run_to(tmp_path, digits, compile=True)
    assert "torch.compile failed" not in capsys.readouterr().err


ONE_OF_TWO = """
import os, sys
from pathlib import Path
import torch
from torch import nn
from sagan.config import DataConfig, NetworkConfig, RunConfig, Runtime, TrainingConfig
from sagan.data import load_dataset
from sagan.runs.run import Run
from sagan.training import train

class CompilerError(RuntimeError):
    __module__ = "torch._inductor.exc"

class FailsInOneProcess(nn.Module):
    calls = 0
    def __init__(self, network):
        super().__init__()
        self.network = network
    def forward(self, *inputs):
        FailsInOneProcess.calls += 1
        if os.environ.get("LOCAL_RANK") == "1" and FailsInOneProcess.calls >= int(sys.argv[2]):
            raise CompilerError("no working compiler")
        return self.network(*inputs)

torch.set_num_threads(1)
torch.compile = FailsInOneProcess
config = RunConfig(
    network=NetworkConfig(resolution=8, channels=1, classes=10, latent_dim=8, g_width=4, d_width=8),
    training=TrainingConfig(images=64, batch_size=16, log_every=16, snapshot_every=32),
    data=DataConfig(class_names=tuple("0123456789")),
)
runtime = Runtime(device="cpu", devices=2, compile=True)
train(config, Run(Path(sys.argv[1])), load_dataset("digits", resolution=8), runtime=runtime)
"""


def train_in_two(tmp_path, fails_at):
    program = tmp_path / "program.py"
    program.write_text(ONE_OF_TWO)
    command = [sys.executable, str(program), str(tmp_path / "run"), str(fails_at)]
    started = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        _, said = started.communicate(timeout=120)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGKILL)
    return started.returncode, said


@pytest.mark.slow
@pytest.mark.skipif(usable_cores() < 2, reason="two processes")
def test_two_processes_stop_compiling_together_where_one_cannot(tmp_path):
    code, said = train_in_two(tmp_path, 1)
    assert code == 0, said
    assert said.count("torch.compile failed (in another process); continuing without it.") == 1
    assert Run(tmp_path / "run").checkpoint(verify_files=()).step == 4


@pytest.mark.slow
@pytest.mark.skipif(usable_cores() < 2, reason="two processes")
def test_one_of_two_processes_whose_compiler_fails_later_ends_both(tmp_path):
    """Rather than wait for the other, which waits for its gradients."""
    code, said = train_in_two(tmp_path, 12)  # in the third step
    assert code != 0
    assert "no working compiler" in said
    assert Run(tmp_path / "run").checkpoint(verify_files=()).step == 2
