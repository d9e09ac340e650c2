"""What several commands share: reading lists of classes and seeds, naming what is left out."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sagan.sharing.facts import is_shared

if TYPE_CHECKING:
    from sagan.config import RunConfig

_NAMED = 10  # files left out that are named on the terminal


def refuse_shared(run: Path | None = None, **_: Any) -> None:
    """Check a command's RUN where more is needed than a generator that was passed on alone.

    Raises:
        ValueError: it is one.
    """
    if run is None:
        return
    if is_shared(run):
        raise ValueError(
            f"{run} is a generator alone: a run's folder is needed here; sagan sample and "
            "sagan evaluate take either"
        )


def parse_classes(text: str | None, config: "RunConfig") -> list[int] | None:
    """Read classes by name or number: `cat,dog` or `3,7`; None stays None.

    Raises:
        ValueError: the run has no such class, or none at all.
    """
    if text is None:
        return None
    names = config.data.class_names
    if not config.network.classes:
        raise ValueError("this run is unconditional: it has no classes; leave --classes out")
    chosen = []
    for part in (part.strip() for part in text.split(",")):
        if part in names:
            chosen.append(names.index(part))
        elif part.isdecimal() and int(part) < config.network.classes:
            chosen.append(int(part))
        else:
            raise ValueError(f"no class {part!r} in this run; it has {_listed(names)}")
    return chosen


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")


def parse_pair(text: str, what: str) -> tuple[str, str]:
    """Read two values with a comma between them.

    Raises:
        ValueError: there are not two.

    Example:
        >>> parse_pair("3,7", "seeds")
        ('3', '7')
    """
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != 2 or not all(parts):
        raise ValueError(f"{text!r} is not two {what} with a comma between them, as 3,7")
    return parts[0], parts[1]


def parse_seed(text: str) -> int:
    """Read one seed.

    Raises:
        ValueError: not a whole number of 0 or more.
    """
    if not text.isdecimal():
        raise ValueError(f"seed {text!r} is not a whole number of 0 or more")
    return int(text)


def say_what_is_left_out(excluded: Sequence[tuple[str, str]], where: str) -> None:
    """Name the first files that the data leave out on stderr, and where all are listed."""
    from sagan.data.sources.source import shown

    if excluded:
        print(f"left out: {len(excluded):,} (all in {where})", file=sys.stderr)
    for name, reason in excluded[:_NAMED]:
        print(f"  {shown(name)}: {shown(reason)}", file=sys.stderr)
    if len(excluded) > _NAMED:
        print(f"  and {len(excluded) - _NAMED:,} more", file=sys.stderr)


def parse_sides(text: str | None) -> tuple[int, ...] | None:
    """Read feature-map sides: `16,32`, or `none`.

    Raises:
        ValueError: not a list of whole numbers.

    Example:
        >>> parse_sides("16,32"), parse_sides("none")
        ((16, 32), ())
    """
    if text is None:
        return None
    if text.strip().lower() == "none":
        return ()
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise ValueError(
            f"attention sides {text!r} are not whole numbers with commas, as 16,32; or none"
        ) from None


_ADAPTIVE_TARGET = 0.5  # docs/experiments.md


def parse_augment(text: str | None) -> tuple[str, ...] | None:
    """Read augmentation kinds: `color,cutout`, or `none`.

    Example:
        >>> parse_augment("color, cutout"), parse_augment("none")
        (('color', 'cutout'), ())
    """
    if text is None:
        return None
    if text.strip().lower() == "none":
        return ()
    return tuple(part.strip().lower() for part in text.split(","))


def parse_probability(text: str | None) -> dict[str, float]:
    """Read an augmentation probability: a number, or `adaptive` (from 0, by D's overfitting).

    Raises:
        ValueError: it is neither.

    Example:
        >>> parse_probability("adaptive"), parse_probability("0.5")
        ({'augment_p': 0.0, 'augment_target': 0.5}, {'augment_p': 0.5, 'augment_target': 0.0})
    """
    if text is None:
        return {}
    if text.strip().lower() == "adaptive":
        return {"augment_p": 0.0, "augment_target": _ADAPTIVE_TARGET}
    try:
        return {"augment_p": float(text), "augment_target": 0.0}
    except ValueError:
        raise ValueError(
            f"augmentation probability {text!r} is neither a number from 0 to 1 nor adaptive"
        ) from None
