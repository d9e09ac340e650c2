"""Row 18: with 1, 2 and again 1 ranks, the images and latents of each step are the same."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from digits_run import SMALL, configure
from faults.rank_processes import OPTIONS

from sagan.config import TrainingConfig
from sagan.training.batches import BatchSource, Share

pytestmark = pytest.mark.fault(18)
CPU = torch.device("cpu")
RECORDER = Path(__file__).with_name("recording_train.py")


@pytest.mark.parametrize("accumulate", [1, 2])
def test_ranks_divide_the_very_batches_of_one(digits, accumulate):
    training = TrainingConfig(
        batch_size=16, accumulate=accumulate, mirror=True, augment=("color",), holdout=0.1
    )
    config = configure(SMALL, training)

    def whole(ranks, step):
        sources = [BatchSource(digits, config, Share(r, ranks), CPU) for r in range(ranks)]
        for kind in ("discriminator", "generator", "held_out"):
            shares = [getattr(source, kind)(step) for source in sources]
            for micro in zip(*shares, strict=True):
                for fields in zip(*(dataclasses.astuple(s) if dataclasses.is_dataclass(s) else s
                                    for s in micro), strict=True):  # fmt: skip
                    yield torch.cat(fields)

    for step in (0, 7, 80):  # in the second pass over the data too
        one, two, four = (list(whole(ranks, step)) for ranks in (1, 2, 4))
        assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
        assert all(torch.equal(a, b) for a, b in zip(one, four, strict=True))


@pytest.mark.slow
def test_a_run_on_1_then_2_then_1_shows_the_images_of_a_run_on_1(tmp_path):
    def train(name, images, devices):
        env = {**os.environ, "RECORDED": str(tmp_path / name), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, str(RECORDER), "train", str(tmp_path / f"{name}-run"), *OPTIONS]
        command += ["--images", str(images), "--devices", str(devices)]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, done.stderr

    for images, devices in ((64, 1), (128, 2), (192, 1)):
        train("changing", images, devices)
    train("one", 192, 1)

    def shown(name):
        steps = {}
        for file in sorted(tmp_path.glob(f"{name}.*")):  # by rank
            for line in file.read_text().splitlines():
                step, sums = json.loads(line)
                steps.setdefault(step, []).extend(sums)
        return steps

    changing, one = shown("changing"), shown("one")
    assert sorted(one) == list(range(6))
    assert changing == one
