"""`sagan export`."""

import sys
import tempfile
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

_FORMATS = {"onnx": ".onnx", "safetensors": ".safetensors"}
_Kind = Literal["onnx", "safetensors", "folder"]


def export(
    run: Path,
    /,
    *,
    out: Path | None = None,
    format: _Kind | None = None,
    weights: Literal["ema", "raw"] = "ema",
    attention: Annotated[bool, Parameter(negative=())] = False,
    card: Path | None = None,
    push: str | None = None,
    private: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Write a run's generator as one file or folder, for other programs or to pass on.

    sagan sample and sagan.load open what is written as they open a run, and
    hub:OWNER/NAME what was pushed.

    Parameters
    ----------
    run
        A run's folder, or one of its checkpoints'.
    out
        The file, ending in .onnx or .safetensors; or the folder. With --push it may be left out.
    format
        onnx: runs without PyTorch. safetensors: weights that train on. folder: weights,
        configuration and model card, as model hubs have them. By default as --out ends.
    weights
        The averaged weights, or the raw ones.
    attention
        Give the attention maps too, as further outputs of the ONNX file.
    card
        Also write a model card here, as README.md, with a grid of samples beside it. A folder has
        its own.
    push
        OWNER/NAME: commit the folder to this repository of the Hugging Face hub, made if need be.
    private
        Make a new repository private.
    """
    kind = _kind_of(out, format, push)
    if attention and kind != "onnx":
        raise ValueError("--attention is of ONNX files; others hold weights only")
    if card is not None and kind == "folder":
        raise ValueError("--card is for files; a folder has its card in it, README.md")
    if card is not None and card.suffix.lower() != ".md":
        raise ValueError(f"--card {card} must end in .md")
    if private and push is None:
        raise ValueError("--private is for --push")
    from sagan.runs.run import find_checkpoint

    find_checkpoint(run)  # before a folder is made
    if kind == "folder":
        return _export_folder(run, out, weights, push, private)
    assert out is not None
    out.parent.mkdir(parents=True, exist_ok=True)
    if kind == "onnx":
        _export_onnx(run, out, weights, attention)
    else:
        from sagan.exchange.safetensors_file import export_weights

        n_bytes = export_weights(run, out, weights=weights)
        print(f"{out}: {n_bytes / 1e6:.1f} MB", file=sys.stderr)
    if card is not None:
        from sagan.exchange.run_card import write_card

        grid = write_card(run, out, card, weights=weights)
        print(f"{card}, {grid}: model card and samples", file=sys.stderr)


def _kind_of(out: Path | None, format: _Kind | None, push: str | None) -> _Kind:
    """What is to be written, by the options that say so.

    Raises:
        ValueError: they contradict each other, or none says.
    """
    if push is not None:
        if format not in (None, "folder"):
            raise ValueError(f"--push is of folders, not of --format {format}")
        return "folder"
    if out is None:
        raise ValueError("name the file or folder with --out, or a repository with --push")
    if format == "folder" or (format is None and not out.suffix):
        return "folder"
    for kind, ending in _FORMATS.items():
        if out.suffix.lower() == ending and format in (None, kind):
            return "onnx" if kind == "onnx" else "safetensors"
    wanted = _FORMATS[format] if format else " or ".join(_FORMATS.values())
    raise ValueError(f"--out {out} must end in {wanted}{'' if format else '; or --format folder'}")


def _export_folder(
    run: Path,
    out: Path | None,
    weights: Literal["ema", "raw"],
    push: str | None,
    private: bool,
) -> None:
    from sagan.exchange.hub_folder import export_folder
    from sagan.sharing import hub
    from sagan.sharing.facts import CARD_FILE

    address = None if push is None else str(hub.parse(push))
    with tempfile.TemporaryDirectory(prefix="sagan-") as temporary:
        folder = out or Path(temporary)
        written = export_folder(run, folder, weights=weights, address=address)
        if out is not None:
            print(f"{out}: {', '.join(written)}", file=sys.stderr)
            if CARD_FILE not in written:
                print(f"{out / CARD_FILE} was there and stays as it is", file=sys.stderr)
        if push is None:
            return
        place = hub.push(
            folder,
            push,
            files={*written, CARD_FILE},
            kept=[CARD_FILE] if CARD_FILE in written else [],  # one that was there is its owner's
            commit_message=f"{run.resolve().name}, exported by sagan",
            private=private or None,
        )
    print(f"{place}: sagan.load({address!r}) opens it", file=sys.stderr)


def _export_onnx(run: Path, out: Path, weights: Literal["ema", "raw"], attention: bool) -> None:
    from sagan.exchange.onnx import MOST_DIFFERENCE, export_onnx

    made = export_onnx(run, out, weights=weights, attention=attention)
    print(f"{out}: {made.n_bytes / 1e6:.1f} MB", file=sys.stderr)
    found = ", ".join(f"{value:.1e} at batch {b}" for b, value in made.differences.items())
    print(
        f"Largest difference from PyTorch: {found} (at most {MOST_DIFFERENCE:g} is let through)",
        file=sys.stderr,
    )
