"""`sagan ablate`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Group, Parameter

from sagan.training import options

if TYPE_CHECKING:
    from sagan.ablation import Experiment

_QUICK = {
    "data": "twins",
    "resolution": 16,
    "preset": "quick",
    "diversity": 0.0,
    "mismatch": 0.0,
    "images": 64_000,
    "snapshot_every": 12_800,
}


_GROUP = Group("Every run, as in sagan train", sort_key=1)
_EVERY_RUN = Parameter(group=_GROUP)


def _part(*, negative: bool = False) -> Parameter:
    return Parameter(name="*", group=_GROUP, negative=None if negative else ())


def ablate(
    out: Path,
    /,
    *,
    arms: str | None = None,
    seeds: str | None = None,
    metrics: str | None = None,
    num: int | None = None,
    curve_num: int | None = None,
    underpowered: Annotated[bool, Parameter(negative=())] = False,
    quick: Annotated[bool, Parameter(negative=())] = False,
    only: str | None = None,
    until: str | None = None,
    jobs: int | None = None,
    data: Annotated[str | None, _EVERY_RUN] = None,
    preset: Annotated[str | None, _EVERY_RUN] = None,
    resolution: Annotated[int | None, _EVERY_RUN] = None,
    images: Annotated[int | None, _EVERY_RUN] = None,
    snapshot_every: Annotated[int | None, _EVERY_RUN] = None,
    batch_size: Annotated[int | None, _EVERY_RUN] = None,
    device: Annotated[Literal["auto", "cpu", "cuda", "mps"], _EVERY_RUN] = "auto",
    pictures: Annotated[options.Pictures | None, _part(negative=True)] = None,
    networks: Annotated[options.Networks | None, _part(negative=True)] = None,
    optimisation: Annotated[options.Optimisation | None, _part()] = None,
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
        Runs of each arm, 8 by default; or which seeds, as 8-23.
    metrics
        Scores of every snapshot, the first decides: lift (of twins, quadrupeds and
        barcode), or as in sagan evaluate, as cas,fd:own.
    num
        Images scored at the end of a run; 10,000 by default.
    curve_num
        Images scored of every other snapshot; 2,000 by default.
    underpowered
        Allow fewer than the six seeds without which nothing can be decided.
    quick
        Show the machinery on twins in under half an hour on two cores: short runs of
        two seeds, from which nothing can be decided; options given go before its own.
    only
        Seeds to run now, as 0-3.
    until
        Stop after this long, saved: 40m, 8h.
    jobs
        Runs side by side, each on one core; by default one per core.
    data
        Source of the images, twins by default.
    preset
        Recipe; by default one that suits the device and the data.
    resolution
        Image side in px.
    images
        Real images that each run is shown; needed.
    snapshot_every
        Images between snapshots, which are scored; by default a twentieth of all.
    batch_size
        Images per optimiser step.
    device
        Where to compute.
    """
    from sagan.ablation import ablate as run_ablation
    from sagan.config.duration import parse_duration

    parts = (pictures, networks, optimisation)
    given: dict[str, Any] = {k: v for part in parts for k, v in (part or {}).items()}
    own = {
        "data": data,
        "preset": preset,
        "resolution": resolution,
        "images": images,
        "snapshot_every": snapshot_every,
        "batch_size": batch_size,
    }
    given |= {name: value for name, value in own.items() if value is not None}
    if quick:
        given = _QUICK | given
        seeds, underpowered = "2" if seeds is None else seeds, True
        num = 2_000 if num is None else num
        curve_num = 1_000 if curve_num is None else curve_num
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
