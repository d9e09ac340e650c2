"""Scores as tables for a terminal."""

from collections.abc import Callable, Iterable, Sequence

from sagan.evaluation.compare_runs import Comparison
from sagan.metrics import Score
from sagan.metrics.selftest import SelfTest


def score_table(scores: Iterable[Score]) -> str:
    """A line for each metric, then a line for each caution with the metrics that it is about."""
    rows = [("metric", "value", "real against real", "at its size", "better", "images")]
    cautions: dict[str, list[str]] = {}
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
        for caution in filter(None, score.caution.split("; ")):
            cautions.setdefault(caution, []).append(score.metric)
    lines = [line.rstrip() for line in _aligned(rows, str.ljust)]
    lines += [f"{', '.join(names)}: {caution}" for caution, names in cautions.items()]
    return "\n".join(lines)


def selftest_table(result: SelfTest) -> str:
    """A line for each metric, a column for each fault."""
    rows = [("metric", "real against real", *result.z)]
    for metric, (mean, spread) in result.real_vs_real.items():
        moved = (f"{z[metric]:+.1f}" for z in result.z.values())
        rows.append((metric, _number(mean, spread), *moved))
    title = (
        f"Faults in {result.n} digits against {result.n} others: change in standard deviations of "
        f"the sound ones, {result.splits} splits"
    )
    return "\n".join([title, *_aligned(rows, str.rjust)])


def comparison_table(comparison: Comparison) -> str:
    """A line for each run, then the notes; `best cas` is of the scores while training."""
    runs = comparison.runs
    scored = list(dict.fromkeys(metric for run in runs for metric in run.scores))
    logged = list(dict.fromkeys(metric for run in runs for metric in run.log_scores))
    head = ["run", "preset", "px", "images", "minutes", *scored]
    rows = [(*head, *(f"best {metric}" for metric in logged))]
    for run in runs:
        scores = (run.scores.get(metric) for metric in scored)
        best = (run.log_scores.get(metric) for metric in logged)
        rows.append(
            (
                *(run.run, run.preset, str(run.resolution)),
                "" if run.images is None else f"{run.images:,}",
                "" if run.minutes is None else f"{run.minutes:.1f}",
                *("" if s is None else _number(s["value"], s["spread"]) for s in scores),
                *("" if b is None else f"{b['value']:.4g} at {b['images']:,}" for b in best),
            )
        )
    lines = [line.rstrip() for line in _aligned(rows, str.ljust)]
    return "\n".join([*lines, *comparison.notes])


def _aligned(rows: Sequence[tuple[str, ...]], justify: Callable[[str, int], str]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(justify, row, widths)) for row in rows]


def _number(value: float | None, spread: float | None) -> str:
    if value is None:  # in a record, of a score that was not finite
        return "-"
    return f"{value:.4g}" if spread is None else f"{value:.4g} ± {spread:.2g}"
