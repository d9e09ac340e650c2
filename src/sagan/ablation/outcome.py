"""What came out: the scores of all runs, the tests of the plan on them, and a verdict."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from statistics import fmean, stdev

from sagan.ablation.fairness import LEAST_SEEDS
from sagan.ablation.inference import (
    LEVEL,
    bootstrap_interval,
    detectable,
    holm,
    sign_flip_interval,
    sign_flip_p,
)
from sagan.ablation.protocol import LIFT, REACHED, Contrast, Plan, is_done, run_folder
from sagan.ablation.scoring import read_scores
from sagan.metrics import parse_metrics
from sagan.metrics.score import Better

Point = tuple[int, float | None]  # images, and the value if there is one

_AT = {
    "end": "{metric} at the end",
    "mean": "mean {metric} over training",
    "time": f"images until {{metric}} {REACHED:g}",
}


@dataclass(frozen=True)
class Scores:
    """All scores of an experiment's runs so far."""

    plan: Plan
    records: dict[tuple[str, int], list[dict[str, object]]]  # of the runs that are done

    @property
    def seeds(self) -> list[int]:
        """Those of which every arm is done."""
        whole = self.plan.seed_numbers
        return [s for s in whole if all((arm, s) in self.records for arm in self.plan.arms)]

    def curve(self, arm: str, seed: int, metric: str) -> list[Point]:
        """The values at every snapshot, by images."""
        found, planned = [], self.plan.snapshot_steps()
        for r in self.records.get((arm, seed), []):
            of_curve = r["metric"] == metric and r["num"] == self.plan.curve_num
            if of_curve and r["step"] in planned:
                found.append((int(str(r["images"])), _value(r)))
        return sorted(found, key=lambda point: point[0])

    def last(self, arm: str, seed: int, metric: str) -> dict[str, object]:
        """The record of the end of training; empty if there is none."""
        of_all = [
            r
            for r in self.records.get((arm, seed), [])
            if r["metric"] == metric and r["num"] == self.plan.num
        ]
        return max(of_all, key=lambda r: int(str(r["step"])), default={})

    def measured(self, contrast: Contrast, arm: str, seed: int) -> float | None:
        """What a contrast compares, of one run."""
        if contrast.at == "end":
            return _value(self.last(arm, seed, contrast.metric))
        curve = self.curve(arm, seed, contrast.metric)
        if not curve:
            return None
        if contrast.at == "mean":
            return mean_over(curve)
        return float(images_until(curve, REACHED, self.plan.images))


def _value(record: dict[str, object]) -> float | None:
    value = record.get("value")
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def read_outcome(folder: Path, plan: Plan) -> Scores:
    """Read the scores of the runs that are done."""
    return Scores(
        plan,
        {
            (arm, seed): list(read_scores(run_folder(folder, arm, seed)).values())
            for arm in plan.arms
            for seed in plan.seed_numbers
            if is_done(folder, arm, seed)
        },
    )


def better(metric: str) -> Better:
    """Whether higher or lower values of a metric are better."""
    return "higher" if metric == LIFT else parse_metrics(metric)[0].metric.better


def mean_over(curve: Sequence[Point]) -> float:
    """The mean of a curve over images, by trapezes; what was refused counts as 0.

    Example:
        >>> mean_over([(0, None), (10, 0.5), (20, 0.5)])
        0.375
    """
    points = [(images, 0.0 if value is None else value) for images, value in curve]
    if len(points) < 2:
        return points[0][1]
    area = sum((x1 - x0) * (y0 + y1) / 2 for (x0, y0), (x1, y1) in pairwise(points))
    return area / (points[-1][0] - points[0][0])


def images_until(curve: Sequence[Point], level: float, never: int) -> float:
    """The images after which a curve first reaches a level, between points linearly.

    Example:
        >>> images_until([(10, 0.2), (20, 0.4), (30, 0.3)], 0.3, never=30)
        15.0
    """
    before = (0.0, 0.0)
    for images, value in curve:
        now = float(images), 0.0 if value is None else value
        if now[1] >= level:
            share = (level - before[1]) / (now[1] - before[1])
            return before[0] + share * (now[0] - before[0])
        before = now
    return float(never)


@dataclass(frozen=True)
class Finding:
    """A contrast's paired differences, positive where its first arm is better, and its test."""

    contrast: Contrast
    seeds: tuple[int, ...]
    values: tuple[tuple[float, float], ...]  # of both arms, by seed
    differences: tuple[float, ...]
    p: float | None = None  # None with fewer than two pairs
    adjusted: float | None = None  # by Holm; None of the primary test
    interval: tuple[float, float] = (-math.inf, math.inf)  # bootstrap
    test_interval: tuple[float, float] = (-math.inf, math.inf)  # what the test does not reject

    @property
    def mean(self) -> float:
        """The mean difference; nan without any."""
        return fmean(self.differences) if self.differences else math.nan

    @property
    def sd(self) -> float:
        """Its standard deviation over seeds."""
        return stdev(self.differences) if len(self.differences) > 1 else math.nan

    @property
    def detectable(self) -> float:
        """The difference that so many seeds of this spread find four times in five."""
        n = len(self.differences)
        return detectable(n) * self.sd if n > 1 else math.inf

    @property
    def title(self) -> str:
        """As `attention - none: lift at the end`."""
        what = _AT[self.contrast.at].format(metric=self.contrast.metric)
        return f"{self.contrast.arm} − {self.contrast.than}: {what}"


def find(scores: Scores, contrast: Contrast, *, refused_as: float | None = None) -> Finding:
    """Test one contrast on the seeds of which both arms have a value, or are given one."""
    sign = 1.0
    if contrast.at == "time" or better(contrast.metric) == "lower":
        sign = -1.0
    seeds, values = [], []
    for seed in scores.plan.seed_numbers:
        pair = [scores.measured(contrast, arm, seed) for arm in (contrast.arm, contrast.than)]
        if {(contrast.arm, seed), (contrast.than, seed)} <= scores.records.keys():
            pair = [refused_as if value is None else value for value in pair]
        if pair[0] is not None and pair[1] is not None:
            seeds.append(seed)
            values.append((pair[0], pair[1]))
    differences = tuple(sign * (a - b) for a, b in values)
    found = Finding(contrast, tuple(seeds), tuple(values), differences)
    if len(differences) < 2:
        return found
    return replace(
        found,
        p=sign_flip_p(differences),
        interval=bootstrap_interval(differences),
        test_interval=sign_flip_interval(differences),
    )


@dataclass(frozen=True)
class Outcome:
    """The tests of the plan."""

    scores: Scores
    primary: Finding
    secondary: tuple[Finding, ...]

    @property
    def finished(self) -> bool:
        """Whether every run that was planned is done."""
        return len(self.scores.records) == len(self.scores.plan.arms) * self.scores.plan.seeds


def conclude(scores: Scores) -> Outcome:
    """Carry out the tests of the plan."""
    primary, *others = (find(scores, c) for c in (scores.plan.primary, *scores.plan.secondary))
    tested = [i for i, finding in enumerate(others) if finding.p is not None]
    adjusted = holm([p for i in tested if (p := others[i].p) is not None])
    for i, p in zip(tested, adjusted, strict=True):
        others[i] = replace(others[i], adjusted=p)
    return Outcome(scores, primary, tuple(others))


def verdict(outcome: Outcome) -> str:
    """The primary result in one sentence."""
    plan, found = outcome.scores.plan, outcome.primary
    arm, than, metric, _ = found.contrast
    n = len(found.differences)
    where = f"{plan.data} at {plan.options['resolution']} px, {plan.images:,} images"
    if found.p is None:
        pairs = f"{n} pair{'' if n == 1 else 's'}"
        return f"Nothing can be said ({where}): {pairs} of runs can be compared."
    low, high = found.test_interval if math.isfinite(found.test_interval[0]) else found.interval
    amount = (
        f"{found.mean:+.3g} in {metric}, 95 % {low:+.3g} to {high:+.3g}, p = {found.p:.2g}, "
        f"{n} seeds"
    )
    if not outcome.finished:
        total = len(plan.arms) * plan.seeds
        return (
            f"Unfinished ({len(outcome.scores.records)} of {total} runs), so no verdict: so far "
            f"{arm} against {than} is {amount} ({where})."
        )
    if n < LEAST_SEEDS:
        of_all = f" of {plan.seeds}, as others' pictures cannot be read," if n < plan.seeds else ""
        return (
            f"Too few seeds{of_all} for a verdict, whatever the numbers: {arm} against {than} is "
            f"{amount} ({where})."
        )
    if found.p > LEVEL:
        return (
            f"No difference detected: {arm} against {than} is {amount} ({where}); a difference of "
            f"{found.detectable:.2g} would have been found four times in five."
        )
    word = "wins" if found.mean > 0 else "loses"
    return f"{arm.capitalize()} {word} against {than}: {amount} ({where})."


@dataclass(frozen=True)
class Difference:
    """The paired difference at one number of images."""

    images: int
    by_seed: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Over seeds."""
        return fmean(self.by_seed)


def differences_over(scores: Scores, arm: str, than: str, metric: str) -> list[Difference]:
    """The paired differences at every snapshot that all pairs have; refused lifts count as 0."""
    sign = 1.0 if better(metric) == "higher" else -1.0
    by_images: dict[int, list[float]] = {}
    seeds = [s for s in scores.plan.seed_numbers if {(arm, s), (than, s)} <= scores.records.keys()]
    for seed in seeds:
        theirs = dict(scores.curve(than, seed, metric))
        for images, value in scores.curve(arm, seed, metric):
            if images in theirs:
                other = theirs[images]
                by_images.setdefault(images, []).append(sign * ((value or 0.0) - (other or 0.0)))
    whole = sorted((i, tuple(d)) for i, d in by_images.items() if len(d) == len(seeds))
    return [Difference(images, by_seed) for images, by_seed in whole]


def when(differences: Sequence[Difference]) -> str:
    """Where over training an arm is ahead of another and where behind, in words.

    Only snapshots count at which the exact test rejects; they are not adjusted.
    """
    if not differences or len(differences[0].by_seed) < LEAST_SEEDS:
        return "There are too few seeds to say when."
    runs: list[tuple[str, int, int]] = []
    for point in differences:
        told_apart = sign_flip_p(point.by_seed) <= LEVEL
        state = "level" if not told_apart else "ahead" if point.mean > 0 else "behind"
        if runs and runs[-1][0] == state:
            runs[-1] = state, runs[-1][1], point.images
        else:
            runs.append((state, point.images, point.images))
    words = {"ahead": "ahead", "behind": "behind", "level": "not told apart"}
    parts = [
        f"{words[state]} at {first:,}" if first == last else f"{words[state]} {first:,} to {last:,}"
        for state, first, last in runs
    ]
    return f"Over training, in images: {'; '.join(parts)}."
