"""Draw a run's log as `curves.png`, or the logs of several over each other."""

import gc
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sagan.files import write_atomically
from sagan.images import figure_png
from sagan.runs.log import by_layer

_COLOURS = ("#4363d8", "#e6194b", "#3cb44b", "#f58231", "#911eb4", "#008080", "#9a6324", "#000075")
_GREY, _ALARM = "#999999", "#e6194b"
_MOST_POINTS = 1_000  # of a curve; more are averaged in runs of equal length
_SHARE = 0.005  # of training time that drawing may take, except for the last picture

Record = Mapping[str, Any]
Curve = tuple[str, list[float], list[float]]  # name, images, values
Panel = tuple[str, list[Curve]]


class CurveDrawer:
    """Redraw a run's curves now and then, in at most half a percent of the time that passes."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._path, self._clock = path, clock
        self._last_end_sec = clock()
        self._took_sec = 0.5  # a guess, until measured

    def draw(self, records: Callable[[], Iterable[Record]], *, now: bool = False) -> bool:
        """Draw if it is due or asked for `now`; return whether it was drawn."""
        began_sec = self._clock()
        if not now and (began_sec - self._last_end_sec) * _SHARE < self._took_sec:
            return False
        draw_curves(self._path, records())
        self._last_end_sec = self._clock()
        self._took_sec = self._last_end_sec - began_sec
        return True


def draw_curves(path: Path, records: Iterable[Record]) -> None:
    """Draw losses, logits, gammas, attention, health, scores and speed against images shown.

    What the log lacks has no panel. Dotted lines mark alarms and the steps rolled back to.
    """
    kept = [_kept(record) for record in records]
    panels = _panels(kept)
    if panels:
        _draw(path, panels, kept)
        gc.collect()  # a figure refers to itself: 11 MB that Python else leaves lying for long


def draw_together(path: Path, logs: Mapping[str, Sequence[Record]]) -> bool:
    """Draw losses and scores of several logs, by name, over each other; False if there are none."""
    found: dict[str, dict[str, Curve]] = {"loss of D": {}, "loss of G": {}}
    for name, records in logs.items():
        train, scores = ([r for r in records if r["kind"] == kind] for kind in ("train", "score"))
        curves = [("loss of D", _curves(train, {name: "d_loss"}))]
        curves += [("loss of G", _curves(train, {name: "g_loss"}))]
        curves += [(_score_title(r), curve) for r, curve in _score_curves(scores)]
        for title, of_run in curves:
            for _, images, values in of_run:
                found.setdefault(title, {})[name] = name, images, values
    # a log that lacks something keeps its place, so that each has one colour throughout
    panels = [
        (title, [by_name.get(name, (name, [], [])) for name in logs])
        for title, by_name in found.items()
        if by_name
    ]
    if panels:
        _draw(path, panels, ())
    return bool(panels)


def _draw(path: Path, panels: Sequence[Panel], records: Sequence[Record]) -> None:
    """Draw panels, with the alarms and the best scores of one run's records."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(4.6 * columns, 2.7 * rows))
    FigureCanvasAgg(figure)
    last = max(x for _, curves in panels for _, images, _ in curves for x in images)
    scale, unit = (1e6, "million") if last >= 2e6 else (1e3, "thousand")
    axes = figure.subplots(rows, columns, squeeze=False).flatten()
    explained: list[str] = []
    for axis, (title, curves) in zip(axes, panels, strict=False):
        _draw_panel(axis, title, curves, scale)
        labels = [label for label, _, _ in curves]
        if len(labels) > 1 and labels != explained:  # the next panels share this legend
            axis.legend(fontsize=7, frameon=False)
        explained = labels
        for record in records:
            if record["kind"] in ("health", "rollback"):
                axis.axvline(record["images"] / scale, color=_ALARM, lw=0.8, ls=":")
        axis.set_xlim(0, 1.02 * last / scale)
    for axis in axes[len(panels) :]:
        axis.set_axis_off()
    for axis in axes[max(0, len(panels) - columns) : len(panels)]:
        axis.set_xlabel(f"{unit} images", fontsize=8)
    _mark_best(list(axes), panels, records, scale)
    figure.subplots_adjust(  # constrained layout would double the drawing time
        left=0.16 / columns,
        right=1 - 0.05 / columns,
        top=1 - 0.12 / rows,
        bottom=0.2 / rows,
        wspace=0.2,
        hspace=0.36,
    )
    write_atomically(path, figure_png(figure, dpi=100))


def _panels(records: Sequence[Record]) -> list[Panel]:
    by_kind: dict[str, list[Record]] = {}
    for record in records:
        by_kind.setdefault(record["kind"], []).append(record)
    train, check = by_kind.get("train", []), by_kind.get("check", [])
    layers = by_layer(by_kind.get("attention", []))
    panels = [
        ("loss", _curves(train, {"D": "d_loss", "G": "g_loss"})),
        ("mean logits", _curves(train, {"real": "real_logits", "fake": "fake_logits"})),
        *((_score_title(r), curves) for r, curves in _score_curves(by_kind.get("score", []))),
        ("gamma of attention", _layer_curves(layers, "gamma")),
        ("entropy of attention, nats", _layer_curves(layers, "entropy")),
        ("distance of attention, px", _layer_curves(layers, "distance")),
        (
            "fixed samples (real ones: spread 1)",
            _curves(check, {"near-duplicates": "near_duplicates", "spread": "spread"}),
        ),
        ("largest singular value", _curves(check, {"G": "G", "D": "D"})),
        ("augmentation's probability", _curves(train, {"p": "augment_p"}, only_if_changing=True)),
        ("images per second", _curves(train, {"images/s": "images_per_sec"})),
    ]
    return [(title, curves) for title, curves in panels if curves]


def _curves(
    records: Sequence[Record], names: Mapping[str, str], *, only_if_changing: bool = False
) -> list[Curve]:
    curves = []
    for label, key in names.items():
        there = [r for r in records if r.get(key) is not None]
        values = [float(r[key]) for r in there]
        if not values or (only_if_changing and min(values) == max(values)):
            continue
        curves.append(_thinned(label, [float(r["images"]) for r in there], values))
    return curves


def _layer_curves(layers: Mapping[str, Sequence[Record]], key: str) -> list[Curve]:
    return [curve for name, rows in layers.items() for curve in _curves(rows, {name: key})]


def _kept(record: Record) -> Record:
    """A record; singular values, the most of a long log, as the largest of each network."""
    if record["kind"] != "check":
        return record
    largest = {
        network: max(v for name, v in record["sigmas"].items() if name.startswith(network))
        for network in ("G", "D")
    }
    return {name: value for name, value in record.items() if name != "sigmas"} | largest


def _score_curves(scores: Sequence[Record]) -> list[tuple[Record, list[Curve]]]:
    last = {r["metric"]: r for r in scores}
    found = [
        (r, _curves([s for s in scores if s["metric"] == metric], {metric: "value"}))
        for metric, r in last.items()
    ]
    return [(r, curves) for r, curves in found if curves]


def _score_title(score: Record) -> str:
    return f"{score['metric']}, {score['better']} is better"


def _thinned(label: str, images: list[float], values: list[float]) -> Curve:
    """Average neighbouring points of a curve that has more than can be told apart."""
    width = -(-len(values) // _MOST_POINTS)
    parts = [slice(i, i + width) for i in range(0, len(values), width)]

    def mean(numbers: list[float]) -> float:
        return sum(numbers) / len(numbers)

    return label, [mean(images[p]) for p in parts], [mean(values[p]) for p in parts]


def _draw_panel(axis: Any, title: str, curves: Sequence[Curve], scale: float) -> None:
    for (label, images, values), colour in zip(curves, _COLOURS * len(curves), strict=False):
        marker = "." if len(values) <= 20 else ""
        x = [count / scale for count in images]
        axis.plot(x, values, marker=marker, markersize=4, lw=1.2, color=colour, label=label)
    axis.set_title(title, fontsize=9, loc="left")
    axis.tick_params(labelsize=7, length=2, color=_GREY)
    axis.grid(alpha=0.3, lw=0.5)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axis.spines[side].set_color(_GREY)


def _mark_best(
    axes: Sequence[Any], panels: Sequence[Panel], records: Sequence[Record], scale: float
) -> None:
    """Mark the best score of each metric with a star."""
    counted = [
        r
        for r in records
        if r["kind"] == "score" and r["value"] is not None and not r.get("alarms")
    ]
    for axis, (title, _) in zip(axes, panels, strict=False):
        scores = [r for r in counted if _score_title(r) == title]
        if not scores:
            continue
        sign = 1 if scores[0]["better"] == "lower" else -1
        best = min(scores, key=lambda r: sign * r["value"])
        x, label = best["images"] / scale, f"best: {best['value']:.4g}"
        axis.plot(x, best["value"], "*", markersize=11, color="#e6194b", label=label)
        axis.legend(fontsize=7, frameon=False)
