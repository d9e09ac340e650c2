"""Wording that many messages share: errors on one line, names cut short. No torch here."""

import logging
from collections.abc import Sequence

_SKIPPED_NAMED = 10
_SAID: set[str] = set()


def one_line(error: object, most: int | None = None) -> str:
    """An error's message on one line of at most `most` characters; its type's name if it has none.

    Example:
        >>> one_line(ValueError("cannot\\n  be")), one_line(KeyError())
        ('cannot be', 'KeyError')
    """
    return " ".join(str(error).split())[:most] or type(error).__name__


def warn_once(line: str) -> None:
    """Say something that a user must know, on stderr unless logging is set up; once a process."""
    if line not in _SAID:
        _SAID.add(line)
        logging.getLogger("sagan").warning(line)


def shown(name: str) -> str:
    """A name that fits on a line: line breaks and other unprintable characters are escaped.

    Example:
        >>> print(shown("a\\nb"))
        a\\nb
    """
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in name)


def listed(names: Sequence[str], most: int = 5) -> str:
    """The first names, and how many more there are.

    Example:
        >>> listed(list("abcdefg"))
        'a, b, c, d, e and 2 more'
    """
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(shown(name) for name in names[:most]) + more


def skipped(excluded: Sequence[tuple[str, str]], where: str) -> list[str]:
    """Lines that name the first files left out, with reasons, and where all of them are listed."""
    lines = [f"left out: {len(excluded):,} (all in {where})"] if excluded else []
    lines += [f"  {shown(name)}: {shown(reason)}" for name, reason in excluded[:_SKIPPED_NAMED]]
    if len(excluded) > _SKIPPED_NAMED:
        lines.append(f"  and {len(excluded) - _SKIPPED_NAMED:,} more")
    return lines
