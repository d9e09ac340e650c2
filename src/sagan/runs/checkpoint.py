"""Checkpoints: safetensors and JSON, written atomically and verified when read.

A checkpoint is a folder `step-NNNNNNNN` of safetensors files and a `manifest.json`, written last,
with every file's SHA-256 and the run's configuration. It is made under a temporary name and renamed
once it is on the disk, so it is there whole or not at all. Nothing is ever unpickled.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from sagan.config import RunConfig, run_config_from_dict
from sagan.config.growth import stage_config
from sagan.errors import CheckpointError
from sagan.files import TEMPORARY, hashed_json, sync_folder, write_atomically, write_durably
from sagan.version import __version__

FORMAT = 1
_MISSING = (FileNotFoundError, NotADirectoryError, IsADirectoryError)


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint whose manifest has been read; its files are verified as they are read."""

    path: Path
    manifest: Mapping[str, Any]

    @property
    def step(self) -> int:
        """Generator steps taken."""
        return int(self.manifest["step"])

    @property
    def run_config(self) -> RunConfig:
        """The configuration of the run that wrote it."""
        return run_config_from_dict(self.manifest["config"])

    @property
    def stage(self) -> int:
        """The stage of a growing run that wrote it, from 0; the last one is the run's own size."""
        return int(self.manifest.get("stage", 0))

    @property
    def config(self) -> RunConfig:
        """The configuration of what it holds: of a growing run, that of its stage."""
        return stage_config(self.run_config, self.stage)

    def has(self, name: str) -> bool:
        """Whether it has a file of this name (without extension); an imported run may lack D."""
        return f"{name}.safetensors" in self.manifest["files"]

    def tensors(self, name: str) -> dict[str, Tensor]:
        """Read one file's tensors, by its name without extension."""
        # CheckpointError: missing or damaged. OSError: unreadable now, which says nothing of its
        # content.
        file = f"{name}.safetensors"
        expected = self.manifest["files"].get(file)
        if expected is None:
            raise CheckpointError(f"{self.path} has no {file}")
        try:
            content = (self.path / file).read_bytes()
        except _MISSING as error:
            raise CheckpointError(f"{self.path / file} is missing: {error.strerror}") from error
        if hashlib.sha256(content).hexdigest() != expected["sha256"]:
            raise CheckpointError(f"{self.path / file} is damaged: it is not what was written")
        return safetensors.torch.load(content)

    def verify(self) -> None:
        """Check every file against the manifest; raise CheckpointError for the first bad one."""
        for file in self.manifest["files"]:
            self.tensors(file.removesuffix(".safetensors"))


def open_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint folder's manifest."""
    # CheckpointError: missing, damaged or of another format. OSError: unreadable now, which says
    # nothing of its content.
    file = path / "manifest.json"
    try:
        content = file.read_bytes()
        manifest = json.loads(content)
    except _MISSING as error:
        raise CheckpointError(
            f"{path} is not a checkpoint: manifest.json: {error.strerror}"
        ) from error
    except ValueError as error:
        raise CheckpointError(f"{file} is damaged: it is not JSON") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise CheckpointError(f"{file} is not of format {FORMAT}, the only one this version reads")
    if hashed_json(manifest) != content:
        raise CheckpointError(f"{file} is damaged: it is not what was written")
    return Checkpoint(path, manifest)


def keep_only(checkpoint: Checkpoint, *names: str) -> None:
    """Drop a checkpoint's other files: it can then be sampled from, but training cannot resume."""
    kept = [f"{name}.safetensors" for name in names]
    dropped = [file for file in checkpoint.manifest["files"] if file not in kept]
    files = {file: checkpoint.manifest["files"][file] for file in kept}
    manifest = hashed_json({**checkpoint.manifest, "files": files})
    write_atomically(checkpoint.path / "manifest.json", manifest)  # first: it stays sound
    for file in dropped:
        (checkpoint.path / file).unlink(missing_ok=True)


def write_checkpoint(
    path: Path, tensors: Mapping[str, Mapping[str, Tensor]], content: Mapping[str, Any]
) -> None:
    """Write a new checkpoint folder, whole or not at all; `content` needs `step` and `config`."""
    temporary = path.with_name(f"{TEMPORARY}{path.name}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    files = {}
    for name, group in tensors.items():
        data = safetensors.torch.save(
            {key: value.detach().cpu().contiguous() for key, value in group.items()}
        )
        write_durably(temporary / f"{name}.safetensors", data)
        digest = hashlib.sha256(data).hexdigest()
        files[f"{name}.safetensors"] = {"bytes": len(data), "sha256": digest}
    manifest = {**content, "format": FORMAT, "sagan": __version__, "files": files}
    write_durably(temporary / "manifest.json", hashed_json(manifest))
    sync_folder(temporary)
    os.rename(temporary, path)
    sync_folder(path.parent)
