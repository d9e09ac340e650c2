"""One run of an experiment in a process of its own: train it, score it, keep what is needed.

    python -m sagan.ablation.worker OUT ARM SEED DEVICE

Exit codes as of `sagan train`, and 75 if another process is at this run. When its stdin ends, the
process that started it is gone: then it saves and stops.
"""

import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import filelock

from sagan.ablation.manipulations import check_run
from sagan.ablation.protocol import BUSY, read_plan, run_folder
from sagan.ablation.scoring import score_run
from sagan.config import RunConfig, Runtime
from sagan.data import load_dataset
from sagan.errors import CheckpointError, TrainingFailure
from sagan.runs.checkpoint import keep_only, open_checkpoint
from sagan.runs.log import append_records
from sagan.runs.run import Run
from sagan.text import one_line
from sagan.training.loop import TrainResult, train


def work(out: Path, arm: str, seed: int, device: Any) -> int:
    """Train, score and thin out one run; the exit code."""
    plan, folder = read_plan(out), run_folder(out, arm, seed)
    assert plan is not None
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with filelock.FileLock(folder / ".ablate.lock", timeout=0):
            wall, cpu = time.monotonic(), time.process_time()
            result = _train(plan.run_config(arm, seed), Run(folder), device)
            wall, cpu = time.monotonic() - wall, time.process_time() - cpu
            cost = {"images": result.images, "wall_sec": round(wall, 3), "cpu_sec": round(cpu, 3)}
            append_records(folder / "cost.jsonl", cost)
            if result.exit_code:
                return result.exit_code
            run = Run(folder)
            score_run(plan, run, device=device)
            check_run(plan, run, device=device)
            for path in run.checkpoint_paths()[:-1]:
                keep_only(open_checkpoint(path), "ema")
            (folder / "done").touch()
    except filelock.Timeout:
        return BUSY
    return 0


def _train(config: RunConfig, run: Run, device: Any) -> TrainResult:
    """Train as planned, whatever presets have become since; data that have changed are refused."""
    data = config.data
    dataset = load_dataset(
        data.source,
        resolution=config.network.resolution,
        channels=config.network.channels,
        background=data.background,
        crop=data.crop,
        rules=data.rules,
    )
    if dataset.fingerprint != data.fingerprint:
        raise ValueError(
            f"{data.source} has changed since the plan was made (fingerprint "
            f"{data.fingerprint[:12]} -> {dataset.fingerprint[:12]}): put the same pictures back"
        )
    return train(config, run, dataset, runtime=Runtime(device=device), progress=False)


def _stop_without_parent() -> None:
    os.read(0, 1)  # sys.stdin would have a lock, which the end of the program needs
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> int:
    """Run the command line above."""
    out, arm, seed, device = sys.argv[1:]
    threading.Thread(target=_stop_without_parent, daemon=True).start()
    try:
        return work(Path(out), arm, int(seed), device)
    except (ValueError, CheckpointError, TrainingFailure, OSError) as error:
        print(one_line(error), file=sys.stderr)
        return 2 if isinstance(error, ValueError) else 1


if __name__ == "__main__":
    sys.exit(main())
