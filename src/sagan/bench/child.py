"""Candidates that run in a process of their own."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence


def output_of(
    command: Sequence[str], what: str, *, environment: Mapping[str, str] | None = None
) -> str:
    """Run a program, `what` in messages, and return its stdout; ChildProcessError if it fails."""
    variables = {**os.environ, **(environment or {})}
    done = subprocess.run(command, capture_output=True, text=True, env=variables)
    if done.returncode:
        said = done.stderr.strip().splitlines()
        reason = said[-1] if said else f"exit code {done.returncode}; too little memory, perhaps"
        raise ChildProcessError(f"{what} failed in its own process: {reason}")
    return done.stdout


def peak_of_child(case: str, label: str, candidate: str, scale: str, threads: int) -> int | None:
    """Peak resident bytes of a candidate run twice in a new process; None if not reported."""
    # includes the interpreter and PyTorch (some 300 MB)
    command = [sys.executable, "-m", "sagan.bench.memory", case, label, candidate, scale]
    peak = output_of([*command, str(threads)], f"{case}, {label}: {candidate}").split()[-1]
    return int(peak) if peak.isdecimal() else None
