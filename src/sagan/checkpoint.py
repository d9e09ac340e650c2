"""Checkpoints and run folders: safetensors and JSON, written atomically, verified when read.

A checkpoint is a folder `step-NNNNNNNN` of safetensors files and a `manifest.json`, written last,
that holds every file's SHA-256 and the run's configuration. It is made under another name and
renamed once it is on the disk, so it is there whole or not at all. Nothing is ever unpickled.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from sagan import __version__
from sagan.config import RunConfig, run_config_from_dict, to_dict

FORMAT = 1
_TEMPORARY = ".partial-"


class CheckpointError(Exception):
    """A checkpoint is damaged, or is not one; the message names the file."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint whose manifest has been read; its files are verified as they are read.

    Args:
        path: its folder.
        manifest: the manifest's content.
    """

    path: Path
    manifest: Mapping[str, Any]

    @property
    def step(self) -> int:
        """Generator steps taken."""
        return int(self.manifest["step"])

    @property
    def config(self) -> RunConfig:
        """The configuration of the run that wrote it."""
        return run_config_from_dict(self.manifest["config"])

    def tensors(self, name: str) -> dict[str, Tensor]:
        """Read one file's tensors, by its name without ending.

        Raises:
            CheckpointError: the file is missing, or not what the manifest says.
        """
        file = f"{name}.safetensors"
        expected = self.manifest["files"].get(file)
        if expected is None:
            raise CheckpointError(f"{self.path} has no {file}")
        try:
            content = (self.path / file).read_bytes()
        except OSError as error:
            raise CheckpointError(f"{self.path / file} cannot be read: {error.strerror}") from error
        if hashlib.sha256(content).hexdigest() != expected["sha256"]:
            raise CheckpointError(f"{self.path / file} is damaged: it is not what was written")
        return safetensors.torch.load(content)

    def verify(self) -> None:
        """Read every file once against the manifest.

        Raises:
            CheckpointError: the first file that is missing or damaged.
        """
        for file in self.manifest["files"]:
            self.tensors(file.removesuffix(".safetensors"))


def open_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint folder's manifest.

    Raises:
        CheckpointError: there is none, or it is damaged or of another format.
    """
    file = path / "manifest.json"
    try:
        content = file.read_bytes()
        manifest = json.loads(content)
    except OSError as error:
        raise CheckpointError(
            f"{path} is no checkpoint: manifest.json: {error.strerror}"
        ) from error
    except ValueError as error:
        raise CheckpointError(f"{file} is damaged: it is not JSON") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise CheckpointError(f"{file} is not of format {FORMAT}, the one that this version reads")
    if _manifest_bytes(manifest) != content:
        raise CheckpointError(f"{file} is damaged: it is not what was written")
    return Checkpoint(path, manifest)


def _manifest_bytes(manifest: Mapping[str, Any]) -> bytes:
    body = {key: value for key, value in manifest.items() if key != "sha256"}
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    return json.dumps({**body, "sha256": digest}, sort_keys=True, indent=1).encode()


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file's content so that a reader, or a crash, finds the old or the new one whole."""
    temporary = path.with_name(f"{_TEMPORARY}{path.name}")
    _write_durably(temporary, content)
    os.replace(temporary, path)
    _sync_folder(path.parent)


def _write_durably(path: Path, content: bytes) -> None:
    with open(path, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    if os.name == "nt":  # folders cannot be synced there
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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
        return (self.path / "config.json").is_file()

    def config(self) -> RunConfig:
        """Read the run's configuration.

        Raises:
            ValueError: there is no run, or its configuration cannot be read.
        """
        file = self.path / "config.json"
        try:
            return run_config_from_dict(json.loads(file.read_text()))
        except FileNotFoundError:
            raise ValueError(f"{self.path} is no run folder: it has no config.json") from None
        except json.JSONDecodeError:
            raise ValueError(f"{file} is not JSON") from None

    def write_config(self, config: RunConfig) -> None:
        """Write the run's configuration, making the folder where there is none."""
        self.path.mkdir(parents=True, exist_ok=True)
        content = json.dumps(to_dict(config), indent=2) + "\n"
        write_atomically(self.path / "config.json", content.encode())

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

    def newest_sound_checkpoint(self) -> tuple[Checkpoint | None, list[str]]:
        """Find the newest checkpoint that verifies, and say what was wrong with newer ones."""
        faults = []
        for path in reversed(self.checkpoint_paths()):
            try:
                checkpoint = open_checkpoint(path)
                checkpoint.verify()
            except CheckpointError as error:
                faults.append(str(error))
            else:
                return checkpoint, faults
        return None, faults

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
        kept.

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
        temporary = folder / f"{_TEMPORARY}{final.name}"
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        files = {}
        for name, group in tensors.items():
            content = safetensors.torch.save(
                {key: value.detach().cpu().contiguous() for key, value in group.items()}
            )
            _write_durably(temporary / f"{name}.safetensors", content)
            digest = hashlib.sha256(content).hexdigest()
            files[f"{name}.safetensors"] = {"bytes": len(content), "sha256": digest}
        manifest = {
            **(facts or {}),
            "format": FORMAT,
            "sagan": __version__,
            "step": step,
            "config": to_dict(config),
            "files": files,
        }
        _write_durably(temporary / "manifest.json", _manifest_bytes(manifest))
        _sync_folder(temporary)
        if final.exists():  # written by a longer past of this run, and set aside as unsound
            self._remove(final)
        os.rename(temporary, final)
        _sync_folder(folder)
        write_atomically(self.path / "latest", f"{final.name}\n".encode())
        self._drop_old(final, keep)
        return final

    def _drop_old(self, newest: Path, keep: int) -> None:
        open_checkpoint(newest).verify()
        kept = {newest, self.pointed_to("best")}
        older = [path for path in self.checkpoint_paths() if path not in kept]
        for path in older[: max(0, len(older) - (keep - 1))]:
            self._remove(path)

    def _remove(self, path: Path) -> None:
        doomed = path.with_name(f"{_TEMPORARY}{path.name}")
        shutil.rmtree(doomed, ignore_errors=True)
        os.rename(path, doomed)  # so that a half-removed one is never taken for a checkpoint
        shutil.rmtree(doomed)

    def remove_leftovers(self) -> None:
        """Clear what an interrupted save or removal left behind."""
        for folder in (self.path, self.path / "checkpoints"):
            for path in folder.glob(f"{_TEMPORARY}*"):
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
    if (path / "manifest.json").is_file():
        return open_checkpoint(path)
    return Run(path).checkpoint()
