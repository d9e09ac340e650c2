"""`sagan evaluate`."""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter


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

    Each score comes with its protocol, and with what real images score
    against other real images. docs/metrics.md says what each metric sees.

    Parameters
    ----------
    images
        A run, a checkpoint, an exported folder or hub:OWNER/NAME; or images: a folder,
        zip or array.
    data
        Source of the real images, or a .npz of saved statistics; by default the run's own.
    metrics
        Comma-separated, as cas,fd:pixel,kid; by default all that the data allow.
    features
        For metrics that name none: own, pixel, inception:FILE or inception-clean:FILE;
        inception:download fetches the weights (96 MB).
    num
        Number of images to score; by default all, or for a run as many as there are real
        ones, at most 10000.
    seed
        Random seed for the first generated image, splits and subsets.
    weights
        Averaged (ema) or raw weights.
    standing_batches
        Recompute batch-norm statistics from N batches; 0 keeps the checkpoint's.
    resolution
        Resize images to this side in px; by default the first image's.
    batch_size
        Images made or read at once.
    save_stats
        Write mean and covariance of the real images' Inception features to FILE.npz.
    device
        Device to compute on.
    selftest
        Put faults into real digits instead, and print which metric sees which.
    """
    if selftest:
        return _selftest(seed)
    if images is None:
        raise ValueError("name a run, or a folder, zip or array of images; or --selftest")
    from sagan.evaluation.evaluate_run import evaluate_run
    from sagan.evaluation.score_tables import score_table

    evaluation = evaluate_run(
        images,
        data=data,
        metrics=metrics,
        features=features,
        num=num,
        seed=seed,
        weights=weights,
        standing_batches=standing_batches,
        resolution=resolution,
        batch_size=batch_size,
        save_stats=save_stats,
        device=device,
        record=False,
        progress=True,
    )
    print(score_table(evaluation.scores.values()), file=sys.stderr)
    evaluation.record()  # after the table: if this fails, the scores have been seen
    print(json.dumps(evaluation.to_dict()))


def _selftest(seed: int) -> None:
    import numpy as np

    from sagan.data import load_dataset
    from sagan.evaluation.score_tables import selftest_table
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
    print(selftest_table(result), file=sys.stderr)
    print(json.dumps(dataclasses.asdict(result)))
