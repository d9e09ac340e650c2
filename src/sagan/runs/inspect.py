"""What a run's folder holds, what is wrong with it, and how that is put right."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, cast

from sagan.errors import CheckpointError
from sagan.files import DOOMED, TEMPORARY, append_durably, write_atomically
from sagan.runs.identity import identity_fault, keep_identity, read_identity
from sagan.runs.log import read_lines, rewrite_records
from sagan.runs.run import Run
from sagan.text import one_line

_LOGS = ("log.jsonl", "evaluations.jsonl")
_POINTERS = ("latest", "best")


@dataclass(frozen=True)
class Listed:
    """A checkpoint, as far as it can be read."""

    name: str
    step: int | None  # generator steps; None if the manifest cannot be read
    images: int | None  # real images shown to the discriminator
    resolution: int | None  # px; a growing run has several
    score: dict[str, Any] | None  # `metric`, `better` and `value`
    alarms: list[str]
    n_bytes: int
    pointers: list[str]  # `latest`, `best`
    fault: str  # empty if it is sound


@dataclass(frozen=True)
class Inspection:
    """A run's checkpoints, and what is wrong besides them."""

    run: Path
    identity: str
    verified: bool  # every byte read; else manifests and sizes alone
    checkpoints: list[Listed]
    faults: list[str]  # of pointers, logs and leftovers
    repaired: list[str]

    @property
    def is_sound(self) -> bool:
        """Whether nothing is wrong."""
        return not self.faults and not any(c.fault for c in self.checkpoints)

    def to_dict(self) -> dict[str, Any]:
        """Convert to the JSON values that `sagan runs` prints."""
        return {**asdict(self), "run": str(self.run), "sound": self.is_sound}


def inspect(run: Run, *, verify: bool = False, repair: bool = False) -> Inspection:
    """List a run's checkpoints and faults; `repair` puts right what can be, and says what it did.

    Raises:
        ValueError: its configuration cannot be read, or it is being trained while to be repaired.
        OSError: something could not be read or written.
    """
    run.config()
    repaired: list[str] = []
    if repair:
        with run.lock():
            repaired = list(_repair(run))
    checkpoints = [_listed(run, path, verify) for path in run.checkpoint_paths()]
    identity = filter(None, [identity_fault(run.path)])
    faults = [*identity, *_pointer_faults(run, checkpoints), *_log_faults(run), *_leftovers(run)]
    return Inspection(run.path, read_identity(run.path), verify, checkpoints, faults, repaired)


def _listed(run: Run, path: Path, verify: bool) -> Listed:
    pointers = [name for name in _POINTERS if run.pointed_to(name) == path]
    n_bytes = sum(file.stat().st_size for file in path.iterdir()) if path.is_dir() else 0
    try:
        checkpoint = run.open(path)
    except (CheckpointError, ValueError) as error:
        return Listed(path.name, None, None, None, None, [], n_bytes, pointers, one_line(error))
    fault = ""
    try:
        checkpoint.verify() if verify else checkpoint.check_sizes()
    except CheckpointError as error:
        fault = one_line(error)
    manifest = checkpoint.manifest
    return Listed(
        path.name,
        checkpoint.step,
        manifest.get("images"),
        checkpoint.config.network.resolution,
        manifest.get("score"),
        manifest.get("alarms", []),
        n_bytes,
        pointers,
        fault,
    )


def _pointer_faults(run: Run, checkpoints: list[Listed]) -> Iterator[str]:
    fault_of = {c.name: c.fault for c in checkpoints}
    for pointer in _POINTERS:
        path = run.pointed_to(pointer)
        if path is None:
            if pointer == "latest" and checkpoints:
                yield "latest is missing"
        elif path.name not in fault_of:
            yield f"{pointer} names {path.name}, which is not there"
        elif fault_of[path.name]:
            yield f"{pointer} names {path.name}, which is not sound"


def _log_faults(run: Run) -> Iterator[str]:
    for name in _LOGS:
        broken = sum(record is None for _, record in read_lines(run.path / name))
        if broken:
            yield f"{name} has {broken} broken {'line' if broken == 1 else 'lines'}"
        if _is_torn(run.path / name):
            yield f"{name} ends in the middle of a line"


def _is_torn(log: Path) -> bool:
    content = log.read_bytes() if log.is_file() else b""
    return bool(content) and not content.endswith(b"\n")


def _leftovers(run: Run) -> list[str]:
    folders = (run.path, run.path / "checkpoints")
    found = (p.name for f in folders for kind in (TEMPORARY, DOOMED) for p in f.glob(f"{kind}*"))
    return [f"{name} is left over from a save or removal that was cut short" for name in found]


def _repair(run: Run) -> Iterator[str]:
    for fault in _leftovers(run):
        yield f"removed: {fault}"
    run.remove_leftovers()
    identity_was_damaged = bool(identity_fault(run.path))
    keep_identity(run.path, run.checkpoint_paths())
    if identity_was_damaged:
        yield f"run.json was damaged; the run's identity is {read_identity(run.path)[:8]}"
    for name in _LOGS:
        yield from _repair_log(run.path / name)
    newest, _ = run.newest_sound_checkpoint()
    if newest is None:  # nothing to point at: training says so, and what to do
        return
    if run.pointed_to("latest") != newest.path:
        write_atomically(run.path / "latest", f"{newest.path.name}\n".encode())
        yield f"latest names {newest.path.name}"
    best = run.pointed_to("best")
    if best is not None and _listed(run, best, verify=True).fault:
        (run.path / "best").unlink()
        yield f"best no longer names {best.name}"
        found = {path: _listed(run, path, True) for path in run.checkpoint_paths()}
        known = [c.score for c in found.values() if c.score and not c.fault]
        if known:
            better = cast(Literal["lower", "higher"], known[-1].get("better", "lower"))
            damaged = [path for path, c in found.items() if c.fault]
            run.update_best(known[-1]["metric"], better, without=damaged)
            if now := run.pointed_to("best"):
                yield f"best names {now.name}"


def _repair_log(log: Path) -> Iterator[str]:
    lines = list(read_lines(log))
    broken = [line for line, record in lines if record is None]
    torn = log.read_bytes().rpartition(b"\n")[2] if _is_torn(log) else b""
    if not broken and not torn:
        return
    aside = log.with_name(f"{log.stem}.broken.jsonl")
    append_durably(aside, b"".join(broken) + (torn + b"\n" if torn else b""))
    rewrite_records(log, (record for _, record in lines if record is not None))
    yield f"{log.name}: what is broken is set aside in {aside.name}"
