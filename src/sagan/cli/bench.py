"""`sagan bench`."""

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

_ROUNDS = {True: 3, False: 7}  # quick or not


def bench(
    *names: str,
    rounds: int | None = None,
    threads: int = 0,
    quick: Annotated[bool, Parameter(negative=())] = False,
    out: Path | None = None,
) -> None:
    """Measure speed and memory side by side; JSON on stdout, tables on stderr.

    Each case runs the system and the literal form of the code that the article
    quotes in turns, and reports medians and ratios. `device` measures training
    on this machine's GPU, or its CPU where it has none: rates, memory and
    kernels by size and precision.

    Parameters
    ----------
    names
        Cases: attention, spectral, step, sampling, opening, data, scaling, device; by default all.
    rounds
        Rounds per candidate; by default 7, with --quick 3.
    threads
        CPU threads; 0: PyTorch's own choice.
    quick
        Measure few and small sizes.
    out
        Folder for one file per case, named by case, date and hardware.
    """
    rounds = _ROUNDS[quick] if rounds is None else rounds
    if rounds < 1:
        raise ValueError(f"--rounds must be at least 1, not {rounds}")
    if threads < 0:
        raise ValueError(f"--threads must be 0 or more, not {threads}")
    if out is not None and out.exists() and not out.is_dir():
        raise ValueError(f"--out {out} is a file, not a folder")
    import torch

    from sagan.bench import environment, run_case, table
    from sagan.bench.cases import CASES
    from sagan.bench.device import summary

    for name in names:
        if name not in CASES:
            raise ValueError(f"unknown case {name!r}; choose from {', '.join(CASES)}")
    if threads:
        torch.set_num_threads(threads)
    facts = {**environment(), "rounds": rounds, "quick": quick}
    scale: Literal["quick", "full"] = "quick" if quick else "full"
    results: dict[str, list[Any]] = {}
    for name in dict.fromkeys(names or CASES):
        results[name] = []
        for result in run_case(name, CASES[name], rounds=rounds, scale=scale):
            print(table(result), file=sys.stderr, flush=True)
            results[name].append(result)
            if out is not None:  # after each, so that an interrupted run keeps its results
                _write(out, name, facts, results[name])
        if name == "device":
            print(summary(results[name]), file=sys.stderr, flush=True)
    print(json.dumps({"environment": facts, "cases": results}))


def _write(out: Path, name: str, facts: Mapping[str, Any], results: Any) -> None:
    out.mkdir(parents=True, exist_ok=True)
    measured_on = (facts["gpu"] if name == "device" else None) or facts["cpu"]
    hardware = re.sub(r"[^a-z0-9]+", "-", measured_on.lower()).strip("-") or "cpu"
    path = out / f"{name}-{facts['date']}-{hardware}-{facts['threads']}t.json"
    content = {"case": name, "environment": facts, "comparisons": results}
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
