"""What several commands share: reading lists of classes and seeds, naming what is left out."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sagan.config import RunConfig

_NAMED = 10  # files left out that are named on the terminal


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
    from sagan.data.source import shown

    if excluded:
        print(f"left out: {len(excluded):,} (all in {where})", file=sys.stderr)
    for name, reason in excluded[:_NAMED]:
        print(f"  {shown(name)}: {shown(reason)}", file=sys.stderr)
    if len(excluded) > _NAMED:
        print(f"  and {len(excluded) - _NAMED:,} more", file=sys.stderr)
