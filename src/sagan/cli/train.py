"""`sagan train`."""

import sys
from typing import TYPE_CHECKING, Annotated, cast

from cyclopts import Group, Parameter

from sagan.training import options

if TYPE_CHECKING:
    from sagan.training import TrainResult


def _part(title: str, order: int, *, negative: bool = False) -> Parameter:
    """A part of --help, whose options stand for themselves; `negative`: flags have a --no- form."""
    group = Group(title, sort_key=order)
    return Parameter(name="*", group=group, negative=None if negative else ())


def train(
    run: str | None = None,
    /,
    *,
    basics: Annotated[options.Basics | None, _part("Basics", 1)] = None,
    reading: Annotated[options.Reading | None, _part("Pictures", 2)] = None,
    pictures: Annotated[options.Pictures | None, _part("Pictures", 2, negative=True)] = None,
    networks: Annotated[options.Networks | None, _part("Networks", 3, negative=True)] = None,
    optimisation: Annotated[options.Optimisation | None, _part("Optimisation", 4)] = None,
    following: Annotated[options.Following | None, _part("Following a run", 5)] = None,
    machine: Annotated[options.Machine | None, _part("Machine", 6)] = None,
    execution: Annotated[options.Execution | None, _part("Machine", 6, negative=True)] = None,
) -> int:
    """Train a Self-Attention GAN, or continue a run.

    Without options: a class-conditional one on the bundled handwritten digits.

    The same command again resumes; a larger --images or --time extends a
    finished run; other changes are refused. Options left out come from the run,
    or from the preset for a new one.

    Parameters
    ----------
    run
        The run's folder; by default runs/DATA-PRESET.
    """
    from sagan.training.start import train_run

    parts = (basics, reading, pictures, networks, optimisation, following, machine, execution)
    given = {name: value for part in parts for name, value in (part or {}).items()}
    result = train_run(run, **cast(options.TrainOptions, given))
    say_how_it_ended(result)
    return result.exit_code


def say_how_it_ended(result: "TrainResult") -> None:
    """Print one line on stderr, from the first process only."""
    if result.rank:
        return
    if result.exit_code:
        line = f"Stopped at {result.images:,} images and saved; the same command resumes."
    else:
        line = f"{result.path}: trained on {result.images:,} images."
    print(line, file=sys.stderr)
