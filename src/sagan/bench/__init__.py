"""Benchmarks: this package against the literal form of the code that the article quotes.

`sagan bench` runs them; docs/speed.md has the results and the method.
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
