"""Scoring a run or images against real ones: what `sagan evaluate` does, from Python."""

import os
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import nn

from sagan.config import RunConfig
from sagan.data.packed import cache_root
from sagan.data.sources.open_source import is_known_source
from sagan.devices import pick_device
from sagan.evaluation.candidates import ImagesToScore, open_images_to_score
from sagan.evaluation.real_side import class_numbers, open_real, open_real_side
from sagan.files import check_above
from sagan.metrics import (
    RealImages,
    Score,
    Spec,
    default_metrics,
    load_inception,
    parse_metrics,
    prepare,
)
from sagan.metrics.features.inception_features import HOW_TO_GET_WEIGHTS, InceptionFeatures
from sagan.metrics.formulas.statistics import check_protocol, write_statistics
from sagan.metrics.registry import METRICS, Metric
from sagan.runs.log import append_records
from sagan.sampling import of_all_classes

_CAS_IMAGES_PER_CLASS = 120
_MOST_BY_DEFAULT = 10_000
_MOST_IMAGES = 1_000_000
_KINDS = ("own", "pixel", "inception", "inception-clean")


@dataclass(frozen=True)
class Evaluation:
    """Scores of a run or of images, from `sagan.evaluate_run`.

    Args:
        scores: by name, as `fd:pixel`, in the order of the metrics.
        facts: what was scored, how many images of it, and against which data.
        seconds: spent on scoring.
        run: folder of the run that was scored; None for images, or a generator without its run.

    Example:
        >>> Evaluation({}, {"num": 100}, 1.5).to_dict()
        {'num': 100, 'seconds': 1.5}
    """

    scores: dict[str, Score]
    facts: dict[str, Any]
    seconds: float
    run: Path | None = None

    def to_dict(self) -> dict[str, Any]:
        """Convert to the JSON values that `sagan evaluate` prints: facts, and scores by name."""
        scores = {name: score.to_dict() for name, score in self.scores.items()}
        return {**self.facts, "seconds": round(self.seconds, 3), **scores}

    def record(self) -> None:
        """Append the scores to `evaluations.jsonl` in the run's folder, if there is one."""
        if self.run is not None:
            facts = {"time": round(time.time(), 3), **self.facts}
            records = ({**facts, **score.to_dict()} for score in self.scores.values())
            append_records(self.run / "evaluations.jsonl", *records)


def evaluate_run(
    path: str | os.PathLike[str],
    *,
    data: str | None = None,
    metrics: str | None = None,
    features: str = "own",
    num: int | None = None,
    seed: int = 0,
    weights: Literal["ema", "raw"] = "ema",
    standing_batches: int = 0,
    resolution: int | None = None,
    batch_size: int = 64,
    save_stats: str | os.PathLike[str] | None = None,
    device: str = "auto",
    record: bool = True,
    progress: bool = False,
) -> Evaluation:
    """Score a trained generator, or any images, as `sagan evaluate` does.

    Each score comes with its protocol, and with what real images score against other real images.

    Args:
        path: a run's folder, one of its checkpoints', a folder of `sagan export`, or
            `hub:OWNER/NAME`; or images: a folder, zip or array.
        data: source of the real images, or an `.npz` of saved statistics; None takes the run's own.
        metrics: comma-separated names, as `cas,fd:pixel,kid`; None takes all that the data allow.
        features: for metrics that name none: `own`, `pixel`, `inception:FILE` or
            `inception-clean:FILE`; `inception:download` fetches the weights (96 MB).
        num: images to score, at least 2; None takes all stored images, or of a generator as many as
            there are real ones, at most 10,000.
        seed: of the first generated image, and of splits and subsets.
        weights: `ema`, the averaged ones, or `raw`.
        standing_batches: batches to recompute batch-norm statistics from; 0 keeps the checkpoint's.
        resolution: side in px that images are resized to; None takes the first image's. A generator
            has its own.
        batch_size: images made or read at once.
        save_stats: `.npz` file for mean and covariance of the real images' Inception features.
        device: `auto`, `cpu`, `cuda` or `mps`.
        record: append the scores to the run's `evaluations.jsonl`.
        progress: on stderr, with what is skipped and why.

    Returns:
        The scores by name, as `fd:pixel`, with what was scored against which data.

    Raises:
        ValueError: an argument is out of range, a metric is unknown or needs something that is not
            there, or images cannot be read.
        CheckpointError: the run's checkpoint is damaged.
        OSError: weights could not be downloaded, or a file not be written.

    Example:
        >>> evaluation = evaluate_run("digits", data="digits", metrics="fd:pixel,cas", num=500)
        >>> list(evaluation.scores), evaluation.scores["cas"].n_generated
        (['fd:pixel', 'cas'], 500)
    """
    _check_least("num", num, 2)
    _check_least("seed", seed, 0)
    _check_least("standing-batches", standing_batches, 0)
    _check_least("batch-size", batch_size, 1)
    for name, value in (("num", num), ("standing-batches", standing_batches)):
        if value is not None and value > _MOST_IMAGES:
            raise ValueError(f"{name} must be at most {_MOST_IMAGES:,}, not {value:,}")
    if save_stats is not None:
        check_above(Path(save_stats), f"--save-stats {save_stats}")
    kind, weights_file = _parse_features(features)
    specs = None if metrics is None else parse_metrics(metrics, kind)  # refused before all reading
    path, device = Path(path), pick_device(device)
    with tempfile.TemporaryDirectory(prefix="sagan-") as cache:
        candidate = open_images_to_score(
            path,
            weights=weights,
            device=device,
            seed=seed,
            batch_size=batch_size,
            standing_batches=standing_batches,
            resolution=resolution,
            cache=Path(cache),
            progress=progress,
        )
        began = time.monotonic()
        source = _source(data, candidate)
        real, statistics = open_real_side(source, candidate, seed, progress)
        if real is not None:
            candidate = candidate.in_channels(real.images.shape[1])
        needed = specs is None or any(spec.metric.labelled for spec in specs)
        numbers = None
        if real is not None:
            numbers = class_numbers(candidate, real, source, needed=needed)
        if specs is None:
            labelled = real is not None and numbers is not None and len(real.class_names) > 1
            specs = _default_specs(kind, real, labelled=labelled, say=progress)
        if save_stats is not None and not any(spec.name == "fid" for spec in specs):
            raise ValueError("--save-stats needs fid among the metrics")
        num = _num(num, candidate, real)
        inception = _open_inception(kind, weights_file, device)
        if statistics is not None and inception is not None:
            check_protocol(Path(source), inception.resize)
        reference = prepare(
            real,
            specs,
            num=num,
            seed=seed,
            inception=inception,
            statistics=statistics,
            device=device,
            progress=progress,
        )
        if save_stats is not None and inception is not None:
            Path(save_stats).parent.mkdir(parents=True, exist_ok=True)
            write_statistics(Path(save_stats), reference.statistics, inception.resize)
        counts = reference.class_counts
        counts = None if counts is None or numbers is None else counts[numbers]
        batches, labels = candidate.make(num, counts)
        if labels is not None:
            labels = None if numbers is None else numbers[labels]
        scores = {score.metric: score for score in reference.score(batches, labels)}
    facts = {**candidate.facts, "data": source, "num": num}
    evaluation = Evaluation(scores, facts, time.monotonic() - began, candidate.run)
    if record:
        evaluation.record()
    return evaluation


def _check_least(option: str, value: int | None, least: int) -> None:
    if value is not None and value < least:
        raise ValueError(f"--{option} must be at least {least}, not {value}")


def _parse_features(features: str) -> tuple[str, str]:
    """Split `inception:FILE` into kind and file."""
    kind, _, file = features.partition(":")
    if kind not in _KINDS or (kind.startswith("inception") != bool(file)):
        raise ValueError(
            f"--features {features!r} is none of own, pixel, inception:FILE, "
            "inception-clean:FILE (FILE may be download)"
        )
    return kind, file


def _source(data: str | None, candidate: ImagesToScore) -> str:
    source = data or candidate.source
    if source is None:
        raise ValueError("--data is missing: the source of the real images to compare with")
    if data is None and candidate.run is None and not is_known_source(source):
        raise ValueError(
            f"--data is missing: this generator was trained on {source!r}, which is not here by "
            "that name"
        )
    return source


def _default_specs(
    kind: str, real: RealImages | None, *, labelled: bool, say: bool
) -> tuple[Spec, ...]:
    if real is None:
        return parse_metrics(",".join(m.name for m in METRICS.values() if not m.needs_images), kind)
    own_split = real.split_by_seed is None
    specs = default_metrics(labelled=True, held_out=own_split, features=kind)
    if say and not kind.startswith("inception"):
        _say_skipped((m for m in METRICS.values() if m.features == "inception"), HOW_TO_GET_WEIGHTS)
    if say and not labelled:
        _say_skipped(
            (s.metric for s in specs if s.metric.labelled), "there are fewer than two classes"
        )
    return tuple(spec for spec in specs if labelled or not spec.metric.labelled)


def _say_skipped(metrics: Iterable[Metric], why: str) -> None:
    *names, last = [metric.name for metric in metrics]
    listed = f"{', '.join(names)} and {last}" if names else last
    print(f"no {listed}: {why}", file=sys.stderr)


def _num(num: int | None, candidate: ImagesToScore, real: RealImages | None) -> int:
    if candidate.available is not None:
        if num is not None and num > candidate.available:
            raise ValueError(f"--num is {num}, and there are {candidate.available} images")
        return num or candidate.available
    if num is not None:
        return num
    most = _MOST_BY_DEFAULT if real is None else min(_MOST_BY_DEFAULT, real.n_reference)
    classes = max(1, len(candidate.class_names))
    return min(_MOST_BY_DEFAULT, -(-most // classes) * classes)  # as many of each class


def _open_inception(kind: str, file: str, device: str) -> InceptionFeatures | None:
    if not file:
        return None
    clean = kind == "inception-clean"
    protocol: Literal["inception", "inception-clean"] = "inception-clean" if clean else "inception"
    return load_inception(protocol, file, cache=cache_root(), device=device)


def cas_of(generator: nn.Module, config: RunConfig, *, source: str, seed: int = 0) -> Score:
    """Compute CAS of a generator from 120 images per class, and its ceiling (`real_vs_real`)."""
    network = config.network
    real = open_real(
        source,
        resolution=network.resolution,
        channels=network.channels,
        background=config.data.background,
        crop=config.data.crop,
        rules=config.data.rules,
    )
    num = _CAS_IMAGES_PER_CLASS * network.classes
    reference = prepare(real, parse_metrics("cas"), num=num)
    batches, labels = of_all_classes(generator, network, num, seed=seed)
    (score,) = reference.score(batches, labels)
    return score
