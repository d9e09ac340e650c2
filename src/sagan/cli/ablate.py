"""`sagan ablate`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Group, Parameter

from sagan.training import options

if TYPE_CHECKING:
    from sagan.ablation import Experiment


def _part(title: str, order: int, *, negative: bool = False) -> Parameter:
    group = Group(title, sort_key=order)
    return Parameter(name="*", group=group, negative=None if negative else ())


def ablate(
    out: Path,
    /,
    *,
    arms: str | None = None,
    seeds: int | None = None,
    metrics: str | None = None,
    num: int | None = None,
    curve_num: int | None = None,
    underpowered: Annotated[bool, Parameter(negative=())] = False,
    only: str | None = None,
    until: str | None = None,
    jobs: int | None = None,
    basics: Annotated[options.Basics | None, _part("Every run", 1)] = None,
    pictures: Annotated[options.Pictures | None, _part("Every run", 1, negative=True)] = None,
    networks: Annotated[options.Networks | None, _part("Every run", 1)] = None,
    optimisation: Annotated[options.Optimisation | None, _part("Every run", 1)] = None,
    following: Annotated[options.Following | None, _part("Every run", 1)] = None,
) -> int:
    """Does attention help? Train networks that differ in one block, paired by seed, and test it.

    The plan is written first and never changes; the same command again goes on
    where it stopped; a finished experiment has its report written again.
    docs/structure.md says how to read it.

    Parameters
    ----------
    out
        The experiment's folder.
    arms
        What stands where attention does: none, attention, residual (as many weights),
        global-context, g-only, d-only; with changes, as attention+gamma-lr=10. By
        default none,attention,residual.
    seeds
        Runs of each arm; 8 by default.
    metrics
        Scores of every snapshot, the first decides: lift (of twins, quadrupeds and
        barcode), or as in sagan evaluate, as cas,fd:own.
    num
        Images scored at the end of a run; 10,000 by default.
    curve_num
        Images scored of every other snapshot; 2,000 by default.
    underpowered
        Allow fewer than the six seeds without which nothing can be decided.
    only
        Seeds to run now, as 0-3.
    until
        Stop after this long, saved: 40m, 8h.
    jobs
        Runs side by side, each on one core; by default one per core.
    """
    from sagan.ablation import ablate as run_ablation
    from sagan.config.duration import parse_duration

    parts = (basics, pictures, networks, optimisation, following)
    given = {name: value for part in parts for name, value in (part or {}).items()}
    device: Literal["auto", "cpu", "cuda", "mps"] = given.pop("device", "auto")  # type: ignore[assignment]
    experiment = run_ablation(
        out,
        options=given,
        arms=arms,
        seeds=seeds,
        metrics=metrics,
        num=num,
        curve_num=curve_num,
        underpowered=underpowered,
        only=only,
        until_sec=None if until is None else parse_duration(until),
        jobs=jobs,
        device=device,
    )
    print(_how_it_ended(experiment), file=sys.stderr)
    if experiment.verdict:
        print(experiment.verdict)
    return experiment.exit_code or (1 if experiment.failed else 0)


def _how_it_ended(experiment: "Experiment") -> str:
    total = len(experiment.done) + len(experiment.left)
    line = f"{experiment.path}: {len(experiment.done)} of {total} runs are done"
    return f"{line}; the same command goes on." if experiment.left else f"{line}."
