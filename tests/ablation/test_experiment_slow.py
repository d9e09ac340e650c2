"""An experiment in real processes, killed and continued, ends as if nothing had happened."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from digits_run import fingerprint

pytestmark = pytest.mark.slow

OPTIONS = [
    *("--data", "digits", "--preset", "digits", "--resolution", "8", "--device", "cpu"),
    *("--g-width", "4", "--d-width", "8", "--batch-size", "16", "--ema-start", "16"),
    *("--images", "3200", "--snapshot-every", "800", "--metrics", "fd:pixel", "--num", "120"),
    *("--curve-num", "60", "--arms", "none,attention", "--seeds", "2", "--underpowered"),
]
RUNS = ("none-0", "attention-0", "none-1", "attention-1")


def start(out):
    command = [sys.executable, "-m", "sagan", "ablate", str(out), *OPTIONS, "--jobs", "2"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def values(out, run):
    lines = (out / "runs" / run / "scores.jsonl").read_text().splitlines()
    return [(r["images"], r["num"], r["value"]) for r in map(json.loads, lines)]


def workers_of(out):
    listed = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True).stdout
    return [line for line in listed.splitlines() if f"ablation.worker {out}" in line]


@pytest.mark.skipif(sys.platform == "win32", reason="lists processes with ps")
def test_killed_and_continued_equals_unbroken(tmp_path):
    unbroken, broken = tmp_path / "unbroken", tmp_path / "broken"
    whole = start(unbroken)
    said, told = whole.communicate(timeout=600)
    assert whole.returncode == 0, told
    assert said.startswith("Too few seeds for a verdict")

    for kill, at in ((signal.SIGKILL, "checkpoints/step-*"), (signal.SIGTERM, "done")):
        process = start(broken)
        deadline = time.monotonic() + 200
        while not list(broken.glob(f"runs/*/{at}")):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        os.kill(process.pid, kill)
        process.communicate(timeout=200)
        assert process.returncode == (-9 if kill == signal.SIGKILL else 143)
        while workers_of(broken):  # they notice that nobody waits for them
            assert time.monotonic() < deadline
            time.sleep(0.1)
    last = start(broken)
    again, told = last.communicate(timeout=600)
    assert last.returncode == 0, told
    assert again == said
    for run in RUNS:
        assert fingerprint(broken / "runs" / run) == fingerprint(unbroken / "runs" / run)
        assert values(broken, run) == values(unbroken, run)
    plans = [json.loads((out / "plan.json").read_bytes()) for out in (broken, unbroken)]
    assert len({json.dumps(plan | {"made_with": ""}) for plan in plans}) == 1
