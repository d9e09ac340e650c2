"""A model card: what a written file is, how it was trained and scored, and how to use it.

Only what the run itself knows. Whose the data are and what they allow is for its owner to add.
"""

import json
from pathlib import Path
from typing import Any, Literal

from sagan.checkpoint import Checkpoint
from sagan.config import RunConfig
from sagan.files import write_atomically
from sagan.run import find_checkpoint
from sagan.sampling import image_grid, load, sample

_COLUMNS = 8
_MOST_ROWS = 10


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
    home = checkpoint.path.parent.parent
    grid = card.with_name(f"{file.stem}-samples.png")
    card.parent.mkdir(parents=True, exist_ok=True)
    rows = _write_grid(checkpoint, grid, weights)
    parts = [
        _head(checkpoint.config, home.resolve().name, file),
        f"![Samples]({grid.name})\n\n{rows}",
        _table("Network", _network(checkpoint.config)),
        _table("Training", _training(checkpoint, weights)),
        _scores(home / "evaluations.jsonl", checkpoint.step, weights),
        _use(checkpoint.config, file),
    ]
    write_atomically(card, "\n\n".join(part for part in parts if part).encode() + b"\n")
    return grid


def _write_grid(checkpoint: Checkpoint, grid: Path, weights: Literal["ema", "raw"]) -> str:
    """Write the samples and say what they are."""
    network = checkpoint.config.network
    rows = min(network.classes, _MOST_ROWS) or _COLUMNS
    images = sample(
        load(checkpoint.path, weights=weights, fold=True),
        rows * _COLUMNS,
        classes=range(rows) if network.classes else None,
    )
    image_grid(images, _COLUMNS).save(grid)
    text = f"Not chosen: seeds 0 to {rows * _COLUMNS - 1}, without truncation"
    if not network.classes:
        return f"{text}."
    return f"{text}; a row a class: {', '.join(checkpoint.config.data.class_names[:rows])}."


def _head(config: RunConfig, name: str, file: Path) -> str:
    tags = ["sagan", "gan", "self-attention", *(["onnx"] if file.suffix == ".onnx" else [])]
    return (
        f"---\nlibrary_name: sagan\npipeline_tag: unconditional-image-generation\n"
        f"tags: [{', '.join(tags)}]\n---\n\n# {name}\n\n"
        f"A generator of {config.network.resolution} px images: a self-attention GAN."
    )


def _network(config: RunConfig) -> dict[str, object]:
    network = config.network
    names = config.data.class_names[: network.classes]
    sides = ", ".join(f"{side} px" for side in network.g_attention)
    return {
        "family": network.family,
        "images": f"{network.channels} x {network.resolution} x {network.resolution}",
        "latents": network.latent_dim,
        "classes": f"{len(names)}: {', '.join(names)}" if names else "none (unconditional)",
        "attention": f"at {sides}, the {network.attention_form} form" if sides else "none",
    }


def _training(checkpoint: Checkpoint, weights: str) -> dict[str, object]:
    """Facts of the training; of an imported run that was not trained on, whose it is."""
    config, manifest = checkpoint.config, checkpoint.manifest
    facts: dict[str, object] = {}
    if "imported" in manifest:
        facts["imported from"] = manifest["imported"]["peer"]
    facts |= {
        "data": Path(config.data.source).name or "not known",
        "weights": "averaged over training" if weights == "ema" else "as trained, not averaged",
        "images seen": f"{manifest['images']:,}" if "images" in manifest else "not known",
        "generator steps": f"{checkpoint.step:,}",
    }
    if checkpoint.step:
        training = config.training
        facts |= {
            "preset": config.preset,
            "batch": training.batch_size,
            "loss": training.loss,
            "learning rates": f"G {training.g_lr:g}, D {training.d_lr:g}",
            "augmentation": ", ".join(training.augment) or "none",
            "seed": training.seed,
        }
    return facts


def _table(title: str, facts: dict[str, object]) -> str:
    rows = [f"| {name} | {_cell(value)} |" for name, value in facts.items()]
    return "\n".join([f"## {title}\n", "| | |", "|---|---|", *rows])


def _cell(value: object) -> str:
    return " ".join(str(value).replace("|", r"\|").split())


def _scores(evaluations: Path, step: int, weights: str) -> str:
    """The last score by each metric of these very weights; nothing where there is none."""
    last: dict[str, dict[str, Any]] = {}
    if evaluations.is_file():
        for line in evaluations.read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            if (record.get("step"), record.get("weights")) == (step, weights):
                last[record["title"]] = record
    rows = [
        f"| {_cell(title)} | {_number(r)} | {r['better']} | {_number(r['real_vs_real'])} "
        f"| {r['n_generated']:,} against {r['n_real']:,} |"
        for title, r in last.items()
    ]
    if not rows:
        return ""
    head = ["| metric | value | better | real against real | images |", "|---|---|---|---|---|"]
    return "\n".join(["## Scores\n", "Measured by `sagan evaluate`.\n", *head, *rows])


def _number(score: dict[str, Any] | None) -> str:
    if score is None:
        return "-"
    spread = f" ± {score['spread']:.2g}" if score["spread"] is not None else ""
    return f"{score['value']:.4g}{spread}"


def _use(config: RunConfig, file: Path) -> str:
    network = config.network
    label = ", classes=[0]" if network.classes else ""
    lines = [
        "## Use\n",
        "```python",
        "import sagan",
        "",
        f'generator = sagan.load("{file.name}")',
        f"images = sagan.sample(generator, 16{label}, seed=0)  # uint8 n c h w",
        "```",
    ]
    if file.suffix.lower() == ".onnx":
        labels = ', "labels": np.zeros(16, np.int64)' if network.classes else ""
        lines += [
            "\nWithout `sagan` and PyTorch:\n",
            "```python",
            "import numpy as np",
            "import onnxruntime",
            "",
            f'session = onnxruntime.InferenceSession("{file.name}")',
            f"latents = np.random.randn(16, {network.latent_dim}).astype(np.float32)",
            f'inputs = {{"latents": latents{labels}}}',
            '(images,) = session.run(["images"], inputs)  # float [-1, 1], n c h w',
            "```",
        ]
    return "\n".join(lines)
