"""The report of an experiment: `report.md` with `figures/`, `report.html` and `results.json`."""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from sagan.ablation.document import (
    Bullets,
    Exhibit,
    Heading,
    Paragraph,
    Part,
    Table,
    to_html,
    to_markdown,
)
from sagan.ablation.exhibits import attention_picture, costs, sample_grid
from sagan.ablation.manipulations import check_run
from sagan.ablation.outcome import (
    Finding,
    Outcome,
    Scores,
    better,
    conclude,
    differences_over,
    find,
    mean_over,
    read_outcome,
    verdict,
    when,
)
from sagan.ablation.plots import draw_arms, draw_differences, draw_pairs
from sagan.ablation.protocol import LIFT, Plan, run_folder
from sagan.files import write_atomically
from sagan.runs.run import Run

Checks = dict[tuple[str, int], dict[str, Any]]


def report_on(
    folder: Path,
    plan: Plan,
    *,
    failed: dict[tuple[str, int], str] | None = None,
    device: str = "cpu",
    say: Callable[[str], None] = lambda line: None,
) -> str:
    """Write the report on the runs that are done; the verdict."""
    scores = read_outcome(folder, plan)
    outcome = conclude(scores)
    checks: Checks = {}
    for arm, seed in sorted(scores.records):
        run = Run(run_folder(folder, arm, seed))
        if not (run.path / "checks.json").is_file():
            say(f"{run.path.name}: checking what its blocks do")
        checks[arm, seed] = check_run(plan, run, device=device)
    said = verdict(outcome)
    parts = list(_parts(folder, outcome, checks, failed or {}, said))
    title = f"Does attention help? {plan.data} at {plan.options['resolution']} px"
    (folder / "figures").mkdir(exist_ok=True)
    for part in parts:
        if isinstance(part, Exhibit):
            write_atomically(folder / "figures" / part.name, part.png)
    write_atomically(folder / "report.md", to_markdown(title, parts).encode())
    write_atomically(folder / "report.html", to_html(title, parts).encode())
    results = json.dumps(_results(outcome, checks, said), indent=1) + "\n"
    write_atomically(folder / "results.json", results.encode())
    return said


def _parts(
    folder: Path,
    outcome: Outcome,
    checks: Checks,
    failed: dict[tuple[str, int], str],
    said: str,
) -> Iterator[Part]:
    scores, plan = outcome.scores, outcome.scores.plan
    yield Paragraph(said, verdict=True)
    yield Heading("What came out")
    yield from _results_parts(scores, outcome)
    yield Heading("When")
    yield from _when_parts(outcome)
    if any(found["gamma"] for found in checks.values()):
        yield Heading("Is it attention?")
        yield from _check_parts(plan, checks)
    yield Heading("What it costs")
    yield Table(costs(folder, plan, scores))
    yield Paragraph(
        "FLOP are of one training image, as in the literature (2 per multiply-add). CPU seconds "
        "are of training alone, and depend on what else the machine did."
    )
    yield Heading("Pictures")
    for arm in plan.arms:
        seeds = sorted(seed for a, seed in scores.records if a == arm)
        if seeds:
            png = sample_grid(run_folder(folder, arm, seeds[0]))
            yield Exhibit(f"samples-{arm}.png", png, f"{arm}, seed {seeds[0]}: the same latents")
            drawn = attention_picture(run_folder(folder, arm, seeds[0]))
            if drawn is not None:
                text = f"Where attention looks, {arm}, seed {seeds[0]}"
                yield Exhibit(f"attention-{arm}.png", drawn, text)
    yield Heading("How it was decided")
    yield from _plan_parts(plan)
    if failed:
        yield Heading("What failed")
        yield Bullets([f"{arm}-{seed}: {reason}" for (arm, seed), reason in failed.items()])


def _results_parts(scores: Scores, outcome: Outcome) -> Iterator[Part]:
    plan = scores.plan
    yield Table([*_arm_rows(scores)])
    refused = [
        f"{arm}-{seed}: {float(str(record['abstain_rate'])):.1%}"
        for arm, seed in sorted(scores.records)
        if "refused" in (record := scores.last(arm, seed, plan.metrics[0]))
    ]
    if refused:
        as_zero = find(scores, plan.primary, refused_as=0.0)
        p = "-" if as_zero.p is None else f"{as_zero.p:.3g}"
        yield Paragraph(
            "Refused, because the checker abstained from so many of the images, and left out of "
            f"the tests at the end: {', '.join(refused)}. With these as 0 the primary difference "
            f"would be {_number(as_zero.mean)}, p = {p}."
        )
    yield Table(_finding_rows(outcome))
    yield Paragraph(
        "Differences are positive where the first arm is better. The bootstrap over seeds is "
        "narrow with so few; the test's own interval is what the exact test does not reject. P "
        "values of secondary tests are adjusted by Holm among themselves."
    )
    tested = [f for f in (outcome.primary, *outcome.secondary) if f.contrast.at != "time"]
    if tested and outcome.primary.differences:
        yield Exhibit("pairs.png", draw_pairs(tested), "Paired differences: a dot is a seed")
        yield Table(_seed_rows(outcome.primary))
    for metric in plan.metrics:
        name = f"curves-{metric.replace(':', '-')}.png"
        yield Exhibit(name, draw_arms(scores, metric), f"{metric} over training")


def _arm_rows(scores: Scores) -> Iterator[list[str]]:
    plan = scores.plan
    lift = LIFT in plan.metrics
    heads = [f"{metric} ({better(metric)} is better)" for metric in plan.metrics]
    extra = ["pass rate", "abstained"] if lift else []
    yield ["arm", "runs", *heads, f"mean {plan.metrics[0]} over training", *extra]
    for arm in plan.arms:
        seeds = sorted(seed for a, seed in scores.records if a == arm)
        last = {m: [scores.last(arm, s, m) for s in seeds] for m in plan.metrics}
        cells = [_spread([r.get("value") for r in last[m]]) for m in plan.metrics]
        curves = [scores.curve(arm, s, plan.metrics[0]) for s in seeds]
        cells.append(_spread([mean_over(curve) for curve in curves if curve]))
        if lift:
            cells += [
                _spread([r.get(key) for r in last[LIFT]]) for key in ("pass_rate", "abstain_rate")
            ]
        yield [arm, str(len(seeds)), *cells]


def _spread(values: Sequence[Any]) -> str:
    """Mean and standard deviation over seeds."""
    found = [float(v) for v in values if v is not None]
    if not found:
        return "-"
    return f"{fmean(found):.3f}" + (f" ± {stdev(found):.3f}" if len(found) > 1 else "")


def _finding_rows(outcome: Outcome) -> list[list[str]]:
    rows = [
        ["test", "seeds", "difference", "the test's own 95 %", "bootstrap 95 %", "p", "80 % power"]
    ]
    for found in (outcome.primary, *outcome.secondary):
        first = found is outcome.primary
        p = found.p if first else found.adjusted
        rows.append(
            [
                f"{'primary' if first else 'secondary'}: {found.title}",
                str(len(found.differences)),
                _number(found.mean),
                _range(found.test_interval),
                _range(found.interval),
                "-" if p is None else f"{p:.3g}",
                _number(found.detectable),
            ]
        )
    return rows


def _number(value: float) -> str:
    if not math.isfinite(value):
        return "-"
    return f"{value:+,.0f}" if abs(value) >= 1000 else f"{value:+.3f}"


def _range(interval: tuple[float, float]) -> str:
    low, high = interval
    return f"{_number(low)} to {_number(high)}" if math.isfinite(low) else "-"


def _seed_rows(found: Finding) -> list[list[str]]:
    arm, than = found.contrast.arm, found.contrast.than
    rows = [["seed", arm, than, "difference"]]
    for seed, (a, b), difference in zip(found.seeds, found.values, found.differences, strict=True):
        rows.append([str(seed), f"{a:.3f}", f"{b:.3f}", f"{difference:+.3f}"])
    return rows


def _when_parts(outcome: Outcome) -> Iterator[Part]:
    plan = outcome.scores.plan
    metric = plan.metrics[0]
    pairs = {(f.contrast.arm, f.contrast.than) for f in (outcome.primary, *outcome.secondary)}
    over = {
        f"{arm} − {than}": found
        for arm, than in sorted(pairs)
        if (found := differences_over(outcome.scores, arm, than, metric))
    }
    if not over:
        yield Paragraph("No two arms share a seed yet.")
        return
    yield Bullets([f"{name}. {when(found)}" for name, found in over.items()])
    yield Paragraph(
        "By the exact test at each snapshot, not adjusted for looking so often: this describes. "
        "A refused score counts as 0; bands are what the test does not reject."
    )
    yield Exhibit("differences.png", draw_differences(over, metric), "Differences over training")


def _check_parts(plan: Plan, checks: Checks) -> Iterator[Part]:
    states = ("as trained", "gamma 0", "uniform maps")
    metric = plan.metrics[0]
    rows = [["arm", "|gamma|", *(f"{metric}, {state}" for state in states), "query dependence"]]
    for arm in plan.arms:
        mine = [found for (a, _), found in sorted(checks.items()) if a == arm and found["gamma"]]
        if not mine:
            continue
        gammas = [
            f"{name}: {_spread([abs(f['gamma'][name]) for f in mine])}" for name in mine[0]["gamma"]
        ]
        changed = [_spread([f.get("changed", {}).get(state) for f in mine]) for state in states]
        dependence = [
            f"{name}: {_spread([f['maps'][name]['query_dependence_share'] for f in mine])}"
            for name in mine[0].get("maps", {})
        ]
        rows.append([arm, "; ".join(gammas), *changed, "; ".join(dependence) or "-"])
    yield Table(rows)
    yield Paragraph(
        "Means over seeds ± their standard deviation; gamma without its sign, which differs from "
        "seed to seed. Gamma 0 takes the trained generator's block away; uniform maps let it see "
        "the mean only. What is lost then is what the trained network uses its block for; a "
        "network that never had one may do without. Query dependence is the Jensen-Shannon "
        "divergence of a map's rows as a share of the most it can be: at 0 every place looks at "
        "the same."
    )


def _plan_parts(plan: Plan) -> Iterator[Part]:
    options = " ".join(f"--{k.replace('_', '-')} {v}" for k, v in plan.options.items())
    arms = ", ".join(
        f"{name} ({_words(own)})" if own else f"{name} (the recipe)"
        for name, own in plan.arms.items()
    )
    yield Bullets(
        [
            f"Recipe of every run: `{options}`.",
            f"Arms: {arms}.",
            f"{plan.seeds} seeds, from {plan.first_seed} on; {plan.num:,} images scored at the "
            f"end, {plan.curve_num:,} of every snapshot.",
            *plan.analysis,
            "Planned with "
            + ", ".join(f"{name} {value}" for name, value in plan.made_with.items() if value)
            + ".",
        ]
    )


def _words(changes: dict[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in changes.items())


def _results(outcome: Outcome, checks: Checks, said: str) -> dict[str, Any]:
    """All numbers of the report, for programs."""

    def record(found: Finding) -> dict[str, Any]:
        return {
            **found.contrast._asdict(),
            "seeds": found.seeds,
            "values": found.values,
            "differences": found.differences,
            "mean": found.mean if found.differences else None,
            "interval": _finite(*found.interval),
            "test_interval": _finite(*found.test_interval),
            "p": found.p,
            "adjusted": found.adjusted,
            "detectable": _finite(found.detectable)[0],
        }

    return {
        "verdict": said,
        "finished": outcome.finished,
        "primary": record(outcome.primary),
        "secondary": [record(found) for found in outcome.secondary],
        "checks": {f"{arm}-{seed}": found for (arm, seed), found in checks.items()},
    }


def _finite(*values: float) -> list[float | None]:
    """JSON has neither infinity nor nan."""
    return [value if math.isfinite(value) else None for value in values]
