"""What a RUN argument is: a run, a checkpoint, an exported model, or nothing. No torch here."""

import os
from pathlib import Path
from typing import Literal, NamedTuple

from sagan.files import MODEL_ENDINGS
from sagan.sharing.facts import is_shared_folder
from sagan.sharing.hub import PREFIX

Kind = Literal[
    "run",  # a run's folder
    "checkpoint",  # one of its checkpoints' folders
    "model file",  # .onnx or .safetensors, as `sagan export` writes
    "shared folder",  # of `save_pretrained`, or another program's
    "hub",  # the address of such a folder on the Hugging Face hub
    "file",  # any other
    "folder",  # any other
    "nothing",
]
RUN_OR_CHECKPOINT: tuple[Kind, ...] = ("run", "checkpoint")


class Place(NamedTuple):
    """What is at a path."""

    kind: Kind
    path: Path
    run: Path | None = None  # the run's folder, for a run and a checkpoint

    def require(self, *kinds: Kind) -> "Place":
        """Raise ValueError unless this is of one of these kinds; the message says what it is."""
        if self.kind in kinds:
            return self
        raise ValueError(f"{self.path} {_WHAT_IT_IS[self.kind]}")


_ALONE = (
    "is a generator alone: a run's folder is needed here; sagan sample and sagan evaluate take "
    "either"
)
_WHAT_IT_IS: dict[Kind, str] = {
    "run": "is a run already",
    "checkpoint": "is a checkpoint: name its run's folder",
    "model file": (
        "is a model file, as sagan export writes: only sagan sample and sagan.load open it"
    ),
    "shared folder": _ALONE,
    "hub": _ALONE,
    "file": "is a file, not a run folder",
    "folder": "is not a run folder: it has no config.json",
    "nothing": "does not exist: name a run folder",
}


def check_outside_runs(out: Path, option: str = "--out") -> None:
    """Raise ValueError if what is to be written is a run or checkpoint, or lies right in one."""
    above = locate(out.absolute().parent).run
    # other programs have folders of checkpoints too, but no such configuration beside them
    within = above is not None and (above / "config.json").is_file()
    kind = locate(out).kind
    if within or kind in RUN_OR_CHECKPOINT:
        what = "a run" if kind == "run" else "in a run"
        raise ValueError(
            f"{option} {out} is {what}, which has files of its own: name another place"
        )


def locate(path: str | os.PathLike[str]) -> Place:
    """Tell what a path is by names alone; of files only a shared folder's `config.json` is read.

    Example:
        >>> locate("hub:me/cats").kind, locate("nowhere").kind
        ('hub', 'nothing')
    """
    path = Path(path)
    if path.as_posix().startswith(PREFIX):
        return Place("hub", path)
    if not path.exists():
        return Place("nothing", path)
    if not path.is_dir():
        return Place("model file" if path.suffix.lower() in MODEL_ENDINGS else "file", path)
    if (path / "manifest.json").is_file():
        return Place("checkpoint", path, path.resolve().parent.parent)
    if is_shared_folder(path):
        return Place("shared folder", path)
    if (path / "config.json").is_file() or (path / "checkpoints").is_dir():
        return Place("run", path, path)
    return Place("folder", path)
