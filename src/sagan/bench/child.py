"""Programs that candidates run as processes of their own."""

import os
import subprocess
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
