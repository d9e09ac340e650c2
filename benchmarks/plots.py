"""The plots of docs/speed.md, from the results of `sagan bench --out`.

python benchmarks/plots.py benchmarks/results docs/images
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_COLOURS = {"literal": "#9a6324", "sagan": "#0066aa", "sagan folded": "#3cb44b"}


def newest(results: Path, case: str, threads: int = 2) -> dict[str, Any] | None:
    """The latest result of a case with this number of threads, or None."""
    found = sorted(results.glob(f"{case}-2*-{threads}t.json"))  # dates sort as text
    if not found:
        return None
    content: dict[str, Any] = json.loads(found[-1].read_text(encoding="utf-8"))
    return content


def draw(results: Path, out: Path) -> list[Path]:
    """Plot attention by map size, and steps by batch and resolution, if there are results."""
    drawn = []
    for case, draw_case in (("attention", _draw_attention), ("step", _draw_steps)):
        result = newest(results, case)
        if result is not None:
            drawn.append(out / f"speed-{case}.png")
            draw_case(result, drawn[-1])
    return drawn


def _draw_attention(result: dict[str, Any], path: Path) -> None:
    """Plot time and memory of one image's attention by number of queries, C = 64."""
    figure, (times, memories) = _figure(result, "Self-attention, forward and backward, 64 channels")
    for form, line in (("article", "-"), ("paper", "--")):
        chosen = [
            c
            for c in result["comparisons"]
            if c["parameters"]["channels"] == 64 and f" {form} " in c["label"]
        ]
        chosen.sort(key=lambda c: c["parameters"]["n"])
        queries = [c["parameters"]["n"] for c in chosen]
        for name in ("literal", "sagan"):
            mine = [_candidate(c, name) for c in chosen]
            style = {"color": _COLOURS[name], "linestyle": line, "marker": "o", "markersize": 4}
            label = f"{name}, {form}'s form"
            images = [c["parameters"]["batch"] for c in chosen]
            per_image = [1e3 * m["median_sec"] / b for m, b in zip(mine, images, strict=True)]
            times.plot(queries, per_image, label=label, **style)
            memories.plot(queries, [m["peak_bytes"] / 1e9 for m in mine], label=label, **style)
    for axis, title, unit in (
        (times, "time", "ms an image"),
        (memories, "peak memory of the process", "GB"),
    ):
        axis.set(title=title, xlabel="queries (map's height x width)", ylabel=unit, xscale="log")
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    times.set_yscale("log")
    figure.savefig(path, dpi=110)


def _draw_steps(result: dict[str, Any], path: Path) -> None:
    """Plot images a second and memory of the article's network by batch and resolution."""
    figure, axes = _figure(result, "A training step of the article's network", columns=4)
    article = [c for c in result["comparisons"] if c["parameters"]["preset"] == "article"]
    by_batch = [c for c in article if c["parameters"]["side"] == 64]
    by_side = [c for c in article if c["parameters"]["batch"] == 16]
    for (rates, memories), chosen, key, title in (
        (axes[:2], by_batch, "batch", "64 px, by batch"),
        (axes[2:], by_side, "side", "batch 16, by resolution"),
    ):
        chosen.sort(key=lambda c: c["parameters"][key])
        values = [str(c["parameters"][key]) for c in chosen]
        for offset, name in ((-0.2, "literal"), (0.2, "sagan")):
            places = [i + offset for i in range(len(values))]
            mine = [_candidate(c, name) for c in chosen]
            style = {"width": 0.4, "color": _COLOURS[name], "label": name}
            rates.bar(places, [m["items_per_sec"] for m in mine], **style)
            memories.bar(places, [m["peak_bytes"] / 1e9 for m in mine], **style)
        for axis, unit in ((rates, "images a second"), (memories, "peak memory in GB")):
            axis.set(title=f"{unit}\n{title}", xticks=range(len(values)), xticklabels=values)
            axis.grid(axis="y", alpha=0.3)
    axes[0].legend(fontsize=8)
    figure.savefig(path, dpi=110)


def _figure(result: dict[str, Any], title: str, columns: int = 2) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    facts = result["environment"]
    figure = Figure(figsize=(11, 4), layout="constrained")
    threads = "1 thread" if facts["threads"] == 1 else f"{facts['threads']} threads"
    where = f"{facts['cpu']}, {threads}, torch {facts['torch']}, {facts['date']}"
    figure.suptitle(f"{title} ({where})", fontsize=11)
    return figure, figure.subplots(1, columns)


def _candidate(comparison: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = (c for c in comparison["candidates"] if c["name"] == name)
    return dict(found)


def main(arguments: Sequence[str]) -> None:
    """Plot the results in one folder into another."""
    results, out = map(Path, arguments)
    for path in draw(results, out):
        print(path)


if __name__ == "__main__":
    main(sys.argv[1:])
