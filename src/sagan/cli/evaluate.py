"""`sagan evaluate`."""

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

if TYPE_CHECKING:
    import torch
    from torch import nn

    from sagan.config import RunConfig
    from sagan.evaluation.candidates import Subject
    from sagan.metrics import RealImages, Score, Spec
    from sagan.metrics.features.inception_features import InceptionFeatures
    from sagan.metrics.formulas.frechet import Gaussian

CAS_IMAGES_A_CLASS = 120
_MOST_BY_DEFAULT = 10_000
_KINDS = ("own", "pixel", "inception", "inception-clean")


def evaluate(
    images: Path | None = None,
    /,
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
    save_stats: Path | None = None,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
    selftest: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Score a trained generator, or any images; JSON on stdout, a table on stderr.

    Each number comes with its protocol, and with what real images score
    against other real images. docs/metrics.md says what each metric sees.

    Parameters
    ----------
    images
        A run's folder, one of its checkpoints', a folder of sagan export, or hub:OWNER/NAME;
        or images: a folder, zip or array.
    data
        Source of the real images, or a .npz of saved statistics; by default the run's own.
    metrics
        Names with commas, as cas,fd:pixel,kid; by default all that the data allow.
    features
        For metrics that name none: own, pixel, inception:FILE or inception-clean:FILE;
        inception:download fetches the weights (96 MB).
    num
        Images to score; by default of a run as many as there are real ones, at most
        10000, and otherwise all.
    seed
        Of the first generated image, and of splits and subsets.
    weights
        The averaged weights, or the raw ones.
    standing_batches
        Recompute batch-norm statistics from so many batches; 0 keeps the checkpoint's.
    resolution
        Side in px that images are brought to; by default the first image's.
    batch_size
        Images made or read at once.
    save_stats
        FILE.npz to write the real images' mu and sigma of Inception features to.
    device
        Where to compute.
    selftest
        Put faults into real digits instead, and print which metric sees which.
    """
    if selftest:
        return _selftest(seed)
    if images is None:
        raise ValueError("name a run, or a folder, zip or array of images; or --selftest")
    for name, value, least in (
        ("num", num, 2),
        ("seed", seed, 0),
        ("standing-batches", standing_batches, 0),
        ("batch-size", batch_size, 1),
    ):
        if value is not None and value < least:
            raise ValueError(f"--{name} must be at least {least}, not {value}")
    kind = _kind_of(features)
    from sagan.metrics import parse_metrics

    if metrics is not None:
        parse_metrics(metrics, kind)  # refused before anything is read
    from sagan.devices import pick_device
    from sagan.evaluation.candidates import open_images, open_maker
    from sagan.runs.place import RUN_OR_CHECKPOINT, locate

    place = pick_device(device)
    with tempfile.TemporaryDirectory(prefix="sagan-") as cache:
        if locate(images).kind in (*RUN_OR_CHECKPOINT, "shared folder", "hub"):
            if resolution is not None:
                raise ValueError("--resolution is for images; a run has its own")
            subject = open_maker(
                images,
                weights=weights,
                device=place,
                seed=seed,
                batch_size=batch_size,
                standing_batches=standing_batches,
            )
        else:
            subject = open_images(
                images,
                resolution=resolution,
                seed=seed,
                batch_size=batch_size,
                cache=Path(cache),
            )
        _evaluate(subject, data, metrics, features, num, seed, batch_size, save_stats, place)


def _kind_of(features: str) -> str:
    kind, _, file = features.partition(":")
    if kind not in _KINDS or (kind.startswith("inception") != bool(file)):
        raise ValueError(
            f"--features {features!r} is none of own, pixel, inception:FILE, "
            "inception-clean:FILE (FILE may be download)"
        )
    return kind


def _evaluate(
    subject: "Subject",
    data: str | None,
    metrics: str | None,
    features: str,
    num: int | None,
    seed: int,
    batch_size: int,
    save_stats: Path | None,
    device: "torch.device | str",
) -> None:
    from sagan.data.sources.open_source import is_known_source
    from sagan.evaluation.candidates import renumber
    from sagan.metrics import prepare
    from sagan.metrics.formulas.statistics import write_statistics

    began = time.monotonic()
    kind = _kind_of(features)
    source = data or subject.source
    if source is None:
        raise ValueError("--data is missing: the source of the real images to compare with")
    if data is None and subject.run is None and not is_known_source(source):
        raise ValueError(
            f"--data is missing: this generator was trained on {source!r}, which is not here by "
            "that name"
        )
    real, statistics = _open_data(source, subject, seed)
    numbers = None if real is None else renumber(subject, real, source)
    specs = _specs(metrics, kind, real, labelled=numbers is not None)
    if save_stats is not None and not any(spec.name == "fid" for spec in specs):
        raise ValueError("--save-stats needs fid among the metrics")
    num = _num(num, subject, real)
    inception = _open_inception(kind, features, device)
    reference = prepare(
        real,
        specs,
        num=num,
        seed=seed,
        inception=inception,
        statistics=statistics,
        device=device,
        progress=True,
    )
    if save_stats is not None and inception is not None:
        write_statistics(save_stats, reference.statistics, inception.resize)
    batches, labels = subject.make(num)
    if labels is not None and numbers is not None:
        labels = numbers[labels]
    scores = reference.score(batches, None if numbers is None else labels)
    facts = {**subject.facts, "data": source, "num": num}
    _report(facts, scores, subject.run, time.monotonic() - began)


def _open_data(
    source: str, subject: "Subject", seed: int
) -> "tuple[RealImages | None, Gaussian | None]":
    from sagan.evaluation.candidates import open_real
    from sagan.metrics.features.inception import FEATURES
    from sagan.metrics.formulas.statistics import is_statistics, read_statistics

    if is_statistics(Path(source)):
        return None, read_statistics(Path(source), FEATURES)
    real = open_real(
        source,
        resolution=subject.resolution,
        channels=subject.channels,
        background=subject.background,
        seed=seed,
    )
    return real, None


def _specs(
    metrics: str | None, kind: str, real: "RealImages | None", *, labelled: bool
) -> "tuple[Spec, ...]":
    from sagan.metrics import default_metrics, parse_metrics
    from sagan.metrics.spec import HOW_TO_GET_WEIGHTS

    if metrics is not None:
        return parse_metrics(metrics, kind)
    if real is None:
        return parse_metrics("fid,is", kind)
    if not kind.startswith("inception"):
        print(f"no fid, intra-fid and is: {HOW_TO_GET_WEIGHTS}", file=sys.stderr)
    if not labelled:
        print("no cas: there are no classes", file=sys.stderr)
    own_split = real.split_by_seed is None
    return default_metrics(labelled=labelled, held_out=own_split, features=kind)


def _num(num: int | None, subject: "Subject", real: "RealImages | None") -> int:
    if subject.available is not None:
        if num is not None and num > subject.available:
            raise ValueError(f"--num is {num}, and there are {subject.available} images")
        return num or subject.available
    if num is not None:
        return num
    most = _MOST_BY_DEFAULT if real is None else min(_MOST_BY_DEFAULT, real.n_reference)
    classes = max(1, len(subject.class_names))
    return -(-most // classes) * classes


def _open_inception(
    kind: str, features: str, device: "torch.device | str"
) -> "InceptionFeatures | None":
    from sagan.data.packed import cache_root
    from sagan.metrics.features.inception_features import load_inception

    if kind not in ("inception", "inception-clean"):
        return None
    file = features.partition(":")[2]
    clean = kind == "inception-clean"
    protocol: Literal["inception", "inception-clean"] = "inception-clean" if clean else "inception"
    return load_inception(protocol, file, cache=cache_root(), device=device)


def _report(facts: dict[str, Any], scores: "list[Score]", run: Path | None, seconds: float) -> None:
    """Print a table on stderr and JSON on stdout, and append to the run's evaluations."""
    from sagan.runs.log import append_records

    records = [score.to_dict() for score in scores]
    print(_table(scores), file=sys.stderr)
    cautions: dict[str, list[str]] = {}
    for score in scores:
        for caution in filter(None, score.caution.split("; ")):
            cautions.setdefault(caution, []).append(score.metric)
    for caution, names in cautions.items():
        print(f"{', '.join(names)}: {caution}", file=sys.stderr)
    if run is not None:
        now = {"time": round(time.time(), 3)}
        append_records(
            run / "evaluations.jsonl", *({**now, **facts, **record} for record in records)
        )
    by_name = {record["metric"]: record for record in records}
    print(json.dumps({**facts, "seconds": round(seconds, 3), **by_name}))


def _table(scores: "list[Score]") -> str:
    rows = [("metric", "value", "real against real", "at its size", "better", "images")]
    for score in scores:
        floor, at = score.real_vs_real, score.at_real_n
        sizes = f"{score.n_generated} against {score.n_real}"
        rows.append(
            (
                score.title,
                _number(score.value, score.spread),
                _number(floor.value, floor.spread) if floor else "",
                f"{_number(at.value, None)} ({at.n[0]})" if at else "",
                score.better,
                sizes if score.n_real else str(score.n_generated),
            )
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(line.rstrip() for line in lines)


def _number(value: float, spread: float | None) -> str:
    return f"{value:.4g}" if spread is None else f"{value:.4g} ± {spread:.2g}"


def _selftest(seed: int) -> None:
    import dataclasses

    import numpy as np

    from sagan.data import load_dataset
    from sagan.metrics.selftest import selftest

    train, test = (load_dataset("digits", resolution=8, split=s) for s in ("train", "test"))
    assert train.labels is not None
    assert test.labels is not None
    result = selftest(
        np.concatenate([train.images, test.images]),
        np.concatenate([train.labels, test.labels]),
        train.class_names,
        seed=seed,
        progress=True,
    )
    rows = [("metric", "real against real", *result.z)]
    for metric, (mean, spread) in result.real_vs_real.items():
        moved = (f"{result.z[fault][metric]:+.1f}" for fault in result.z)
        rows.append((metric, f"{mean:.4g} ± {spread:.2g}", *moved))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    print(
        f"Faults in {result.n} digits against {result.n} others: change over the standard "
        f"deviation of sound ones, {result.splits} splits",
        file=sys.stderr,
    )
    for row in rows:
        print("  ".join(c.rjust(w) for c, w in zip(row, widths, strict=True)), file=sys.stderr)
    print(json.dumps(dataclasses.asdict(result)))


def cas_of(generator: "nn.Module", config: "RunConfig", *, source: str, seed: int = 0) -> "Score":
    """Compute CAS of a generator from 120 images a class, and its ceiling (`real_vs_real`)."""
    from sagan.evaluation.candidates import open_real, score_generator
    from sagan.metrics import parse_metrics, prepare

    network = config.network
    real = open_real(
        source,
        resolution=network.resolution,
        channels=network.channels,
        background=config.data.background,
    )
    num = CAS_IMAGES_A_CLASS * network.classes
    reference = prepare(real, parse_metrics("cas"), num=num)
    (score,) = score_generator(generator, config, reference, seed=seed)
    return score
