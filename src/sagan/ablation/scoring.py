"""Scores of a run's snapshots, each made once and kept in the run's `scores.jsonl`."""

import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from sagan.ablation.protocol import LIFT, Plan
from sagan.config import RunConfig
from sagan.evaluation.real_side import open_real
from sagan.metrics import RealImages, Reference, parse_metrics, prepare
from sagan.models import Generator
from sagan.runs.checkpoint import open_checkpoint
from sagan.runs.log import append_records, read_records
from sagan.runs.open_run import load_run_generator
from sagan.runs.run import Run
from sagan.sampling import of_all_classes
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
    paths, planned = run.checkpoint_paths(), plan.snapshot_steps()
    done = read_scores(run.path)
    scorer = SnapshotScorer(plan, device)
    for path in paths:
        manifest = open_checkpoint(path).manifest
        if manifest["step"] not in planned:  # where the run was stopped
            continue
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


class SnapshotScorer:
    """Scores checkpoints; what real images are needed for is prepared once."""

    def __init__(self, plan: Plan, device: str) -> None:
        self._plan, self._device = plan, device
        self._real: RealImages | None = None
        self._references: dict[tuple[int, str], Reference] = {}

    def score(
        self, path: Path, metrics: Sequence[str], num: int, generator: Generator | None = None
    ) -> dict[str, dict[str, Any]]:
        """Score a checkpoint's averaged generator, or another state of it, by some metrics."""
        config = open_checkpoint(path).config
        generator = generator or load_run_generator(path, device=self._device)
        names = ",".join(metric for metric in metrics if metric != LIFT)
        reference = self._reference(config, num, names) if names else None
        batches, labels = of_all_classes(
            generator,
            config.network,
            num,
            seed=EVALUATION_SEED,
            counts=None if reference is None else reference.class_counts,
            batch_size=_BATCH,
        )
        images = list(batches)
        found = {LIFT: lift_of(self._plan.data, images)} if LIFT in metrics else {}
        if reference is not None:
            for score in reference.score(images, labels):
                found[score.metric] = score.to_dict()
        return found

    def _reference(self, config: RunConfig, num: int, names: str) -> Reference:
        if self._real is None:
            self._real = open_real(
                config.data.source,
                resolution=config.network.resolution,
                channels=config.network.channels,
                background=config.data.background,
                crop=config.data.crop,
                rules=config.data.rules,
                seed=EVALUATION_SEED,
                progress=False,
            )
        key = num, names
        if key not in self._references:
            self._references[key] = prepare(
                self._real,
                parse_metrics(names),
                num=num,
                seed=EVALUATION_SEED,
                device=self._device,
            )
        return self._references[key]


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
