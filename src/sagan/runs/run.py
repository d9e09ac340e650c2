"""Run folders: configuration, log, checkpoints and the pointers to them, one writer at a time."""

import json
import math
import os
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from sagan.config import RunConfig, differences, run_config_from_dict, to_dict
from sagan.errors import CheckpointError
from sagan.files import (
    DOOMED,
    TEMPORARY,
    hashed_json,
    parse_json,
    remove_folder,
    write_atomically,
)
from sagan.runs.checkpoint import Checkpoint, open_checkpoint, write_checkpoint
from sagan.runs.extent import elapsed_sec, trained_with, why_not_shorter, with_extent_of
from sagan.runs.identity import check_belongs, keep_identity, read_identity
from sagan.runs.place import RUN_OR_CHECKPOINT, locate
from sagan.text import one_line, warn_once


@dataclass(frozen=True)
class Run:
    """A run folder: `config.json`, `log.jsonl`, `samples/`, `checkpoints/`, `latest`, `best`."""

    path: Path

    @property
    def log_path(self) -> Path:
        """The JSONL log."""
        return self.path / "log.jsonl"

    @property
    def samples_path(self) -> Path:
        """The folder of sample grids."""
        return self.path / "samples"

    def exists(self) -> bool:
        """Whether the folder has a configuration."""
        return (self.path / "config.json").is_file()

    def config(self) -> RunConfig:
        """Read the run's configuration; raise ValueError if it is missing or unreadable."""
        file = self.path / "config.json"
        try:
            return run_config_from_dict(parse_json(file.read_bytes()))
        except FileNotFoundError:
            raise ValueError(f"{self.path} is not a run folder: it has no config.json") from None
        except ValueError as error:  # not JSON, not UTF-8, or not a configuration
            raise ValueError(f"{file} cannot be read: {error}") from None

    def write_config(self, config: RunConfig) -> None:
        """Write the run's configuration, making its folder if need be."""
        self.path.mkdir(parents=True, exist_ok=True)
        keep_identity(self.path, self.checkpoint_paths())
        content = json.dumps(to_dict(config), indent=2) + "\n"
        write_atomically(self.path / "config.json", content.encode())

    def write_excluded(self, excluded: Sequence[tuple[str, str]]) -> None:
        """List the files that the data leave out, with reasons, in `data.json`."""
        if not excluded and not (self.path / "data.json").exists():
            return
        listed = [{"name": name, "reason": reason} for name, reason in excluded]
        content = json.dumps({"excluded": listed}, indent=1) + "\n"
        write_atomically(self.path / "data.json", content.encode())

    def check_continues(self, config: RunConfig, old: RunConfig | None = None) -> None:
        """Raise ValueError, naming the differences, unless it only asks for more images or time."""
        # `old` is the run's own configuration, if read already; a folder without a run takes any
        if old is None:
            if not self.exists():
                return
            old = self.config()
        if not old.data.source:  # imported: its pictures are new to it
            self._check_can_be_trained(config)
        elif old.data.rules != config.data.rules:
            raise ValueError(
                f"{self.path} was begun with the reading rules {old.data.rules}: to go on, give "
                f"DataConfig(rules={old.data.rules}) and load_dataset(..., rules={old.data.rules})"
            )
        before = _with_source_of(_with_first_training(old, config), config)
        found = differences(with_extent_of(before, config), config)
        if found:
            raise self.started_otherwise(found)
        refused = why_not_shorter(
            self.path,
            before,
            config,
            shown=self._images_shown,
            elapsed=lambda: elapsed_sec(self.log_path),
        )
        if refused:
            raise ValueError(refused)

    def started_otherwise(self, found: Sequence[str]) -> ValueError:
        """Say that options ask for something else than the run was started with."""
        return ValueError(
            f"{self.path} was started with other settings ({'; '.join(found)}); name another "
            f"run folder (--init {self.path} begins it from this one), or leave these options "
            "out to continue with the run's own"
        )

    def _images_shown(self) -> int:
        checkpoint, _ = self.newest_sound_checkpoint()
        return int(checkpoint.manifest["images"]) if checkpoint is not None else 0

    def _check_can_be_trained(self, config: RunConfig) -> None:
        """Raise ValueError if an imported run lacks a discriminator or is given no data."""
        if not self.checkpoint(verify_files=()).has("discriminator"):
            raise ValueError(
                f"{self.path} was imported without a discriminator: it can be sampled from and "
                "explained, not trained"
            )
        if not config.data.source:
            raise ValueError(f"{self.path} was imported and has no data yet: name them with --data")

    def checkpoint_paths(self) -> list[Path]:
        """The checkpoint folders, oldest first."""
        return sorted((self.path / "checkpoints").glob("step-*"))

    def pointed_to(self, pointer: str) -> Path | None:
        """The checkpoint folder that `latest` or `best` names, or None."""
        file = self.path / pointer
        if not file.is_file():
            return None
        name = file.read_text(errors="backslashreplace").strip()  # damaged, it names nothing
        return self.path / "checkpoints" / Path(name).name

    def open(self, path: Path) -> Checkpoint:
        """Open one of its checkpoints; CheckpointError for another run's."""
        return check_belongs(open_checkpoint(path), read_identity(self.path))

    def checkpoint(self, *, verify_files: Collection[str] | None) -> Checkpoint:
        """Open the checkpoint to use: `best`, else `latest`; ValueError if there is none yet.

        `verify_files` must be sound: names as `ema`, None for all files, () for the manifest alone.
        Where they are not, the newest checkpoint in which they are is used instead, and it is said.
        """
        pointed = (self.pointed_to("best"), self.pointed_to("latest"))
        found = [*filter(None, pointed), *reversed(self.checkpoint_paths())]
        if not found:
            self.config()  # says so if this is not a run at all
            raise ValueError(f"{self.path} has no checkpoint yet")
        faults = []
        for path in dict.fromkeys(found):
            try:
                checkpoint = self.open(path)
                checkpoint.verify(verify_files)
            except CheckpointError as error:
                faults.append(error)
                continue
            if faults:
                warn_once(f"{one_line(faults[0])}; {path.name} is used instead")
            return checkpoint
        raise faults[0]

    def newest_sound_checkpoint(
        self, *, without_alarms: bool = False
    ) -> tuple[Checkpoint | None, list[str]]:
        """Find the newest checkpoint that verifies, and what was wrong with newer ones."""
        # `without_alarms` skips those saved during a serious alarm
        faults = []
        for path in reversed(self.checkpoint_paths()):
            try:
                checkpoint = self.open(path)
                if without_alarms and checkpoint.manifest.get("alarms"):
                    continue
                checkpoint.verify()
            except CheckpointError as error:
                faults.append(str(error))
            else:
                return checkpoint, faults
        return None, faults

    def checkpoint_to_resume(self) -> tuple[Checkpoint | None, list[str]]:
        """Find the newest sound checkpoint and newer ones' faults; None in a new run."""
        # CheckpointError: there are checkpoints, but none is sound
        checkpoint, faults = self.newest_sound_checkpoint()
        latest = self.pointed_to("latest")
        if checkpoint is None and (faults or latest):
            raise CheckpointError(
                f"{self.path} has no sound checkpoint to continue from "
                f"({'; '.join(faults) or f'{latest} is gone'}); put one back, or begin again with "
                "--from-scratch, which sets aside what there is"
            )
        return checkpoint, faults

    def check_unedited(self, config: RunConfig, checkpoint: Checkpoint) -> None:
        """Raise ValueError unless the checkpoint had this configuration (images and time apart)."""
        old = _with_source_of(_with_first_training(checkpoint.run_config, config), config)
        if not config.data.fingerprint:  # older than fingerprints
            old = replace(old, data=replace(old.data, fingerprint=""))
        found = differences(trained_with(old, config), config)
        if found:
            raise ValueError(
                f"{self.path / 'config.json'} is not what {checkpoint.path.name} was trained with "
                f"({'; '.join(found)}); put the old values back, or begin another run from it with "
                f"--init {self.path}"
            )

    def set_aside(self) -> Path | None:
        """Move all but the configuration into `before-N`; None if nothing. ValueError if in use."""
        with self.lock():
            stays = ("config.json", ".lock", "before-")
            parts = [p for p in self.path.iterdir() if not p.name.startswith(stays)]
            if not parts:
                return None
            number = 1
            while (folder := self.path / f"before-{number}").exists():
                number += 1
            folder.mkdir()
            for path in parts:
                os.rename(path, folder / path.name)
            return folder

    def drop_newer(self, checkpoint: Checkpoint | None) -> None:
        """Remove the checkpoints after this one, or all; `best` stays, as it never changes."""
        # `latest` first, so that it never names a checkpoint that is gone
        if checkpoint is None:
            (self.path / "latest").unlink(missing_ok=True)
        else:
            write_atomically(self.path / "latest", f"{checkpoint.path.name}\n".encode())
        for path in self.checkpoint_paths():
            newer = checkpoint is None or path.name > checkpoint.path.name
            if newer and path != self.pointed_to("best"):
                remove_folder(path)

    def update_best(
        self,
        metric: str,
        better: Literal["lower", "higher"],
        *,
        without: Collection[Path] = (),  # checkpoints that are known to be damaged
    ) -> None:
        """Point `best` at the best score by a metric; ties go to the earliest checkpoint."""
        # not finite, or made during a serious alarm: does not count
        # `best` itself is never dropped, so the best of those still there is the best of all.
        scored = []
        for path in self.checkpoint_paths():
            try:
                manifest = self.open(path).manifest
            except CheckpointError:
                continue
            score = manifest.get("score") or {"metric": "", "value": None}
            value = score["value"]
            counts = value is not None and math.isfinite(value) and not manifest.get("alarms")
            if counts and path not in without and score["metric"] == metric:
                scored.append((value if better == "lower" else -value, path))
        if not scored:
            return
        best = min(scored)[1]
        if best != self.pointed_to("best"):
            write_atomically(self.path / "best", f"{best.name}\n".encode())

    def save(
        self,
        step: int,
        tensors: Mapping[str, Mapping[str, Tensor]],
        *,
        config: RunConfig,
        keep: int,
        facts: Mapping[str, Any] | None = None,
    ) -> Path:
        """Write a step's checkpoint, point `latest` at it, and drop the oldest beyond `keep`."""
        # Older ones are dropped only once the new one has been read back and verified. `best` is
        # kept, and the newest without alarms, to go back to. `facts` are further values for the
        # manifest.
        folder = self.path / "checkpoints"
        folder.mkdir(parents=True, exist_ok=True)
        final = folder / f"step-{step:08d}"
        if final.exists():  # skipped on resuming, as unsound
            remove_folder(final)
        content = {**(facts or {}), "step": step, "config": to_dict(config)}
        if identity := read_identity(self.path):
            content["run"] = identity
        write_checkpoint(final, tensors, content)
        write_atomically(self.path / "latest", f"{final.name}\n".encode())
        self._drop_old(final, keep)
        return final

    def add_facts(self, checkpoint: Checkpoint, facts: Mapping[str, Any]) -> None:
        """Add values to a checkpoint's manifest; whoever reads it meanwhile sees one or other."""
        content = hashed_json({**checkpoint.manifest, **facts})
        write_atomically(checkpoint.path / "manifest.json", content)

    def _drop_old(self, newest: Path, keep: int) -> None:
        checkpoint = open_checkpoint(newest)
        checkpoint.verify()
        kept = {newest, self.pointed_to("best")}
        if checkpoint.manifest.get("alarms"):
            good, _ = self.newest_sound_checkpoint(without_alarms=True)
            kept |= {good.path} if good else set()
        older = [path for path in self.checkpoint_paths() if path not in kept]
        for path in older[: max(0, len(older) - (keep - 1))]:
            remove_folder(path)

    def remove_leftovers(self) -> None:
        """Delete what an interrupted save or removal left behind."""
        for folder in (self.path, self.path / "checkpoints"):
            for path in (*folder.glob(f"{TEMPORARY}*"), *folder.glob(f"{DOOMED}*")):
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other writers out, or raise ValueError; a killed process's lock frees itself."""
        import filelock  # 50 ms

        self.path.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(self.path / ".lock", timeout=0)
        try:
            lock.acquire()
        except filelock.Timeout:
            raise ValueError(f"another process is training {self.path}") from None
        try:
            yield
        finally:
            lock.release()


def _with_first_training(old: RunConfig, new: RunConfig) -> RunConfig:
    """An imported run has no data yet: its first training chooses them, and how to train."""
    return old if old.data.source else replace(old, data=new.data, training=new.training)


def _with_source_of(old: RunConfig, new: RunConfig) -> RunConfig:
    """Pictures may be moved or named otherwise: their fingerprint says if they are the same."""
    if not old.data.fingerprint:  # older than fingerprints
        return old
    return replace(old, data=replace(old.data, source=new.data.source))


def find_checkpoint(
    path: str | os.PathLike[str], *, verify_files: Collection[str] | None
) -> Checkpoint:
    """Open a run's checkpoint as `Run.checkpoint` does, or a checkpoint folder itself."""
    # nothing stands in for a checkpoint that was named: its files are not verified here
    place = locate(path).require(*RUN_OR_CHECKPOINT)
    if place.kind == "checkpoint":
        return open_checkpoint(place.path)
    return Run(place.path).checkpoint(verify_files=verify_files)
