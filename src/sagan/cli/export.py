"""`sagan export`."""

import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

_FORMATS = {"onnx": ".onnx", "safetensors": ".safetensors"}


def export(
    run: Path,
    /,
    *,
    out: Path,
    format: Literal["onnx", "safetensors"] | None = None,
    weights: Literal["ema", "raw"] = "ema",
    attention: Annotated[bool, Parameter(negative=())] = False,
    card: Path | None = None,
) -> None:
    """Write a run's generator as one file, for other programs or to pass on.

    sagan sample and sagan.load open such a file as they open a run.

    Parameters
    ----------
    run
        A run's folder, or one of its checkpoints'.
    out
        The file, ending in .onnx or .safetensors.
    format
        onnx: runs without PyTorch. safetensors: weights that train on. By default as --out ends.
    weights
        The averaged weights, or the raw ones.
    attention
        Give the attention maps too, as further outputs of the ONNX file.
    card
        Also write a model card here, as README.md, with a grid of samples beside it.
    """
    kind = next((k for k, ending in _FORMATS.items() if out.suffix.lower() == ending), None)
    if kind is None or format not in (None, kind):
        wanted = _FORMATS[format] if format else " or ".join(_FORMATS.values())
        raise ValueError(f"--out {out} must end in {wanted}")
    if attention and kind != "onnx":
        raise ValueError("--attention is of ONNX files; a safetensors file holds weights only")
    if card is not None and card.suffix.lower() != ".md":
        raise ValueError(f"--card {card} must end in .md")
    from sagan.run import find_checkpoint

    find_checkpoint(run)  # before a folder is made
    out.parent.mkdir(parents=True, exist_ok=True)
    if kind == "onnx":
        _export_onnx(run, out, weights, attention)
    else:
        from sagan.exchange.weights_file import export_weights

        n_bytes = export_weights(run, out, weights=weights)
        print(f"{out}: {n_bytes / 1e6:.1f} MB", file=sys.stderr)
    if card is not None:
        from sagan.exchange.card import write_card

        grid = write_card(run, out, card, weights=weights)
        print(f"{card}, {grid}: model card and samples", file=sys.stderr)


def _export_onnx(run: Path, out: Path, weights: Literal["ema", "raw"], attention: bool) -> None:
    from sagan.exchange.onnx import MOST_DIFFERENCE, export_onnx

    made = export_onnx(run, out, weights=weights, attention=attention)
    print(f"{out}: {made.n_bytes / 1e6:.1f} MB", file=sys.stderr)
    found = ", ".join(f"{value:.1e} at batch {b}" for b, value in made.differences.items())
    print(
        f"Largest difference from PyTorch: {found} (at most {MOST_DIFFERENCE:g} is let through)",
        file=sys.stderr,
    )
