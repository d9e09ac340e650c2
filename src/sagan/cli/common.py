"""What several commands share: reading classes and seeds."""

from typing import TYPE_CHECKING

from sagan.text import listed

if TYPE_CHECKING:
    from sagan.config import RunConfig

_MOST_NAMES = 20


def parse_classes(text: str | None, config: "RunConfig") -> list[int] | None:
    """Read classes by name or number, as `cat,dog` or `3,7`; None stays None."""
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
            raise ValueError(f"no class {part!r} in this run; it has {listed(names, _MOST_NAMES)}")
    return chosen


def parse_pair(text: str, what: str) -> tuple[str, str]:
    """Read two values with a comma between them.

    Example:
        >>> parse_pair("3,7", "seeds")
        ('3', '7')
    """
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != 2 or not all(parts):
        raise ValueError(f"{text!r} is not two {what} with a comma between them, as 3,7")
    return parts[0], parts[1]


def parse_seed(text: str) -> int:
    """Read one seed."""
    if not text.isdecimal():
        raise ValueError(f"seed {text!r} is not a whole number of 0 or more")
    return int(text)
