"""Benchmarks: the system beside the literal form of the code that the article quotes.

`sagan bench` runs them; `docs/speed.md` shows what they measured, and how.
"""

from sagan.bench.harness import (
    Candidate,
    Case,
    Comparison,
    Scale,
    compare,
    environment,
    run_case,
    table,
)

__all__ = [
    "Candidate",
    "Case",
    "Comparison",
    "Scale",
    "compare",
    "environment",
    "run_case",
    "table",
]
