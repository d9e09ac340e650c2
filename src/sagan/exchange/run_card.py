"""What a run adds to its generator's model card: samples, training facts and scores."""

from pathlib import Path
from typing import Any, Literal, NamedTuple

from sagan.files import write_atomically
from sagan.images import image_grid, png
from sagan.models import Generator, fold
from sagan.runs.checkpoint import Checkpoint
from sagan.runs.log import read_records
from sagan.runs.open_run import CHECKPOINT_FILES, load_run_generator
from sagan.runs.run import find_checkpoint
from sagan.sampling import sample
from sagan.sharing.card import make_card, table_cell
from sagan.sharing.facts import Facts

_COLUMNS = 8
_MAX_ROWS = 10


class Card(NamedTuple):
    """A card's Markdown, and the PNG that it shows."""

    text: bytes
    picture: bytes


def write_card(
    run: Path, file: Path, card: Path, grid: Path, *, weights: Literal["ema", "raw"] = "ema"
) -> None:
    """Write the card of a model file exported from a run, and the grid of samples that it shows."""
    checkpoint = find_checkpoint(run, verify_files=[CHECKPOINT_FILES[weights]])
    generator = load_run_generator(checkpoint.path, weights=weights)
    made = make_run_card(checkpoint, generator, address=file.name, picture=grid.name)
    card.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(grid, made.picture)
    write_atomically(card, made.text)


def make_run_card(
    checkpoint: Checkpoint,
    generator: Generator,
    *,
    address: str,
    picture: str,
    title: str | None = None,
) -> Card:
    """Make the card of a checkpoint's generator, as opened by `load_run_generator`."""
    # `address` is what `sagan.load` opens; `picture` the file name of the samples beside the card
    facts, manifest = generator.facts, checkpoint.manifest
    assert facts is not None
    home = checkpoint.run
    png, caption = _samples(generator, facts)
    text = make_card(
        facts,
        title or home.name,
        address,
        samples=f"![Samples]({picture})\n\n{caption}",
        imported_from=manifest["imported"]["peer"] if "imported" in manifest else "",
        images_seen=f"{manifest['images']:,}" if manifest.get("images") else "unknown",
        scores=_scores(home / "evaluations.jsonl", facts),
    )
    return Card(text.encode(), png)


def _samples(generator: Generator, facts: Facts) -> tuple[bytes, str]:
    """Make a PNG of samples, a row per class, and its caption."""
    classes = facts.config.network.classes
    rows = min(classes, _MAX_ROWS) or _COLUMNS
    images = sample(fold(generator), rows * _COLUMNS, classes=range(rows) if classes else None)
    caption = f"Uncurated samples: seeds 0-{rows * _COLUMNS - 1}, no truncation"
    if classes:
        caption += f"; one class per row: {', '.join(facts.class_names[:rows])}"
    return png(image_grid(images, _COLUMNS)), f"{caption}."


def _scores(evaluations: Path, facts: Facts) -> str:
    """List the last score by each metric and data of exactly these weights, if there is one."""
    last: dict[tuple[str, str], dict[str, Any]] = {}
    for record in read_records(evaluations):
        # standing statistics of an evaluation are not those that are handed on
        of_these = (record.get("step"), record.get("weights")) == (facts.step, facts.weights)
        if of_these and "title" in record and not record.get("standing_batches"):
            data = Path(record.get("data", "")).name  # no path of this machine
            last[record["title"], data] = record
    rows = [
        f"| {table_cell(title)} | {_number(r)} | {r['better']} | {_number(r['real_vs_real'])} "
        f"| {r['n_generated']:,} against {r['n_real']:,}"
        f"{f' of {table_cell(data)}' if data else ''} |"
        for (title, data), r in last.items()
    ]
    if not rows:
        return ""
    heading = ["| metric | value | better | real against real | images |", "|---|---|---|---|---|"]
    return "\n".join(["## Scores\n", "Measured by `sagan evaluate`.\n", *heading, *rows])


def _number(score: dict[str, Any] | None) -> str:
    if score is None or score["value"] is None:  # too few images, or not finite
        return "-"
    spread = f" ± {score['spread']:.2g}" if score["spread"] is not None else ""
    return f"{score['value']:.4g}{spread}"
