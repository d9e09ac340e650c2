"""A run from weights that were trained elsewhere, written wholly or not at all."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from sagan.config import RunConfig
from sagan.files import TEMPORARY, check_above, sync_folder
from sagan.runs.log import append_records
from sagan.runs.run import Run


def check_new(out: Path) -> None:
    """Raise ValueError unless a folder is empty, or new and can be made."""
    check_above(out)
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise ValueError(f"{out} exists already: name a new run folder")


def write_whole(
    out: Path,
    config: RunConfig,
    tensors: Mapping[str, Mapping[str, Tensor]],
    facts: Mapping[str, Any],
) -> Run:
    """Write the run under a temporary name, and rename it once it is whole.

    Args:
        out: its folder, new or empty.
        tensors: of each file of its only checkpoint, of step 0.
        facts: where it is from, for its log and its manifest.
    """
    out = out.absolute()  # `.` has no name
    out.parent.mkdir(parents=True, exist_ok=True)
    run = Run(out.with_name(f"{TEMPORARY}{out.name}"))
    shutil.rmtree(run.path, ignore_errors=True)
    try:
        run.write_config(config)
        run.save(0, tensors, config=config, keep=1, facts={"images": 0, "imported": facts})
        append_records(run.log_path, {"kind": "import", "step": 0, "images": 0, **facts})
        sync_folder(run.path)
        os.replace(run.path, out)
    except BaseException:
        shutil.rmtree(run.path, ignore_errors=True)
        raise
    sync_folder(out.parent)
    return Run(out)
