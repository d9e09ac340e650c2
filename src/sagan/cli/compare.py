"""`sagan compare`."""

import json
import sys
from pathlib import Path
from typing import Literal


def compare(
    *runs: Path,
    out: Path | None = None,
    seed: int = 0,
    weights: Literal["ema", "raw"] = "ema",
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
) -> None:
    """Put runs beside each other: JSON on stdout, a table on stderr.

    The scores are the newest that sagan evaluate made, and the best while training.

    Parameters
    ----------
    runs
        Two or more run folders.
    out
        Folder for curves.png (losses and scores over each other), samples.png (the same
        seeds and classes of each run) and comparison.json.
    seed
        Seed of the first sample.
    weights
        Averaged or raw weights, for the samples.
    device
        Compute device.
    """
    from sagan.runs.place import locate

    for run in runs:
        locate(run).require("run")  # refused before anything heavy is imported
    from sagan.evaluation.compare_runs import compare_runs
    from sagan.evaluation.score_tables import comparison_table

    comparison = compare_runs(runs, out=out, seed=seed, weights=weights, device=device)
    print(comparison_table(comparison), file=sys.stderr)
    print(json.dumps(comparison.to_dict()))
