"""The full model card of what a run wrote: what it is, how it was trained, its scores and samples.

Only what the run itself knows; see `sagan.sharing.card` for the parts that need no run.
"""

import io
import json
from pathlib import Path
from typing import Any, Literal, NamedTuple

from sagan.files import write_atomically
from sagan.images import image_grid
from sagan.runs.checkpoint import Checkpoint
from sagan.runs.open_run import load_run_generator
from sagan.runs.run import find_checkpoint
from sagan.sampling import sample
from sagan.sharing.card import cell, head, network_facts, table, training_facts, use
from sagan.sharing.facts import Facts

_COLUMNS = 8
_MOST_ROWS = 10


class Card(NamedTuple):
    """A card's Markdown, and the PNG that it shows."""

    text: bytes
    picture: bytes


def write_card(
    run: str | Path, file: str | Path, card: str | Path, *, weights: Literal["ema", "raw"] = "ema"
) -> Path:
    """Write a Markdown card for a model file, and beside it a grid of samples.

    Args:
        run: that the file was made of, or its checkpoint.
        file: the model file.
        card: the Markdown file.
        weights: that the file holds.

    Returns:
        The grid's file: named as the model file, with -samples.png.

    Raises:
        ValueError: there is no run.
    """
    checkpoint, file, card = find_checkpoint(run), Path(file), Path(card)
    grid = card.with_name(f"{file.stem}-samples.png")
    card.parent.mkdir(parents=True, exist_ok=True)
    made = full_card(checkpoint, title=None, address=file.name, picture=grid.name, weights=weights)
    write_atomically(grid, made.picture)
    write_atomically(card, made.text)
    return grid


def full_card(
    checkpoint: Checkpoint,
    *,
    title: str | None,
    address: str,
    picture: str,
    weights: Literal["ema", "raw"],
) -> Card:
    """Make a card.

    Args:
        checkpoint: of a run.
        title: of the card; None takes the run folder's name.
        address: that `sagan.load` takes.
        picture: the name that the samples will have beside the card.
        weights: the averaged ones, or the raw.

    Raises:
        CheckpointError: the checkpoint is damaged, or has no such weights.
    """
    home = checkpoint.path.parent.parent
    facts = Facts(checkpoint.config, checkpoint.step, weights)
    tags = ("onnx",) if address.lower().endswith(".onnx") else ()
    png, rows = _samples(checkpoint, facts, weights)
    parts = [
        head(facts, title or home.resolve().name, tags=tags),
        f"![Samples]({picture})\n\n{rows}",
        table("Network", network_facts(facts)),
        table("Training", _training(checkpoint, facts)),
        _scores(home / "evaluations.jsonl", checkpoint.step, weights),
        use(facts, address),
    ]
    return Card("\n\n".join(part for part in parts if part).encode() + b"\n", png)


def _samples(
    checkpoint: Checkpoint, facts: Facts, weights: Literal["ema", "raw"]
) -> tuple[bytes, str]:
    """Make the samples, and say what they are."""
    classes = facts.config.network.classes
    rows = min(classes, _MOST_ROWS) or _COLUMNS
    images = sample(
        load_run_generator(checkpoint.path, weights=weights, fold=True),
        rows * _COLUMNS,
        classes=range(rows) if classes else None,
    )
    png = io.BytesIO()
    image_grid(images, _COLUMNS).save(png, "PNG")
    text = f"Not chosen: seeds 0 to {rows * _COLUMNS - 1}, without truncation"
    if not classes:
        return png.getvalue(), f"{text}."
    return png.getvalue(), f"{text}; a row a class: {', '.join(facts.class_names[:rows])}."


def _training(checkpoint: Checkpoint, facts: Facts) -> dict[str, object]:
    """Facts of the training; of an imported run that was not trained on, whose it is."""
    manifest = checkpoint.manifest
    seen = f"{manifest['images']:,}" if "images" in manifest else "not known"
    imported = {"imported from": manifest["imported"]["peer"]} if "imported" in manifest else {}
    return {**imported, **training_facts(facts, {"images seen": seen})}


def _scores(evaluations: Path, step: int, weights: str) -> str:
    """The last score by each metric of these very weights; nothing where there is none."""
    last: dict[str, dict[str, Any]] = {}
    if evaluations.is_file():
        for line in evaluations.read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            if (record.get("step"), record.get("weights")) == (step, weights):
                last[record["title"]] = record
    rows = [
        f"| {cell(title)} | {_number(r)} | {r['better']} | {_number(r['real_vs_real'])} "
        f"| {r['n_generated']:,} against {r['n_real']:,} |"
        for title, r in last.items()
    ]
    if not rows:
        return ""
    heading = ["| metric | value | better | real against real | images |", "|---|---|---|---|---|"]
    return "\n".join(["## Scores\n", "Measured by `sagan evaluate`.\n", *heading, *rows])


def _number(score: dict[str, Any] | None) -> str:
    if score is None:
        return "-"
    spread = f" ± {score['spread']:.2g}" if score["spread"] is not None else ""
    return f"{score['value']:.4g}{spread}"
