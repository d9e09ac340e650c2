"""Checkpoints: safetensors and JSON, written atomically and verified when read.

A checkpoint is a folder `step-NNNNNNNN` of safetensors files and a `manifest.json`, written last,
with every file's SHA-256 and the run's configuration. It is made under a temporary name and renamed
once it is on the disk, so it is there whole or not at all. Nothing is ever unpickled.
"""

import hashlib
import os
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from sagan.config import RunConfig, run_config_from_dict
from sagan.config.growth import stage_config
from sagan.errors import CheckpointError
from sagan.files import (
    TEMPORARY,
    hashed_json,
    parse_json,
    sha256_of_file,
    sync_folder,
    write_atomically,
    write_durably,
)
from sagan.runs.manifest import why_not_sound
from sagan.version import __version__

FORMAT = 1
_MOST_MANIFEST_BYTES = 2**26
_MISSING = (FileNotFoundError, NotADirectoryError, IsADirectoryError)


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint whose manifest has been read; its files are verified as they are read."""

    path: Path
    manifest: Mapping[str, Any]

    @property
    def run(self) -> Path:
        """The folder of the run that it belongs to, by whatever path it was named."""
        return self.path.resolve().parent.parent

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
        with self._damage_named(file):
            if (self.path / file).stat().st_size != expected["bytes"]:  # before it is read
                raise self._damaged(file)
            content = (self.path / file).read_bytes()
        if hashlib.sha256(content).hexdigest() != expected["sha256"]:
            raise self._damaged(file)
        try:
            return safetensors.torch.load(content)
        except safetensors.SafetensorError as error:
            raise CheckpointError(f"{self.path / file} is not safetensors: {error}") from None

    def check_sizes(self) -> None:
        """Check that every file is there in its size, which reads none of them."""
        for file, expected in self.manifest["files"].items():
            with self._damage_named(file):
                if (self.path / file).stat().st_size != expected["bytes"]:
                    raise self._damaged(file)

    def verify(self, names: Collection[str] | None = None) -> None:
        """Check files against the manifest, all or these; CheckpointError for the first bad one."""
        for file, expected in self.manifest["files"].items():
            if names is not None and file.removesuffix(".safetensors") not in names:
                continue
            with self._damage_named(file):
                size = (self.path / file).stat().st_size
                if size != expected["bytes"] or (
                    sha256_of_file(self.path / file) != expected["sha256"]
                ):
                    raise self._damaged(file)

    def _damaged(self, file: str) -> CheckpointError:
        return CheckpointError(f"{self.path / file} is damaged: it is not what was written")

    @contextmanager
    def _damage_named(self, file: str) -> Iterator[None]:
        try:
            yield
        except _MISSING as error:
            raise CheckpointError(f"{self.path / file} is missing: {error.strerror}") from error


def open_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint folder's manifest."""
    # CheckpointError: missing, damaged or of an unknown format. ValueError: of a newer version,
    # sound as it may be. OSError: unreadable now, which says nothing of its content.
    file = path / "manifest.json"
    try:
        if file.stat().st_size > _MOST_MANIFEST_BYTES:
            raise CheckpointError(f"{file} is damaged: it has {file.stat().st_size:,} bytes")
        content = file.read_bytes()
        manifest = parse_json(content)
    except _MISSING as error:
        raise CheckpointError(
            f"{path} is not a checkpoint: manifest.json: {error.strerror}"
        ) from error
    except ValueError as error:
        raise CheckpointError(f"{file} is damaged: it is not JSON") from error
    sound = isinstance(manifest, dict) and hashed_json(manifest) == content
    if sound and type(manifest.get("format")) is int and manifest["format"] > FORMAT:
        raise ValueError(
            f"{file} is of format {manifest['format']}, newer than {FORMAT}: update sagan"
        )
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise CheckpointError(f"{file} is not of format {FORMAT}, the only one this version reads")
    if not sound:
        raise CheckpointError(f"{file} is damaged: it is not what was written")
    try:
        reason = why_not_sound(manifest)
    except ValueError as error:
        raise ValueError(f"{file} cannot be read by sagan {__version__}: {error}") from None
    if reason:
        raise CheckpointError(f"{file} is damaged: {reason}")
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
    try:
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
    except BaseException:  # on a full disk it would be in the way
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    sync_folder(path.parent)
