"""`sagan export`."""

import sys
import tempfile
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from sagan.files import check_above
from sagan.runs.place import check_outside_runs

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
    """Export a run's generator as one file or folder, for other programs or to share.

    sagan sample and sagan.load open the result like a run; what was pushed opens
    as hub:OWNER/NAME.

    Parameters
    ----------
    run
        A run's folder, or one of its checkpoints'.
    out
        The file, ending in .onnx or .safetensors, or the folder. Optional with --push.
    format
        onnx: runs without PyTorch. safetensors: weights that can be trained further. folder:
        weights, configuration and model card in the layout of model hubs. By default, the ending
        of --out decides.
    weights
        Averaged or raw weights.
    attention
        Add the attention maps to the ONNX file's outputs.
    card
        Also write a model card to this .md file, which must be new, with a grid of samples beside
        it. A folder always has one.
    push
        OWNER/NAME: commit the folder to this repository of the Hugging Face hub, created if needed.
    private
        Make a new repository private.
    """
    kind = _kind_of(out, format, push)
    if attention and kind != "onnx":
        raise ValueError("--attention is for ONNX files; others hold weights only")
    if card is not None and kind == "folder":
        raise ValueError("--card is for files; a folder always has its card, README.md")
    if card is not None and card.suffix.lower() != ".md":
        raise ValueError(f"--card {card} must end in .md")
    grid = None if card is None else card.with_name(f"{card.stem}-samples.png")
    if card is not None and card.exists():
        raise ValueError(
            f"--card {card} is there already, and is not written over, as somebody may have added "
            "to it: move it away, or name another"
        )
    if grid is not None and grid.exists():
        raise ValueError(f"{grid}, for the card's samples, is there already: name another --card")
    for option, path in (("--out", out), ("--card", card)):
        if path is not None:
            check_above(path, f"{option} {path}")
            if kind != "folder":  # what is in a folder is looked at before it is written to
                check_outside_runs(path, option)
    if kind != "folder" and out is not None and out.is_dir():
        raise ValueError(f"--out {out} is a folder: name a file, or give --format folder")
    if private and push is None:
        raise ValueError("--private needs --push")
    from sagan.runs.run import find_checkpoint

    find_checkpoint(run, verify_files=())  # before a folder is made
    if kind == "folder":
        return _export_folder(run, out, weights, push, private)
    assert out is not None
    if kind == "onnx":
        _export_onnx(run, out, weights, attention)
    else:
        from sagan.exchange.safetensors_file import export_weights

        n_bytes = export_weights(run, out, weights=weights)
        print(f"{out}: {n_bytes / 1e6:.1f} MB", file=sys.stderr)
    if card is not None and grid is not None:
        from sagan.exchange.run_card import write_card

        write_card(run, out, card, grid, weights=weights)
        print(f"{card}, {grid}: model card and samples", file=sys.stderr)


def _kind_of(out: Path | None, format: _Kind | None, push: str | None) -> _Kind:
    """Choose the format from the options."""
    if push is not None:
        if format not in (None, "folder"):
            raise ValueError(f"--push takes a folder, not --format {format}")
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
    from sagan.exchange.hub_folder import export_folder, push_folder
    from sagan.sharing import hub
    from sagan.sharing.facts import CARD_FILE

    address = None if push is None else str(hub.parse_to_push(push))
    with tempfile.TemporaryDirectory(prefix="sagan-") as temporary:
        folder = out or Path(temporary)
        written = export_folder(run, folder, weights=weights, address=address)
        if out is not None:
            print(f"{out}: {', '.join(written)}", file=sys.stderr)
            if CARD_FILE not in written:
                print(f"{out / CARD_FILE} existed and was kept", file=sys.stderr)
        if push is None:
            return
        message = f"{run.resolve().name}, exported by sagan"
        commit = push_folder(folder, push, written, commit_message=message, private=private or None)
    print(f"{commit}: sagan.load({address!r}) opens it", file=sys.stderr)


def _export_onnx(run: Path, out: Path, weights: Literal["ema", "raw"], attention: bool) -> None:
    from sagan.exchange.onnx import MAX_DIFFERENCE, export_onnx

    made = export_onnx(run, out, weights=weights, attention=attention)
    print(f"{out}: {made.n_bytes / 1e6:.1f} MB", file=sys.stderr)
    found = ", ".join(f"{value:.1e} at batch {b}" for b, value in made.differences.items())
    print(
        f"Largest difference from PyTorch: {found} (limit {MAX_DIFFERENCE:g})",
        file=sys.stderr,
    )
