"""The peak memory of one candidate, in a process of its own: a process's peak never falls.

python -m sagan.bench.memory CASE LABEL CANDIDATE SCALE THREADS
"""

import sys
from pathlib import Path

_CALLS = 2  # the second one has gradients and optimiser moments in place


def peak_bytes() -> int | None:
    """This process's largest resident size so far."""
    # not getrusage, whose figure a new process inherits from its parent
    status = Path("/proc/self/status")
    if not status.is_file():
        return None
    for line in status.read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return None


def main(case: str, label: str, name: str, scale: str, threads: str) -> None:
    """Find the candidate, run it, and print the peak."""
    import torch

    from sagan.bench.cases import CASES

    torch.set_num_threads(int(threads))
    (comparison,) = (c for c in CASES[case](scale) if c.label == label)  # type: ignore[arg-type]
    (candidate,) = (c for c in comparison.candidates if c.name == name)
    call = candidate.prepare()
    for _ in range(_CALLS):
        call()
    print(peak_bytes())


if __name__ == "__main__":
    main(*sys.argv[1:])
