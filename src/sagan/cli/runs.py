"""`sagan runs`."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

if TYPE_CHECKING:
    from sagan.runs.inspect import Inspection


def runs(
    run: Path,
    /,
    *,
    verify: Annotated[bool, Parameter(negative=())] = False,
    repair: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """List a run's checkpoints, sound or not and why; JSON on stdout, a table on stderr.

    The exit code is 1 where something is wrong.

    Parameters
    ----------
    run
        A run's folder.
    verify
        Read every byte of every checkpoint, not manifests and sizes alone.
    repair
        Put right pointers, logs and what a killed save left; no checkpoint is removed.
    """
    from sagan.runs.place import locate

    locate(run).require("run")
    from sagan.runs.inspect import inspect
    from sagan.runs.run import Run

    found = inspect(Run(run), verify=verify, repair=repair)
    print(_table(found), file=sys.stderr)
    print(json.dumps(found.to_dict()))
    return 0 if found.is_sound else 1


def _table(found: "Inspection") -> str:
    rows = [("step", "images", "px", "score", "MB", "", "")]
    for c in found.checkpoints:
        value = c.score["value"] if c.score else None
        score = f"{c.score['metric']} {value:.4g}" if c.score and value is not None else ""
        size = f"{c.n_bytes / 1e6:.1f}"
        images = "" if c.images is None else f"{c.images:,}"
        state = c.fault or ("sound" if found.verified else "sizes are right")
        marks = ", ".join(c.pointers)
        rows.append((c.name, images, str(c.resolution or ""), score, size, marks, state))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    lines += [f"repaired: {what}" for what in found.repaired]
    lines += [f"wrong: {what}" for what in found.faults]
    if found.faults and not found.repaired:
        lines.append("--repair puts right pointers, logs and leftovers")
    return "\n".join(lines)
