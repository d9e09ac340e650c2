"""Checks of single values, with messages that name the value and what would do."""

import math
from typing import Any


def require(condition: bool, message: str) -> None:
    """Refuse with the message what does not hold.

    Raises:
        ValueError: it does not.
    """
    if not condition:
        raise ValueError(message)


def require_at_least(name: str, value: float, least: int) -> None:
    """Refuse what is less than a bound, infinite or no number.

    Raises:
        ValueError: it is.

    Example:
        >>> require_at_least("keep", 0, 1)
        Traceback (most recent call last):
        ValueError: keep must be at least 1, not 0
    """
    bound = "0 or more" if least == 0 else f"at least {least}"
    require(least <= value < math.inf, f"{name} must be {bound}, not {value}")


def require_choice(name: str, value: object, choices: tuple[Any, ...]) -> None:
    """Refuse what is not among the choices, and list them.

    Raises:
        ValueError: it is not.
    """
    listed = ", ".join(str(choice) for choice in choices)
    require(value in choices, f"{name} {value!r} is unknown; choose from {listed}")
