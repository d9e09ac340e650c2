"""Runs beside each other: what they are, how they were scored, their curves and their samples."""

import json
import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from sagan.config import RunConfig
from sagan.devices import pick_device
from sagan.files import check_above, write_atomically
from sagan.images import image_grid, png, side_by_side
from sagan.randomness import sample_latents
from sagan.runs.log import read_records
from sagan.runs.open_run import load_run_generator
from sagan.runs.place import check_outside_runs, locate
from sagan.runs.run import Run
from sagan.sampling import generate
from sagan.text import listed
from sagan.training.curves import draw_together

_SEEDS = 6  # columns of a run's samples
_MOST_CLASSES = 10  # rows
_CELL_PX = 64  # smaller samples are enlarged to it
_GUTTER_PX = 4
_KEPT = ("value", "spread", "better", "n_generated", "n_real", "data", "step", "weights")


@dataclass(frozen=True)
class RunSummary:
    """A line of the comparison."""

    run: str
    preset: str
    resolution: int
    images: int | None  # shown to D until now; None without a log
    minutes: float | None  # trained, by the log
    scores: dict[str, dict[str, Any]]  # the newest of `evaluations.jsonl`, by metric
    log_scores: dict[str, dict[str, Any]]  # the best of the log, by metric


@dataclass(frozen=True)
class Comparison:
    """Runs beside each other, and what to know when their scores are compared."""

    runs: list[RunSummary]
    notes: list[str]
    files: list[str]

    def to_dict(self) -> dict[str, Any]:
        """Convert to the JSON values that `sagan compare` prints."""
        return asdict(self)


def compare_runs(
    paths: Sequence[str | os.PathLike[str]],
    *,
    out: Path | None = None,
    seed: int = 0,
    weights: Literal["ema", "raw"] = "ema",
    device: str = "auto",
) -> Comparison:
    """Summarise runs, and write curves, samples of the same seeds and the summary into a folder.

    Raises ValueError if these are not at least two different runs.
    """
    if len(paths) < 2:
        raise ValueError("name at least two runs to compare")
    if seed < 0:
        raise ValueError(f"--seed must be 0 or more, not {seed}")
    if out is not None and out.exists() and not out.is_dir():
        raise ValueError(f"--out {out} is a file; name a folder")
    if out is not None:
        check_above(out, f"--out {out}")
        check_outside_runs(out)
    runs = _named(paths)
    configs = {name: run.config() for name, run in runs.items()}
    logs = {name: list(read_records(run.log_path)) for name, run in runs.items()}
    found = {name: list(read_records(run.path / "evaluations.jsonl")) for name, run in runs.items()}
    summaries = [_summary(name, configs[name], logs[name], found[name]) for name in runs]
    notes = _notes(configs, found)
    if out is None:
        return Comparison(summaries, notes, [])
    untrained = [name for name, run in runs.items() if not run.checkpoint_paths()]
    notes += [f"{name} has no checkpoint yet, so no samples" for name in untrained]
    grids = _samples(
        {name: run for name, run in runs.items() if name not in untrained},
        seed,
        weights,
        pick_device(device),
    )
    out.mkdir(parents=True, exist_ok=True)
    files = ["curves.png"] if draw_together(out / "curves.png", logs) else []
    if grids:
        write_atomically(out / "samples.png", png(side_by_side(grids)))
        files.append("samples.png")
    if (out / "comparison.json").exists():  # pictures of before would be taken for these runs'
        for name in {"curves.png", "samples.png"}.difference(files):
            (out / name).unlink(missing_ok=True)
    files = [str(out / name) for name in (*files, "comparison.json")]
    comparison = Comparison(summaries, notes, files)
    content = json.dumps(comparison.to_dict(), indent=1) + "\n"
    write_atomically(out / "comparison.json", content.encode())
    return comparison


def _named(paths: Sequence[str | os.PathLike[str]]) -> dict[str, Run]:
    """The runs by their folders' names, or by their paths where two have one name."""
    places = [locate(path).require("run").path for path in paths]
    whole = [place.resolve() for place in places]
    for place, path in zip(places, whole, strict=True):
        if whole.count(path) > 1:
            raise ValueError(f"{place} is named twice")
    names = [path.name for path in whole]
    unique = len(set(names)) == len(names)
    return {
        name if unique else str(place): Run(place)
        for name, place in zip(names, places, strict=True)
    }


def _summary(
    name: str, config: RunConfig, log: list[dict[str, Any]], evaluations: list[dict[str, Any]]
) -> RunSummary:
    images = [r["images"] for r in log if "images" in r]
    elapsed = [r["elapsed"] for r in log if "elapsed" in r]
    return RunSummary(
        run=name,
        preset=config.preset,
        resolution=config.network.resolution,
        images=images[-1] if images else None,
        minutes=round(elapsed[-1] / 60, 2) if elapsed else None,
        scores={
            r["metric"]: {key: r.get(key) for key in _KEPT} for r in evaluations if "metric" in r
        },
        log_scores=_best(log),
    )


def _best(log: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The best score of each metric while training; those during serious alarms do not count."""
    best: dict[str, dict[str, Any]] = {}
    for r in log:
        value = r.get("value") if r.get("kind") == "score" else None
        if value is None or not math.isfinite(value) or r.get("alarms"):
            continue
        sign = 1 if r["better"] == "higher" else -1
        old = best.get(r["metric"])
        if old is None or sign * value > sign * old["value"]:
            kept = ("value", "spread", "better", "n_generated", "n_real", "images")
            best[r["metric"]] = {key: r.get(key) for key in kept}
    return best


def _notes(configs: dict[str, RunConfig], found: dict[str, list[dict[str, Any]]]) -> list[str]:
    """Which scores were made in different ways, so that their values do not compare."""
    ways: dict[str, set[tuple[Any, ...]]] = {}
    for name, records in found.items():
        for metric, r in {r["metric"]: r for r in records if "metric" in r}.items():
            protocol = r.get("protocol") or {}
            names = ("data", "n_generated", "n_real", "standing_batches", "weights")
            how = tuple(r.get(key) for key in names)
            features = (protocol.get("features"), protocol.get("weights_sha256"))
            side = configs[name].network.resolution
            ways.setdefault(metric, set()).add((*how, *features, side))
    different = [metric for metric, seen in ways.items() if len(seen) > 1]
    if not different:
        return []
    why = "other data, sizes, numbers of images, statistics, weights or features"
    return [f"{', '.join(different)}: scored with {why}, so the values do not compare"]


def _samples(
    runs: dict[str, Run], seed: int, weights: Literal["ema", "raw"], device: str
) -> dict[str, Any]:
    """A grid of each run: a class a row, a seed a column; classes that all runs have, if any."""
    opened = {
        name: load_run_generator(run.path, weights=weights, device=device)
        for name, run in runs.items()
    }
    classes = {
        name: list(run.config().data.class_names)[: opened[name].config.classes]
        for name, run in runs.items()
    }
    shared = [k for k in next(iter(classes.values()), []) if all(k in c for c in classes.values())]
    cell_px = max([_CELL_PX, *(network.config.resolution for network in opened.values())])
    grids = {}
    for name, network in opened.items():
        config, names = network.config, classes[name]
        chosen = [names.index(k) for k in shared] or list(range(config.classes))
        chosen = chosen[:_MOST_CLASSES]
        rows = len(chosen) or 1
        latents = sample_latents(range(seed, seed + _SEEDS), config.latent_dim).repeat(rows, 1)
        labels = torch.tensor(chosen).repeat_interleave(_SEEDS) if chosen else None
        images = torch.cat(list(generate(network, latents, labels)))
        times = max(1, cell_px // config.resolution)
        images = images.repeat_interleave(times, 2).repeat_interleave(times, 3)
        grid = image_grid(images, _SEEDS, scale=1, gutter=_GUTTER_PX)
        rows_are = listed([names[k] for k in chosen], 3) if names and not shared else ""
        grids[f"{name}: {rows_are}" if rows_are else name] = grid
    return grids
