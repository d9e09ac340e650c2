"""A run's identity, in `run.json` and in each of its checkpoints: none is taken for another's."""

import json
import uuid
from collections.abc import Iterable
from pathlib import Path

from sagan.errors import CheckpointError
from sagan.files import parse_json, write_atomically
from sagan.runs.checkpoint import Checkpoint, open_checkpoint

FILE = "run.json"


def read_identity(run: Path) -> str:
    """A run's identity; empty in a run older than these, or where the file is damaged."""
    try:
        values = parse_json((run / FILE).read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return ""
    identity = values.get("id") if isinstance(values, dict) else None
    return identity if isinstance(identity, str) else ""


def identity_fault(run: Path) -> str:
    """What is wrong with the file of a run's identity, or nothing; older runs have none."""
    if read_identity(run) or not (run / FILE).exists():
        return ""
    return f"{FILE} is damaged, so checkpoints of other runs cannot be told from its own"


def keep_identity(run: Path, checkpoints: Iterable[Path]) -> None:
    """Give a run an identity if it has none: that of its newest checkpoint, or a new one."""
    if read_identity(run):
        return
    write_atomically(run / FILE, json.dumps({"id": _of_newest(checkpoints)}).encode() + b"\n")


def _of_newest(checkpoints: Iterable[Path]) -> str:
    for path in sorted(checkpoints, reverse=True):
        try:
            manifest = open_checkpoint(path).manifest
        except (CheckpointError, ValueError):
            continue
        if manifest.get("run"):
            return str(manifest["run"])
    return uuid.uuid4().hex


def check_belongs(checkpoint: Checkpoint, identity: str) -> Checkpoint:
    """Raise CheckpointError for a checkpoint of another run, or of another step than its name's."""
    other = checkpoint.manifest.get("run", "")
    if identity and other and other != identity:
        raise CheckpointError(
            f"{checkpoint.path} is a checkpoint of another run ({other[:8]}, not {identity[:8]}); "
            "take it out, or begin a run from it with --init"
        )
    if checkpoint.path.name != f"step-{checkpoint.step:08d}":
        raise CheckpointError(f"{checkpoint.path} holds step {checkpoint.step}: it was renamed")
    return checkpoint
