"""Running an experiment: plan first, then every run, each in a process of its own."""

import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sagan.ablation.arms import parse_arms
from sagan.ablation.fairness import check_seeds, smallest_p
from sagan.ablation.protocol import (
    BUSY,
    Plan,
    is_done,
    make_plan,
    metric_keys,
    read_plan,
    run_folder,
    source_commit,
)
from sagan.ablation.report import report_on
from sagan.ablation.seeds import parse_only, parse_seeds
from sagan.config.duration import in_words
from sagan.devices import pick_device, usable_cores

_WORKER = (sys.executable, "-m", "sagan.ablation.worker")
_POLL_SEC = 0.5
_SAVE_SEC = 120  # how long a run may take to save when it is stopped


@dataclass
class Experiment:
    """How a call of `ablate` ended."""

    path: Path
    plan: Plan
    done: list[tuple[str, int]] = field(default_factory=list)  # arm and seed
    left: list[tuple[str, int]] = field(default_factory=list)
    failed: dict[tuple[str, int], str] = field(default_factory=dict)  # the reason
    verdict: str = ""
    exit_code: int = 0


def ablate(
    out: str | os.PathLike[str],
    *,
    options: Mapping[str, Any] | None = None,
    arms: str | None = None,
    seeds: int | str | None = None,
    metrics: str | None = None,
    num: int | None = None,
    curve_num: int | None = None,
    underpowered: bool = False,
    only: str | None = None,
    until_sec: float | None = None,
    jobs: int | None = None,
    device: str = "auto",
    progress: bool = True,
) -> Experiment:
    """Begin an experiment or go on with it, as `sagan ablate` does.

    Args:
        out: its folder. `plan.json` is written first, and is not changed later.
        options: of `sagan train`, by name, for all arms.
        arms: names with commas between them; by default none,attention,residual.
        seeds: how many runs of each arm, 8 by default; or which seeds, as `8-23`.
        metrics: of each snapshot, the first decides; by default structure lift where there is a
            checker, else cas,fd:own with classes and fd:pixel without.
        num, curve_num: images scored at the end (10,000 by default) and of each snapshot (2,000).
        underpowered: allow fewer seeds than can reach p = .05.
        only: seeds to run now, as `0-3` or `5`; None for all.
        until_sec: stop after so many seconds, saved.
        jobs: runs side by side, each on one core; by default as many as there are cores.
        device: `auto`, `cpu`, `cuda` or `mps`.
        progress: on stderr.

    Returns:
        Which runs are done, left and failed, and the verdict, with which the report on the runs
        that are done begins.

    Raises:
        ValueError: options contradict each other or the plan.
        OSError: something could not be read or written.
    """
    path = Path(out)
    if path.exists() and not path.is_dir():
        raise ValueError(f"{path} is a file, not a folder for an experiment")
    jobs = usable_cores() if jobs is None else jobs
    if jobs < 1:
        raise ValueError(f"--jobs must be at least 1, not {jobs}")
    given: dict[str, Any] = {
        "options": dict(options or {}),
        "arms": arms,
        "seeds": seeds,
        "metrics": metrics,
        "num": num,
        "curve_num": curve_num,
    }

    def say(line: str) -> None:
        if progress:
            print(line, file=sys.stderr, flush=True)

    plan = read_plan(path)
    if plan is None:
        if path.exists() and any(path.iterdir()):
            raise ValueError(f"{path} is not an experiment, and not empty: name another folder")
        plan = make_plan(
            **given, underpowered=underpowered, device=pick_device(device), progress=progress
        )
        parse_only(only, plan.seed_numbers)  # refused before anything is written
        plan.write(path)
        say(f"{path / 'plan.json'} is written and will not change.")
        if (least := smallest_p(plan.seeds, len(plan.secondary))) > 0.05:
            say(
                f"With {plan.seeds} seeds and {len(plan.secondary)} secondary tests Holm cannot go "
                f"below p = {least:.2g}: they can only describe."
            )
    else:
        check_same(path, plan, given)
        check_seeds(plan.seeds, plan.underpowered)
        if plan.made_with["commit"] != (commit := source_commit()):
            say(f"The plan was made with commit {plan.made_with['commit'] or '-'}, not {commit}.")
    queue = [(arm, s) for s in parse_only(only, plan.seed_numbers) for arm in plan.arms]
    device = pick_device(device)
    experiment = _Scheduler(path, plan, queue, jobs, device, say).run(until_sec)
    if experiment.done and not experiment.exit_code:
        experiment.verdict = report_on(path, plan, failed=experiment.failed, device=device, say=say)
        say(f"The report is in {path / 'report.md'} and report.html.")
    return experiment


def check_same(path: Path, plan: Plan, given: Mapping[str, Any]) -> None:
    """Raise ValueError, naming what differs, if something else is asked for than was planned."""
    old: dict[str, Any] = {**plan.options}
    new: dict[str, Any] = {**given["options"]}
    if new.get("precision") == "auto":  # which the plan has settled, for every machine
        del new["precision"]
    for name, read in (("arms", parse_arms), ("metrics", metric_keys)):
        if given[name] is not None:
            old[name], new[name] = ",".join(getattr(plan, name)), ",".join(read(given[name]))
    for name in ("num", "curve_num"):
        if given[name] is not None:
            old[name], new[name] = getattr(plan, name), given[name]
    if given["seeds"] is not None:
        numbers = plan.seed_numbers, parse_seeds(given["seeds"])
        old["seeds"], new["seeds"] = (
            f"{n.start}-{n.stop - 1}" if n.start else len(n) for n in numbers
        )
    found = [f"{k}: {old.get(k, 'left out')} -> {v}" for k, v in new.items() if old.get(k) != v]
    if found:
        raise ValueError(
            f"{path} was planned otherwise ({'; '.join(found)}), and a plan does not change once "
            "it is written: leave these options out, or name another folder"
        )


class _Scheduler:
    """Keeps `jobs` processes busy with the runs of a queue."""

    def __init__(
        self,
        path: Path,
        plan: Plan,
        queue: Sequence[tuple[str, int]],
        jobs: int,
        device: str,
        say: Callable[[str], None],
    ) -> None:
        self._path, self._plan, self._jobs, self._device, self._say = path, plan, jobs, device, say
        self._experiment = Experiment(path, plan)
        self._queue = deque(pair for pair in queue if not is_done(path, *pair))
        self._running: dict[tuple[str, int], tuple[subprocess.Popen[bytes], float]] = {}
        self._stop = 0
        self._took_sec: list[float] = []

    def run(self, until_sec: float | None) -> Experiment:
        deadline = time.monotonic() + until_sec if until_sec is not None else float("inf")
        before = {n: signal.signal(n, self._note) for n in (signal.SIGINT, signal.SIGTERM)}
        try:
            while (self._queue or self._running) and not self._stop:
                if time.monotonic() > deadline:
                    self._say("The time is up.")
                    break
                while self._queue and len(self._running) < self._jobs:
                    self._start(self._queue.popleft())
                time.sleep(_POLL_SEC)
                self._collect()
        finally:
            self._end_all()
            for number, handler in before.items():
                signal.signal(number, handler)
        found = self._experiment
        for seed in self._plan.seed_numbers:
            for arm in self._plan.arms:
                done = is_done(self._path, arm, seed)
                (found.done if done else found.left).append((arm, seed))
        found.exit_code = 128 + self._stop if self._stop else 0
        return found

    def _note(self, number: int, _frame: Any) -> None:
        self._stop = number

    def _start(self, pair: tuple[str, int]) -> None:
        arm, seed = pair
        folder = run_folder(self._path, arm, seed)
        folder.mkdir(parents=True, exist_ok=True)
        command = [*_WORKER, str(self._path), arm, str(seed)]
        threads = {name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
        with open(folder / "worker.log", "ab") as log:
            process = subprocess.Popen(
                [*command, self._device],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env={**os.environ, **threads},
                start_new_session=True,  # Ctrl-C reaches it through this process alone
            )
        self._running[pair] = process, time.monotonic()

    def _collect(self) -> None:
        for pair, (process, began) in list(self._running.items()):
            code = process.poll()
            if code is None:
                continue
            del self._running[pair]
            _close(process)
            name, took_sec = "-".join(map(str, pair)), time.monotonic() - began
            if code == BUSY:
                self._say(f"{name}: another process is at it.")
            elif code:
                self._experiment.failed[pair] = reason = self._reason(pair, code)
                self._say(f"{name}: failed: {reason}")
            else:
                self._took_sec.append(took_sec)
                self._say(f"{name}: done in {in_words(took_sec)}.{self._left()}")

    def _left(self) -> str:
        count = len(self._queue) + len(self._running)
        if not count:
            return ""
        mean_sec = sum(self._took_sec) / len(self._took_sec)
        return f" {count} left, about {in_words(count * mean_sec / self._jobs)}."

    def _reason(self, pair: tuple[str, int], code: int) -> str:
        log = run_folder(self._path, *pair) / "worker.log"
        said = log.read_text(errors="replace").strip().splitlines() if log.is_file() else []
        return said[-1] if said and code > 0 else f"exit code {code}"

    def _end_all(self) -> None:
        """Let the running ones save and stop."""
        for process, _ in self._running.values():
            process.terminate()
        for pair, (process, _) in self._running.items():
            try:
                process.wait(_SAVE_SEC)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                self._say(f"{'-'.join(map(str, pair))}: did not stop, and was ended.")
            _close(process)
        self._running.clear()


def _close(process: "subprocess.Popen[bytes]") -> None:
    if process.stdin is not None:
        process.stdin.close()
