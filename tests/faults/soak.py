"""`./dev soak`: thousands of tiny steps, killed again and again, and 10,000 in one piece.

The run that is killed (at random times, and where it writes) must end with the bits of one that is
not; memory and open files of the one in one piece must stay flat. Prints figures; exit code 1 if
one is not as it must be.
"""

import argparse
import ctypes
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from digits_run import SMALL, configure, fingerprint, stable_log

from sagan import files
from sagan.config import Runtime, TrainingConfig
from sagan.data import load_dataset
from sagan.runs.log import read_records
from sagan.runs.run import Run
from sagan.training import curves, train
from sagan.training import trainer as trainer_module

BATCH = 4
MOST_BYTES_PER_STEP = 100  # growth of memory; a leaked loss alone would be more
PLANTED = 0.5  # share of the kills that come at a call that writes, the others at a random time


def run_to(path, digits, steps):
    training = TrainingConfig(
        images=BATCH * steps, batch_size=BATCH, g_lr=1e-4, d_lr=1e-4,
        log_every=20 * BATCH, snapshot_every=100 * BATCH, keep=2,
    )  # fmt: skip
    config = configure(SMALL, training)
    return train(config, Run(path), digits, runtime=Runtime(device="cpu"), progress=False)


def in_a_child(path, digits, steps, *, dies_at=0):
    """Train in a process of its own; with `dies_at` it kills itself at that call of fsync."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        if dies_at:
            real, calls = os.fsync, []

            def fsync(descriptor):
                calls.append(1)
                if len(calls) == dies_at:
                    os.kill(os.getpid(), signal.SIGKILL)
                real(descriptor)

            files.os.fsync = fsync
        run_to(path, digits, steps)
        code = 0
    finally:
        os._exit(code)


def soak(folder, digits, steps, kills, seed):
    """Kill a run so many times; return how it differs from one that is not killed."""
    dice = random.Random(seed)
    began = time.monotonic()
    assert os.waitpid(in_a_child(folder / "unbroken", digits, steps), 0)[1] == 0
    whole_sec = time.monotonic() - began
    planted = at_random = ended = 0
    while True:
        left = kills - planted - at_random
        plant = left > 0 and dice.random() < PLANTED
        child = in_a_child(
            folder / "killed", digits, steps, dies_at=dice.randint(1, 40) if plant else 0
        )
        if left > 0 and not plant:
            # long enough to get on, on average, by a kills-th part of the run
            time.sleep(dice.uniform(0, 2 * whole_sec / kills))
            os.kill(child, signal.SIGKILL)
        status = os.waitpid(child, 0)[1]
        if os.WIFSIGNALED(status):
            planted, at_random = planted + plant, at_random + (not plant)
        elif os.WEXITSTATUS(status):
            return f"a resumed run failed after {planted + at_random} kills"
        else:
            ended += 1
            if left <= 0 or ended > 1:
                break
    print(f"{steps} steps, killed {at_random} times at random and {planted} where it writes")
    if fingerprint(folder / "killed") != fingerprint(folder / "unbroken"):
        return "the weights differ"
    if stable_log(folder / "killed") != stable_log(folder / "unbroken"):
        return "the logs differ"
    rollbacks = sum(r["kind"] == "rollback" for r in read_records(folder / "killed/log.jsonl"))
    return f"{rollbacks} rollbacks" if rollbacks else ""


def flatness(folder, digits, steps):
    """Memory in bytes and open files, by step; sampled 200 times.

    Through the first fifth, which fills caches, curves are drawn at each snapshot: left to itself
    the first is drawn after a minute or two, and the library for it, 34 MB, would look like a leak.
    What was freed is given back before each sample: to draw, the log is read whole, and room for
    the longest would stay.
    """
    seen = []
    libc = ctypes.CDLL(None)
    update = trainer_module.Trainer._update

    def sampled(self):
        update(self)
        if self.state.step == steps // 5:
            curves._SHARE = share
        if self.state.step % max(1, steps // 200) == 0:
            self.saver.wait()  # a checkpoint that is being written has its copy and its files
            libc.malloc_trim(0)
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            memory = pages * os.sysconf("SC_PAGESIZE")
            seen.append((self.state.step, memory, len(os.listdir("/proc/self/fd"))))

    trainer_module.Trainer._update, share = sampled, curves._SHARE
    curves._SHARE = 1.0
    try:
        run_to(folder / "long", digits, steps)
    finally:
        trainer_module.Trainer._update, curves._SHARE = update, share
    return np.array(seen, np.float64)


def slope(steps, values):
    """Of a robust line: the median of the slopes between points half the range apart."""
    half = len(steps) // 2
    return float(np.median((values[half:] - values[: len(values) - half])
                           / (steps[half:] - steps[: len(steps) - half])))  # fmt: skip


def main():
    parser = argparse.ArgumentParser(prog="./dev soak", description=__doc__)
    parser.add_argument("--steps", type=int, default=3_000, help="of the run that is killed")
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--long", type=int, default=10_000, help="steps in one piece")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    digits = load_dataset("digits", resolution=8)
    wrong = []
    with tempfile.TemporaryDirectory() as folder:
        if given.kills:
            differs = soak(Path(folder), digits, given.steps, given.kills, given.seed)
            print(f"against the unbroken run: {differs or 'bit-equal, the log too'}", flush=True)
            wrong += [differs] if differs else []
        if given.long:
            seen = flatness(Path(folder), digits, given.long)[40:]
            memory, opened = (slope(seen[:, 0], seen[:, k]) for k in (1, 2))
            print(f"{given.long} steps: memory {seen[0, 1] / 1e6:.1f} -> {seen[-1, 1] / 1e6:.1f} MB"
                  f" ({memory:+.1f} bytes a step), open files {seen[0, 2]:.0f} -> "
                  f"{seen[-1, 2]:.0f} ({1000 * opened:+.2f} in 1,000 steps)")  # fmt: skip
            wrong += ["memory grows"] if memory > MOST_BYTES_PER_STEP else []
            wrong += ["open files grow"] if 1000 * opened > 0.1 else []
    for line in wrong:
        print(f"wrong: {line}", file=sys.stderr)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
