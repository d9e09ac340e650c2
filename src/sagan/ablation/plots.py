"""The report's plots, as PNG: whole curves, and paired differences."""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from sagan.ablation.inference import sign_flip_interval
from sagan.ablation.outcome import Difference, Finding, Point, Scores
from sagan.images import figure_png

_COLOURS = ("#808080", "#4363d8", "#e6194b", "#f58231", "#3cb44b", "#911eb4", "#008080", "#9a6324")
_DPI = 110


def colours(arms: Sequence[str]) -> dict[str, str]:
    """Each arm's colour throughout."""
    return {arm: _COLOURS[i % len(_COLOURS)] for i, arm in enumerate(arms)}


def draw_arms(scores: Scores, metric: str) -> bytes:
    """Draw every run's curve as a thin line, and each arm's mean as a thick one."""
    figure, axis = _figure(f"{metric}: thin lines are seeds, thick ones their mean")
    for arm, colour in colours(list(scores.plan.arms)).items():
        curves = [scores.curve(arm, seed, metric) for a, seed in sorted(scores.records) if a == arm]
        for curve in curves:
            axis.plot(*_xy(curve), color=colour, linewidth=0.7, alpha=0.45)
        axis.plot(*_mean(curves), color=colour, linewidth=2.4, label=arm)
    axis.set_ylabel(metric)
    axis.legend(frameon=False)
    return figure_png(figure, dpi=_DPI)


def _xy(curve: Sequence[Point]) -> tuple[list[int], list[float]]:
    """A curve with gaps where a score was refused."""
    return [i for i, _ in curve], [math.nan if v is None else v for _, v in curve]


def _mean(curves: Sequence[Sequence[Point]]) -> tuple[list[int], list[float]]:
    """The mean at each number of images that all curves have; a refused score counts as 0."""
    by_images: dict[int, list[float]] = {}
    for curve in curves:
        for images, value in curve:
            by_images.setdefault(images, []).append(value or 0.0)
    whole = sorted(i for i, values in by_images.items() if len(values) == len(curves))
    return whole, [fmean(by_images[i]) for i in whole]


def draw_differences(over: Mapping[str, Sequence[Difference]], metric: str) -> bytes:
    """Draw paired differences over training: a panel per pair of arms, seeds thin, mean thick."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3 * len(over)), layout="constrained")
    axes = figure.subplots(len(over), 1, squeeze=False, sharex=True)[:, 0]
    for axis, (title, points) in zip(axes, over.items(), strict=True):
        images = [point.images for point in points]
        for k in range(len(points[0].by_seed) if points else 0):
            axis.plot(
                images, [p.by_seed[k] for p in points], color="#4363d8", linewidth=0.7, alpha=0.45
            )
        axis.plot(images, [p.mean for p in points], color="#4363d8", linewidth=2.4)
        bounds = [sign_flip_interval(p.by_seed) for p in points]
        if all(math.isfinite(low) for low, _ in bounds):  # else there are too few seeds
            axis.fill_between(
                images, [b[0] for b in bounds], [b[1] for b in bounds], color="#4363d8", alpha=0.15
            )
        axis.axhline(0, color="#222222", linewidth=0.8)
        axis.set_title(f"{title}: paired difference in {metric}", fontsize=10, loc="left")
        _plain(axis)
    axes[-1].set_xlabel("images shown")
    return figure_png(figure, dpi=_DPI)


def draw_pairs(findings: Sequence[Finding]) -> bytes:
    """Draw each seed's paired difference as a dot, with means and the test's intervals."""
    from matplotlib.figure import Figure

    columns = len(findings)
    figure = Figure(figsize=(2.6 * columns, 3.2), layout="constrained")
    for axis, found in zip(figure.subplots(1, columns, squeeze=False)[0], findings, strict=True):
        spread = [0.08 * ((k % 5) - 2) for k in range(len(found.differences))]
        axis.plot(spread, found.differences, "o", color="#4363d8", alpha=0.6, markersize=5)
        low, high = found.test_interval
        if math.isfinite(low):
            error = [[found.mean - low], [high - found.mean]]
            axis.errorbar(0.4, found.mean, error, fmt="s", color="#222222", capsize=4)
        axis.axhline(0, color="#222222", linewidth=0.8)
        axis.set_xlim(-0.5, 0.8)
        axis.set_xticks([])
        axis.set_title(found.title.replace(": ", "\n"), fontsize=8)
        _plain(axis)
    return figure_png(figure, dpi=_DPI)


def _figure(title: str) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axis = figure.subplots()
    axis.set_title(title, fontsize=10, loc="left")
    axis.set_xlabel("images shown")
    _plain(axis)
    return figure, axis


def _plain(axis: Any) -> None:
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
