"""Checks of single values, with messages that name the value and what is allowed."""

import math
from typing import Any


def require(condition: bool, message: str) -> None:
    """Raise ValueError(message) unless the condition holds."""
    if not condition:
        raise ValueError(message)


def require_at_least(name: str, value: float, least: int) -> None:
    """Raise ValueError unless the value is finite and at least this.

    Example:
        >>> require_at_least("keep", 0, 1)
        Traceback (most recent call last):
        ValueError: keep must be at least 1, not 0
    """
    bound = "0 or more" if least == 0 else f"at least {least}"
    require(least <= value < math.inf, f"{name} must be {bound}, not {value}")


def require_at_most(name: str, value: float, most: int) -> None:
    """Raise ValueError if the value is implausibly large.

    Example:
        >>> require_at_most("g_width", 10**19, 2**14)
        Traceback (most recent call last):
        ValueError: g_width must be at most 16,384, not 10000000000000000000
    """
    require(value <= most, f"{name} must be at most {most:,}, not {value}")


def require_not_blank(name: str, value: object) -> None:
    """Raise ValueError for an option that was given without content; None was not given.

    Example:
        >>> require_not_blank("--data", "")
        Traceback (most recent call last):
        ValueError: --data is empty: a shell variable that is not set?
    """
    blank = value is not None and not str(value).strip()
    require(not blank, f"{name} is empty: a shell variable that is not set?")


def require_choice(name: str, value: object, choices: tuple[Any, ...]) -> None:
    """Raise ValueError unless the value is one of the choices, which the message lists."""
    listed = ", ".join(str(choice) for choice in choices)
    require(value in choices, f"{name} {value!r} is unknown; choose from {listed}")
