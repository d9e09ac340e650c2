"""Run folders: configuration, log, checkpoints and the pointers to them, one writer at a time."""

import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from sagan.config import RunConfig, differences, run_config_from_dict, to_dict
from sagan.errors import CheckpointError
from sagan.files import TEMPORARY, is_run_folder, refuse_file, write_atomically
from sagan.runs.checkpoint import Checkpoint, open_checkpoint, write_checkpoint

_DOOMED = ".removed-"


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
        """Where sample grids go."""
        return self.path / "samples"

    def exists(self) -> bool:
        """Whether a run is there."""
        return is_run_folder(self.path)

    def config(self) -> RunConfig:
        """Read the run's configuration.

        Raises:
            ValueError: there is no run, or its configuration cannot be read.
        """
        file = self.path / "config.json"
        try:
            return run_config_from_dict(json.loads(file.read_bytes()))
        except FileNotFoundError:
            raise ValueError(f"{self.path} is no run folder: it has no config.json") from None
        except ValueError as error:  # not JSON, not UTF-8, or not a configuration
            raise ValueError(f"{file} cannot be read: {error}") from None

    def write_config(self, config: RunConfig) -> None:
        """Write the run's configuration, making the folder where there is none."""
        self.path.mkdir(parents=True, exist_ok=True)
        content = json.dumps(to_dict(config), indent=2) + "\n"
        write_atomically(self.path / "config.json", content.encode())

    def write_excluded(self, excluded: Sequence[tuple[str, str]]) -> None:
        """Write the names of what the data leave out, if anything, with reasons to `data.json`."""
        if not excluded and not (self.path / "data.json").exists():
            return
        listed = [{"name": name, "reason": reason} for name, reason in excluded]
        content = json.dumps({"excluded": listed}, indent=1) + "\n"
        write_atomically(self.path / "data.json", content.encode())

    def check_continues(self, config: RunConfig) -> None:
        """Refuse a configuration that does not go on with the run there is, if there is one.

        An imported run has no data yet: its first training chooses them and how to train.

        Raises:
            ValueError: it differs in anything but a larger number of images; each difference is
                named. Or the run was imported without a discriminator.
        """
        if not self.exists():
            return
        old = self.config()
        if not old.data.source:
            self._check_can_be_trained(config)
            old = replace(old, data=config.data, training=config.training)
        images = config.training.images
        longer = replace(old, training=replace(old.training, images=images))
        if old.data.rules != config.data.rules:
            raise ValueError(
                f"{self.path} was begun with the reading rules {old.data.rules}: to go on, give "
                f"DataConfig(rules={old.data.rules}) and load_dataset(..., rules={old.data.rules})"
            )
        found = differences(longer, config)
        if found:
            raise ValueError(
                f"{self.path} was started with other settings ({'; '.join(found)}); name another "
                f"run folder (--init {self.path} begins it from this one), or leave these options "
                "out to go on with the run's own"
            )
        if images < old.training.images:
            raise ValueError(
                f"{self.path} is set to {old.training.images} images, more than {images}; "
                "--images can only grow"
            )

    def _check_can_be_trained(self, config: RunConfig) -> None:
        if not self.checkpoint().has("discriminator"):
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
        """Where `latest` or `best` points, or None."""
        file = self.path / pointer
        if not file.is_file():
            return None
        return self.path / "checkpoints" / Path(file.read_text().strip()).name

    def checkpoint(self) -> Checkpoint:
        """Open the checkpoint to use: `best`, else `latest`.

        Raises:
            ValueError: the run has no checkpoint yet.
            CheckpointError: the one pointed to is damaged.
        """
        path = self.pointed_to("best") or self.pointed_to("latest")
        if path is None:
            self.config()  # says so if this is no run at all
            raise ValueError(f"{self.path} has no checkpoint yet")
        return open_checkpoint(path)

    def newest_sound_checkpoint(
        self, *, without_alarms: bool = False
    ) -> tuple[Checkpoint | None, list[str]]:
        """Find the newest checkpoint that verifies, and say what was wrong with newer ones.

        Args:
            without_alarms: leave out those saved while a serious alarm was on.
        """
        faults = []
        for path in reversed(self.checkpoint_paths()):
            try:
                checkpoint = open_checkpoint(path)
                if without_alarms and checkpoint.manifest.get("alarms"):
                    continue
                checkpoint.verify()
            except CheckpointError as error:
                faults.append(str(error))
            else:
                return checkpoint, faults
        return None, faults

    def checkpoint_to_resume(self) -> tuple[Checkpoint | None, list[str]]:
        """Find the newest sound checkpoint as `newest_sound_checkpoint` does; None in a new run.

        Raises:
            CheckpointError: there were checkpoints, and none is sound.
            OSError: one cannot be read now.
        """
        checkpoint, faults = self.newest_sound_checkpoint()
        latest = self.pointed_to("latest")
        if checkpoint is None and (faults or latest):
            raise CheckpointError(
                f"{self.path} has no sound checkpoint to go on from "
                f"({'; '.join(faults) or f'{latest} is gone'}); put one back, or begin again with "
                "--from-scratch, which sets aside what there is"
            )
        return checkpoint, faults

    def check_unedited(self, config: RunConfig, checkpoint: Checkpoint) -> None:
        """Refuse a configuration that is not the one that a checkpoint was trained with.

        Raises:
            ValueError: it differs in anything but a larger number of images.
        """
        old = checkpoint.config
        if not old.data.source:  # imported: its first training chooses data and how to train
            old = replace(old, data=config.data, training=config.training)
        if not config.data.fingerprint:  # older than fingerprints
            old = replace(old, data=replace(old.data, fingerprint=""))
        images = max(old.training.images, config.training.images)
        old = replace(old, training=replace(old.training, images=images))
        found = differences(old, config)
        if found:
            raise ValueError(
                f"{self.path / 'config.json'} is not what {checkpoint.path.name} was trained with "
                f"({'; '.join(found)}); put the old values back, or begin another run from it with "
                f"--init {self.path}"
            )

    def set_aside(self) -> Path | None:
        """Move everything but the configuration into a folder `before-N`; None if there was none.

        Raises:
            ValueError: another process is writing to the run.
        """
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
        """Remove the checkpoints after this one, or all; `best`, whose content is immutable, stays.

        `latest` is set first, so that it never points to what is not there.
        """
        if checkpoint is None:
            (self.path / "latest").unlink(missing_ok=True)
        else:
            write_atomically(self.path / "latest", f"{checkpoint.path.name}\n".encode())
        for path in self.checkpoint_paths():
            newer = checkpoint is None or path.name > checkpoint.path.name
            if newer and path != self.pointed_to("best"):
                self._remove(path)

    def update_best(self, metric: str, better: Literal["lower", "higher"]) -> None:
        """Point `best` to the checkpoint with the best score by a metric; of equals, the first.

        The scores are those in the manifests. The one that `best` points to is never dropped, so
        the best of those that are there is the best of all. A score that is no number, or was made
        while a serious alarm was on, does not count.
        """
        scored = []
        for path in self.checkpoint_paths():
            try:
                manifest = open_checkpoint(path).manifest
            except CheckpointError:
                continue
            score = manifest.get("score") or {"metric": "", "value": None}
            value = score["value"]
            counts = value is not None and math.isfinite(value) and not manifest.get("alarms")
            if counts and score["metric"] == metric:
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
        """Write the checkpoint of a step, point `latest` to it, and drop the oldest beyond `keep`.

        Older ones are dropped only once the new one has been read back and verified. `best` is
        kept, and the newest without alarms, to go back to.

        Args:
            step: generator steps taken.
            tensors: per file name (without ending), its tensors.
            config: the run's configuration, kept in the manifest.
            keep: checkpoints to keep, at least 1.
            facts: further JSON values for the manifest.

        Returns:
            The checkpoint's folder.

        Raises:
            OSError: it could not be written; the checkpoints before are untouched.
            CheckpointError: what was written does not read back.
        """
        folder = self.path / "checkpoints"
        folder.mkdir(parents=True, exist_ok=True)
        final = folder / f"step-{step:08d}"
        if final.exists():  # left out on resuming, as unsound
            self._remove(final)
        content = {**(facts or {}), "step": step, "config": to_dict(config)}
        write_checkpoint(final, tensors, content)
        write_atomically(self.path / "latest", f"{final.name}\n".encode())
        self._drop_old(final, keep)
        return final

    def _drop_old(self, newest: Path, keep: int) -> None:
        open_checkpoint(newest).verify()
        kept = {newest, self.pointed_to("best")}
        if open_checkpoint(newest).manifest.get("alarms"):
            good, _ = self.newest_sound_checkpoint(without_alarms=True)
            kept |= {good.path} if good else set()
        older = [path for path in self.checkpoint_paths() if path not in kept]
        for path in older[: max(0, len(older) - (keep - 1))]:
            self._remove(path)

    def _remove(self, path: Path) -> None:
        doomed = path.with_name(f"{_DOOMED}{path.name}")
        shutil.rmtree(doomed, ignore_errors=True)
        os.rename(path, doomed)  # so that a half-removed one is never taken for a checkpoint
        shutil.rmtree(doomed)

    def remove_leftovers(self) -> None:
        """Clear what an interrupted save or removal left behind."""
        for folder in (self.path, self.path / "checkpoints"):
            for path in (*folder.glob(f"{TEMPORARY}*"), *folder.glob(f"{_DOOMED}*")):
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other writers out of the run; a killed process's lock is free again by itself.

        Raises:
            ValueError: another process is writing to the run.
        """
        if os.name == "nt":
            yield
            return
        import fcntl

        self.path.mkdir(parents=True, exist_ok=True)
        with open(self.path / ".lock", "w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise ValueError(f"another process is training {self.path}") from None
            yield


def find_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Open a run's checkpoint (`best`, else `latest`), or a checkpoint folder itself.

    Raises:
        ValueError: the path is neither.
        CheckpointError: it is damaged.
    """
    path = Path(path)
    if not path.exists():
        raise ValueError(f"{path} does not exist: name a run folder")
    refuse_file(path)
    if (path / "manifest.json").is_file():
        return open_checkpoint(path)
    return Run(path).checkpoint()
