"""Devices and processes; two gloo processes are started through the command line."""

import subprocess
import sys

import pytest
import torch

from sagan.config import Runtime
from sagan.devices import pick_device
from sagan.run import find_checkpoint
from sagan.training.engine import Engine

NETWORK = ["--g-width", "4", "--d-width", "8", "--seed", "3", "--batch-size", "32"]


def train(path, *options):
    command = [sys.executable, "-m", "sagan", "train", str(path), *NETWORK, *options]
    command += ["--device", "cpu"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return done.stderr


def largest_difference(a, b, name):
    a, b = find_checkpoint(a).tensors(name), find_checkpoint(b).tensors(name)
    compared = [k for k in a if "running_" not in k and "num_batches" not in k]
    return max((a[k] - b[k]).abs().max().item() for k in compared)


def test_two_processes_equal_one_that_normalises_over_the_same_halves(tmp_path):
    """And a run may go on with another number of processes: 2, then 1."""
    said = train(tmp_path / "two", "--images", "192", "--devices", "2")
    assert said.count("trained on 192 images") == 1
    train(tmp_path / "one", "--images", "192", "--accumulate", "2")
    for name in ("generator", "discriminator", "ema"):
        assert largest_difference(tmp_path / "two", tmp_path / "one", name) < 1e-5
    train(tmp_path / "two", "--images", "256")
    assert find_checkpoint(tmp_path / "two").step == 8


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
