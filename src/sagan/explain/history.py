"""Attention over training: each layer's numbers, from a run's log."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from sagan.files import write_atomically
from sagan.images import figure_png
from sagan.runs.log import by_layer, read_records

PANELS = {
    "gamma": "gamma (0 is where it starts)",
    "entropy": "entropy of a query's map, nats",
    "query_dependence": "query dependence, nats",
    "distance": "mean attention distance, px of the layer",
    "far_mass": "share farther than half the height",
}


class Course(NamedTuple):
    """One number of one layer over training."""

    images: list[int]
    values: list[float]


def read_history(log: Path) -> dict[str, dict[str, Course]]:
    """A log's numbers over training, by layer (`G attention.0, 8 px`) and number (see `PANELS`)."""
    # a number that older records lack begins with the first record that has it
    return courses(record for record in read_records(log) if record.get("kind") == "attention")


def courses(records: Iterable[dict[str, Any]]) -> dict[str, dict[str, Course]]:
    """Sort the log's attention records by layer and number.

    Example:
        >>> layer = {"network": "G", "layer": "attention.0", "size_px": 8, "gamma": 0.5}
        >>> courses([{"images": 64, "layers": [layer]}])
        {'G attention.0, 8 px': {'gamma': Course(images=[64], values=[0.5])}}
    """
    history: dict[str, dict[str, Course]] = {}
    for name, rows in by_layer(records).items():
        history[name] = {}
        for number in PANELS:
            if there := [row for row in rows if number in row]:
                images, values = [row["images"] for row in there], [row[number] for row in there]
                history[name][number] = Course(images, values)
    return history


def draw_history(path: Path, history: dict[str, dict[str, Course]]) -> None:
    """Draw a history that is not empty, one panel per number."""
    from matplotlib.figure import Figure

    shown = [number for number in PANELS if any(number in layer for layer in history.values())]
    figure = Figure(figsize=(3.3 * len(shown), 3.6), layout="constrained")
    figure.suptitle("Attention over training", fontsize=12)
    axes = figure.subplots(1, len(shown), squeeze=False)[0]
    for axis, number in zip(axes, shown, strict=True):
        for name, layer in history.items():
            if number in layer:
                style = "-" if name.startswith("G") else "--"
                axis.plot(*layer[number], style, marker=".", label=name)
        if number == "gamma":
            axis.axhline(0, color="grey", linewidth=0.8)
        else:
            axis.set_ylim(0, 1.08 * axis.get_ylim()[1])
        axis.set_title(PANELS[number], fontsize=9)
        axis.set_xlabel("images", fontsize=8)
        axis.set_xlim(left=0)
        axis.tick_params(labelsize=8)
        axis.xaxis.set_major_formatter(lambda value, _: f"{value / 1000:g}k" if value else "0")
        axis.grid(alpha=0.25)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=9, frameon=False)
    write_atomically(path, figure_png(figure, dpi=110))
