"""Programs that candidates run as processes of their own."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence


def output_of(
    command: Sequence[str], what: str, *, environment: Mapping[str, str] | None = None
) -> str:
    """Run a program to its end and give its stdout.

    Args:
        command: the program and its arguments.
        what: it is, for messages.
        environment: variables to set beside those there are.

    Raises:
        ChildProcessError: it failed; the message is the last line of what it said.
    """
    variables = {**os.environ, **(environment or {})}
    done = subprocess.run(command, capture_output=True, text=True, env=variables)
    if done.returncode:
        said = done.stderr.strip().splitlines()
        reason = said[-1] if said else f"exit code {done.returncode}; too little memory, perhaps"
        raise ChildProcessError(f"{what} failed in its own process: {reason}")
    return done.stdout


def peak_of_child(case: str, label: str, candidate: str, scale: str, threads: int) -> int | None:
    """Run a candidate twice in a new process; give that process's peak resident size in bytes.

    Everything is in it, the interpreter and PyTorch too (some 300 MB).

    Returns:
        Bytes, or None where the system does not tell.

    Raises:
        ChildProcessError: it failed; the message is the last line of what it said.
    """
    command = [sys.executable, "-m", "sagan.bench.memory", case, label, candidate, scale]
    peak = output_of([*command, str(threads)], f"{case}, {label}: {candidate}").split()[-1]
    return int(peak) if peak.isdecimal() else None
