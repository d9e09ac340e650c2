"""Devices and processes; two gloo processes are started through the command line."""

import os
import platform
import signal
import socket
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest
import torch
from command_line import SMALL, sagan

from sagan.config import Runtime
from sagan.devices import pick_device, usable_cores
from sagan.runs.run import find_checkpoint
from sagan.training.engine import Engine
from sagan.training.ranks import is_first_process, launched

TORCHRUN = {"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "6", "LOCAL_WORLD_SIZE": "2"}
NETWORK = ["--g-width", "4", "--d-width", "8", "--seed", "3", "--batch-size", "32"]


def train(path, *options):
    command = [sys.executable, "-m", "sagan", "train", str(path), *NETWORK, *options]
    command += ["--device", "cpu"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return done.stderr


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def torchrun(path, *options, machines, processes):
    """Start torchrun once a machine, all of them this one."""
    head = [sys.executable, "-m", "torch.distributed.run", "--master-addr", "127.0.0.1"]
    head += ["--master-port", free_port(), "--nnodes", str(machines)]
    head += ["--nproc-per-node", str(processes), "--node-rank"]
    tail = ["-m", "sagan", "train", str(path), *NETWORK, *options, "--device", "cpu"]
    started = [
        subprocess.Popen(
            [*head, str(k), *tail],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        for k in range(machines)
    ]
    said = [process.communicate(timeout=240)[1] for process in started]
    assert not any(process.returncode for process in started), said
    return "".join(said)


@pytest.mark.slow
@pytest.mark.parametrize(("machines", "processes"), [(1, 2), (2, 1)])
def test_torchrun_on_one_machine_or_two_gives_the_same_run(tmp_path, machines, processes):
    train(tmp_path / "own", "--images", "96", "--devices", "2")
    said = torchrun(tmp_path / "run", "--images", "96", machines=machines, processes=processes)
    assert said.count("trained on 96 images") == 1
    for name in ("generator", "discriminator", "ema"):
        assert largest_difference(tmp_path / "own", tmp_path / "run", name) == 0


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({"WORLD_SIZE": "4", "LOCAL_RANK": "0"}, None),  # Fabric's own processes
        (TORCHRUN, (2, 3)),
        ({"SLURM_NTASKS": "8", "SLURM_NNODES": "2", "SLURM_PROCID": "0"}, (4, 2)),
        ({"SLURM_NTASKS": "8", "SLURM_PROCID": "0"}, (8, 1)),
        ({"SLURM_NTASKS": "8", "SLURM_PROCID": "0", "SLURM_JOB_NAME": "bash"}, None),
        ({"SLURM_NTASKS": "8"}, None),  # in a batch script, outside srun
    ],
)
def test_an_outer_launcher_says_how_many_processes(environment, expected):
    assert launched(environment) == expected


@pytest.mark.parametrize(
    ("environment", "first"),
    [
        ({}, True),
        ({"LOCAL_RANK": "0", "WORLD_SIZE": "2"}, True),  # after training in this process
        ({"LOCAL_RANK": "1", "WORLD_SIZE": "2"}, False),
        ({**TORCHRUN, "RANK": "0", "LOCAL_RANK": "0"}, True),
        ({**TORCHRUN, "RANK": "2", "LOCAL_RANK": "0"}, False),  # of the second machine
        ({"SLURM_NTASKS": "2", "SLURM_PROCID": "0"}, True),
        ({"SLURM_NTASKS": "2", "SLURM_PROCID": "1"}, False),
        ({"SLURM_NTASKS": "2", "SLURM_PROCID": "1", "SLURM_JOB_NAME": "bash"}, True),
    ],
)
def test_one_process_of_all_is_the_first(environment, first):
    assert is_first_process(environment) == first


@pytest.mark.slow
def test_from_scratch_begins_again_under_torchrun_too(tmp_path):
    torchrun(tmp_path / "run", "--images", "96", machines=1, processes=2)
    again = torchrun(tmp_path / "run", "--images", "96", "--from-scratch", machines=1, processes=2)
    assert again.count("What the run had is now in") == 1
    assert (tmp_path / "run" / "before-1" / "log.jsonl").is_file()
    assert again.count("trained on 96 images") == 1


def largest_difference(a, b, name):
    a, b = (
        find_checkpoint(a, verify_files=None).tensors(name),
        find_checkpoint(b, verify_files=None).tensors(name),
    )
    compared = [k for k in a if "running_" not in k and "num_batches" not in k]
    return max((a[k] - b[k]).abs().max().item() for k in compared)


def test_two_processes_equal_one_that_normalises_over_the_same_halves(tmp_path):
    said = train(tmp_path / "two", "--images", "96", "--devices", "2")
    assert said.count("trained on 96 images") == 1
    assert "Warning" not in said
    train(tmp_path / "one", "--images", "96", "--accumulate", "2")
    for name in ("generator", "discriminator", "ema"):
        assert largest_difference(tmp_path / "two", tmp_path / "one", name) < 1e-5


@pytest.mark.slow
def test_two_processes_fine_tune_with_frozen_blocks_as_one_does(tmp_path):
    train(tmp_path / "old", "--images", "64")
    options = ["--init", str(tmp_path / "old"), "--freeze-d", "1", "--images", "96"]
    options += ["--seed", "4", "--batch-size", "32", "--device", "cpu"]
    for name, more in (("two", ["--devices", "2"]), ("one", ["--accumulate", "2"])):
        command = [sys.executable, "-m", "sagan", "train", str(tmp_path / name), *options, *more]
        done = subprocess.run(command, capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, done.stderr
        assert done.stderr.count("of its weights kept") == 2
    for name in ("generator", "discriminator", "ema"):
        assert largest_difference(tmp_path / "two", tmp_path / "one", name) < 1e-5


@pytest.mark.parametrize("processes", [2, 8])
def test_processes_wait_for_hours_while_the_first_one_scores(monkeypatch, processes):
    given = {}
    monkeypatch.setattr("sagan.training.engine.Fabric", lambda **options: given.update(options))
    monkeypatch.setattr("sagan.training.engine.usable_cores", lambda: processes)
    Engine(Runtime(device="cpu", devices=processes), "float32")
    assert given["strategy"]._timeout >= timedelta(hours=6)


def test_a_missing_device_is_named():
    if torch.cuda.is_available():
        with pytest.raises(ValueError, match="CUDA devices were asked for"):
            Engine(Runtime(device="cuda", devices=torch.cuda.device_count() + 1), "float32")
    else:
        with pytest.raises(ValueError, match="device cuda is not available here"):
            pick_device("cuda")


def test_auto_picks_what_is_there():
    best = "cuda" if torch.cuda.is_available() else None
    best = best or ("mps" if torch.backends.mps.is_available() else "cpu")
    assert pick_device("auto") == best


@pytest.mark.slow
@pytest.mark.fault(15)
@pytest.mark.skipif(sys.platform != "linux", reason="finds the other process in /proc")
def test_a_signal_to_any_process_stops_all_and_is_said(tmp_path):
    command = [sys.executable, "-m", "sagan", "train", str(tmp_path), "--images", "10000000"]
    command += [*SMALL, "--log-every", "320", "--devices", "2"]
    main = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        log, until = tmp_path / "log.jsonl", time.monotonic() + 120
        while '"train"' not in (log.read_text() if log.exists() else ""):
            assert time.monotonic() < until
            assert main.poll() is None
            time.sleep(0.1)
        (other,) = Path(f"/proc/{main.pid}/task/{main.pid}/children").read_text().split()
        os.kill(int(other), signal.SIGTERM)
        _, said = main.communicate(timeout=60)
    finally:
        main.kill()
    assert main.returncode == 143
    assert "Stopped at" in said
    assert "trained on" not in said


def test_more_processes_than_cores_are_refused_before_any_starts(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("sagan.training.engine.Fabric", None)  # nothing can start
    assert sagan("train", tmp_path / "run", "--devices", usable_cores() + 1, "--device", "cpu") == 2
    said = capsys.readouterr().err
    assert f"{usable_cores() + 1} processes" in said
    assert f"{usable_cores()} cores" in said
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left alone")
def test_a_step_on_the_cpu_finds_the_memory_of_the_step_before():
    code = """
import resource, torch
from sagan.config import Runtime
from sagan.training.engine import Engine
def faults():
    torch.ones(20_000_000)  # 80 MB: glibc's own limit is 32
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
Engine(Runtime(device="cpu"), "float32")
before = [faults() for _ in range(15)][-1]  # the first calls may each find another place
print([faults() for _ in range(5)][-1] - before)
"""
    environment = {**os.environ, "THP_MEM_ALLOC_ENABLE": "0"}  # pages of 4 kB, to count
    said = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert int(said.stdout) < 1_000  # each call would take 20,000
