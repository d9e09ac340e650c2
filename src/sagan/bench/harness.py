"""Timing candidates side by side on a shared machine.

The candidates of a comparison take turns, each round in another order, so that what slows the
machine slows them all. The result has each one's median and quartiles, and the median over the
rounds of its ratio to the first candidate, the baseline. Processor time is reported beside wall
time: it excludes waiting for a core that others hold. The rate of a matrix product, measured in the
same rounds, is the upper bound for any network.
"""

import atexit
import datetime
import functools
import os
import platform
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch

from sagan.bench.child import peak_of_child
from sagan.config import Precision
from sagan.models.estimate import measure_flop_per_sec
from sagan.version import __version__

Scale = Literal["tiny", "quick", "full"]  # tiny is for tests: does it run at all?

_MIN_SEC = {"tiny": 0.0, "quick": 0.05, "full": 0.2}  # of one turn; short calls are repeated
_MATRIX_SEC = 0.05


class Skip(Exception):
    """Raised by `prepare` if a candidate cannot run here; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One way to do a comparison's work."""

    name: str  # unique within its comparison
    # returns the call to time, which must hold no more memory than the work itself needs
    prepare: Callable[[], Callable[[], object]]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The same work done by several candidates."""

    label: str  # unique within its case
    candidates: Sequence[Candidate]  # the first is the baseline
    parameters: Mapping[str, int | float | str] = field(default_factory=dict)  # for tables, plots
    items: int = 0  # images or the like in one call; 0 reports no rate
    flop: int = 0  # that one call needs at least; 0 reports no utilisation
    memory: bool = False  # measure each candidate's peak, in a process of its own
    device: str = "cpu"  # on `cuda`, calls synchronise, and GPU memory is always measured
    precision: Precision = "float32"  # of the matrix product measured alongside
    # looks at the baseline's call after the timing; its result is stored as `profile`
    look: Callable[[Callable[[], object]], Mapping[str, Any]] | None = None


Case = Callable[[Scale], list[Comparison]]  # cheap to call: the work is in `prepare`


def compare(comparison: Comparison, *, rounds: int, scale: Scale) -> dict[str, Any]:
    """Time a comparison's candidates in turns, `rounds` each, after a warm-up."""
    # Each candidate gets `_summary`'s numbers; `speedup` is over the baseline, the first candidate
    # that can run here, and `mfu` a share of the matrix product's rate. One that cannot run has
    # `skipped`.
    prepared = [_prepare(c, comparison.device, _MIN_SEC[scale]) for c in comparison.candidates]
    ready = [p for p in prepared if isinstance(p, _Ready)]
    times: list[list[_Time]] = [[] for _ in ready]
    matrix: list[float] = []
    for turn in range(rounds if ready else 0):
        matrix.append(
            measure_flop_per_sec(
                comparison.device,
                seconds=_MATRIX_SEC if scale != "tiny" else 1e-6,
                precision=comparison.precision,
            )
        )
        for i in range(len(ready)):
            which = (turn + i) % len(ready)
            times[which].append(_time(ready[which].call, ready[which].repeats))
    peak = statistics.median(matrix) if matrix else 0.0
    mine = iter(times)
    result: dict[str, Any] = {
        "label": comparison.label,
        "parameters": dict(comparison.parameters),
        "matrix_flop_per_sec": peak,
        "candidates": [
            {"name": candidate.name, "skipped": str(p)}
            if isinstance(p, Skip)
            else _summary(candidate.name, next(mine), times[0], comparison, peak) | p.facts
            for candidate, p in zip(comparison.candidates, prepared, strict=True)
        ],
    }
    if ready and comparison.look is not None:
        result["profile"] = dict(comparison.look(ready[0].call))
    return result


class _Ready(NamedTuple):
    call: Callable[[], object]
    repeats: int
    facts: dict[str, Any]


def _prepare(candidate: Candidate, device: str, min_sec: float) -> _Ready | Skip:
    """Build a candidate and warm it up, measuring its GPU memory."""
    before = 0
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()  # held by earlier candidates
    try:
        call = candidate.prepare()
    except Skip as skip:
        return skip.with_traceback(None)  # the traceback would keep what was built alive
    repeats = _repeats(call, min_sec)
    if device == "cuda":
        peak = torch.cuda.max_memory_allocated() - before
        return _Ready(call, repeats, {"peak_bytes": peak})
    return _Ready(call, repeats, {})


class _Time(NamedTuple):
    wall_sec: float
    cpu_sec: float


def _time(call: Callable[[], object], repeats: int) -> _Time:
    start, cpu_start = time.perf_counter(), _cpu_sec()
    for _ in range(repeats):
        call()
    return _Time((time.perf_counter() - start) / repeats, (_cpu_sec() - cpu_start) / repeats)


def _cpu_sec() -> float:
    """Processor time so far, of this process and its finished children."""
    children = os.times()
    return time.process_time() + children.children_user + children.children_system


def _repeats(call: Callable[[], object], min_sec: float) -> int:
    """Warm a call up, and return how often a turn repeats it."""
    if _time(call, 1).wall_sec >= min_sec:
        return 1
    return max(1, round(min_sec / max(_time(call, 1).wall_sec, 1e-9)))


def _summary(
    name: str, mine: list[_Time], baseline: list[_Time], comparison: Comparison, peak: float
) -> dict[str, Any]:
    walls = [m.wall_sec for m in mine]
    speedups = [b.wall_sec / m.wall_sec for b, m in zip(baseline, mine, strict=True)]
    cpu_speedups = [b.cpu_sec / max(m.cpu_sec, 1e-9) for b, m in zip(baseline, mine, strict=True)]
    median_sec = statistics.median(walls)
    summary: dict[str, Any] = {
        "name": name,
        "median_sec": median_sec,
        "quartiles_sec": _quartiles(walls),
        "speedup": statistics.median(speedups),
        "speedup_quartiles": _quartiles(speedups),
        "cpu_sec": statistics.median(m.cpu_sec for m in mine),
        "cpu_speedup": statistics.median(cpu_speedups),
    }
    if comparison.items:
        summary["items_per_sec"] = comparison.items / median_sec
    if comparison.flop:
        summary["mfu"] = comparison.flop / median_sec / peak
    return summary


def _quartiles(values: list[float]) -> list[float]:
    if len(values) < 2:
        return [values[0], values[0]]
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return [low, high]


def run_case(name: str, case: Case, *, rounds: int, scale: Scale) -> Iterator[dict[str, Any]]:
    """Run a case of `bench.cases.CASES`, memory included, and yield its comparisons' results."""
    for comparison in case(scale):
        result = compare(comparison, rounds=rounds, scale=scale)
        if comparison.memory:
            for candidate in (c for c in result["candidates"] if "skipped" not in c):
                candidate["peak_bytes"] = peak_of_child(
                    name, comparison.label, candidate["name"], scale, torch.get_num_threads()
                )
        yield result


@functools.cache
def workplace() -> Path:
    """A temporary folder for candidates' files, removed at exit."""
    folder = Path(tempfile.mkdtemp(prefix="sagan-bench-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def table(result: Mapping[str, Any]) -> str:
    """Format one comparison's result as text."""
    lines = [
        f"{result['label']}  (matrix product: {result['matrix_flop_per_sec'] / 1e9:.0f} GFLOP/s)"
    ]
    for c in result["candidates"]:
        if "skipped" in c:
            lines.append(f"  {c['name']:<24} skipped: {c['skipped']}")
            continue
        low, high = c["quartiles_sec"]
        line = (
            f"  {c['name']:<24} {1e3 * c['median_sec']:>10.2f} ms "
            f"({1e3 * low:.2f} to {1e3 * high:.2f})  {c['speedup']:>6.2f}x"
            f"  CPU {c['cpu_speedup']:>6.2f}x"
        )
        if "items_per_sec" in c:
            line += f"  {c['items_per_sec']:>9.1f}/s"
        if "mfu" in c:
            line += f"  MFU {100 * c['mfu']:>3.0f} %"
        if c.get("peak_bytes") is not None:
            line += f"  {c['peak_bytes'] / 1e6:>7.0f} MB"
        lines.append(line)
    return "\n".join(lines)


def environment() -> dict[str, Any]:
    """Describe what a result was measured on: hardware, versions, threads, load and date."""
    return {
        "date": datetime.date.today().isoformat(),
        "cpu": _cpu_name(),
        "cpu_features": torch.backends.cpu.get_cpu_capability(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "sagan": __version__,
    }


def _cpu_name() -> str:
    """The processor's name, as far as the system reports it."""
    facts = Path("/proc/cpuinfo")
    if facts.is_file():
        for line in facts.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
