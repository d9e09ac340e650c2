"""Scores of a run's snapshots, each made once and kept in the run's `scores.jsonl`."""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sagan.ablation.plan import LIFT, Plan
from sagan.config import RunConfig
from sagan.evaluation.candidates import ImagesToScore, open_generated
from sagan.evaluation.real_side import class_numbers, open_real_side
from sagan.metrics import Reference, parse_metrics, prepare
from sagan.models import Generator
from sagan.runs.checkpoint import open_checkpoint
from sagan.runs.log import append_records, read_records
from sagan.runs.run import Run
from sagan.sampling import evenly_by_class
from sagan.structure import score_structure
from sagan.structure.lift import TooManyAbstained

EVALUATION_SEED = 0  # of the first latent, the same for all arms and seeds
_BATCH = 64


def read_scores(run: Path) -> dict[tuple[int, str, int], dict[str, Any]]:
    """A run's scores so far, by step, metric and number of images."""
    records = read_records(run / "scores.jsonl")
    return {(r["step"], r["metric"], r["num"]): r for r in records}


def score_run(plan: Plan, run: Run, *, device: str) -> None:
    """Score every snapshot by every metric of the plan, and the last one with more images."""
    paths = run.checkpoint_paths()
    done = read_scores(run.path)
    scorer = _Scorer(plan, device)
    for path in paths:
        manifest = open_checkpoint(path).manifest
        for num in sorted({plan.curve_num, plan.num} if path == paths[-1] else {plan.curve_num}):
            missing = [m for m in plan.metrics if (manifest["step"], m, num) not in done]
            if not missing:
                continue
            began = time.monotonic()
            found = scorer.score(path, missing, num)
            head = {"step": manifest["step"], "images": manifest["images"], "num": num}
            seconds = round(time.monotonic() - began, 3)
            append_records(
                run.path / "scores.jsonl",
                *({**head, "metric": m, **found[m], "seconds": seconds} for m in missing),
            )


class _Scorer:
    """Scores checkpoints; what real images are needed for is prepared once."""

    def __init__(self, plan: Plan, device: str) -> None:
        self._plan, self._device = plan, device
        self._references: dict[int, tuple[Reference, Tensor | None]] = {}

    def score(self, path: Path, metrics: list[str], num: int) -> dict[str, dict[str, Any]]:
        candidate = open_generated(
            path,
            weights="ema",
            device=self._device,
            seed=EVALUATION_SEED,
            batch_size=_BATCH,
            standing_batches=0,
        )
        batches, labels = candidate.make(num)
        images = list(batches)
        found = {}
        if LIFT in metrics:
            found[LIFT] = lift_of(self._plan.data, images)
        others = [metric for metric in metrics if metric != LIFT]
        if others:
            reference, numbers = self._reference(candidate, num)
            by_number = None if labels is None or numbers is None else numbers[labels]
            for score in reference.score(images, by_number):
                found[score.metric] = score.to_dict()
        return found

    def _reference(self, candidate: ImagesToScore, num: int) -> tuple[Reference, Tensor | None]:
        if num not in self._references:
            source = self._plan.data
            real, _ = open_real_side(source, candidate, EVALUATION_SEED, False)
            assert real is not None
            names = ",".join(metric for metric in self._plan.metrics if metric != LIFT)
            reference = prepare(
                real,
                parse_metrics(names),
                num=num,
                seed=EVALUATION_SEED,
                device=self._device,
            )
            self._references[num] = reference, class_numbers(candidate, real, source)
        return self._references[num]


def lift_of(name: str, images: Iterable[Tensor]) -> dict[str, Any]:
    """Structure lift as a record; a refused one has no value, and the reason."""
    try:
        score = score_structure(
            name, [batch.numpy(force=True) for batch in images], seed=EVALUATION_SEED
        )
    except TooManyAbstained as refusal:
        return {"value": None, "refused": str(refusal), "abstain_rate": refusal.rate}
    found = score.to_dict()
    kept = ("abstain_rate", "pass_rate", "recombined_rate", "lift_interval", "rules")
    return {"value": score.lift, **{key: found[key] for key in kept}}


def images_of(generator: Generator, config: RunConfig, num: int) -> list[Tensor]:
    """The images that scores are of, uint8 batches `b c h w`, from another state of a network."""
    assert isinstance(generator, nn.Module)
    with torch.no_grad():
        batches, _ = evenly_by_class(
            generator, config.network, num, seed=EVALUATION_SEED, batch_size=_BATCH
        )
        return list(batches)
