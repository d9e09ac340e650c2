"""Row 1: killed at random again and again, a run ends as the unbroken one, bit for bit.

Also one that grows, killed between its sizes and anywhere else.
"""

import random
from dataclasses import replace

import pytest
from bounded import ForkServer
from command_line import SMALL, sagan
from digits_run import fingerprint, stable_log

from sagan.config import Runtime
from sagan.config.growth import with_ends
from sagan.data import load_dataset
from sagan.runs.log import read_records
from sagan.runs.run import Run
from sagan.training import train

OPTIONS = {
    "plain": ["--images", 640],
    "growing": ["--images", 640, "--grow", "8:320", "--resolution", 16],
}
CPU = Runtime(device="cpu")
LOGS = ["--log-every", 64, "--snapshot-every", 96, "--keep", 2]


@pytest.fixture(scope="module")
def server():
    with ForkServer(preload=["sagan.training.loop", "sagan.training.curves"]) as server:
        yield server


def killed_until_done(server, path, kind, *, kills, seed):
    """Train, killed after a random time, until it ends by itself; how often it was killed."""
    draw, killed = random.Random(seed), 0
    command = ["train", path, *SMALL, *LOGS, *OPTIONS[kind]]
    while killed < kills:
        ended = server.sagan(*command, room_mb=4_000, kill_after=draw.uniform(0.02, 3.0))
        if ended.code == 0:
            break
        assert ended.code == -9, ended.said
        found, faults = Run(path).newest_sound_checkpoint()
        assert faults == []
        assert found is not None or not Run(path).checkpoint_paths()
        killed += 1
    assert server.sagan(*command, room_mb=4_000, seconds=300).code == 0
    return killed


@pytest.mark.fault(1)
@pytest.mark.slow
@pytest.mark.parametrize(("kind", "kills"), [("plain", 50), ("growing", 15)])
def test_a_run_killed_at_random_equals_the_unbroken_one(server, tmp_path, kind, kills, counted):
    whole = tmp_path / "whole"
    assert sagan("train", whole, *SMALL, *LOGS, *OPTIONS[kind]) == 0
    done = seed = 0
    while done < kills:
        path = tmp_path / f"{seed}"
        done += killed_until_done(server, path, kind, kills=kills - done, seed=seed)
        assert fingerprint(path) == fingerprint(whole)
        assert stable_log(path) == stable_log(whole)
        seed += 1
    assert done == kills
    counted({"random kills of a run": done, "resumed to equal bits": done})


@pytest.mark.fault(1)
@pytest.mark.slow
def test_a_run_by_time_killed_at_random_keeps_its_plan_and_its_time(server, tmp_path, counted):
    """It ends as a run by images with the ends that its last checkpoint names."""
    path = tmp_path / "timed"
    quick = ["--preset", "quick", "--resolution", 16, "--batch-size", 32, "--snapshot-every", 320]
    widths = ["--g-width", 8, "--d-width", 8, "--device", "cpu", "--precision", "float32"]
    command = ["train", path, *quick, *widths, "--time", "60s"]
    draw, killed = random.Random(0), 0
    while (ended := server.sagan(
        *command, room_mb=4_000, seconds=300, kill_after=draw.uniform(4, 12) if killed < 5 else None
    )).code:  # fmt: skip
        assert ended.code == -9, ended.said
        killed += 1
    assert killed == 5
    last = Run(path).checkpoint(verify_files=()).manifest
    trained = [r["elapsed"] for r in read_records(Run(path).log_path) if "elapsed" in r]
    assert trained[-1] == pytest.approx(60, rel=0.05)
    config = with_ends(Run(path).config(), last["plan"][-1]["ends"])
    by_images = replace(config, training=replace(config.training, time_sec=0.0))
    digits = load_dataset("digits", resolution=16)
    train(by_images, Run(tmp_path / "images"), digits, runtime=CPU, progress=False)
    assert fingerprint(tmp_path / "images") == fingerprint(path)
    counted({"random kills of a run": killed, "resumed to equal bits": killed})
