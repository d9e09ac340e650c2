"""The arms of an experiment by name, each as changes to the options of `sagan train`."""

import re
from typing import Any

ARMS: dict[str, dict[str, Any]] = {
    "none": {"g_attention": "none", "d_attention": "none"},
    "attention": {},
    "residual": {"attention_form": "residual"},
    "global-context": {"attention_form": "global-context"},
    "g-only": {"d_attention": "none"},
    "d-only": {"g_attention": "none"},
}
_CHANGES: dict[str, type] = {
    "gamma-lr": float,
    "gamma-start": float,
    "g-attention": str,
    "d-attention": str,
    "attention-form": str,
}


def parse_arms(text: str) -> dict[str, dict[str, Any]]:
    """Read arms with commas between them, as options by name; ValueError for an unknown one.

    Example:
        >>> parse_arms("none,attention+gamma-lr=10")["attention+gamma-lr=10"]
        {'gamma_lr': 10.0}
    """
    arms: dict[str, dict[str, Any]] = {}
    for name in (part.strip() for part in text.split(",")):
        if name in arms:
            raise ValueError(f"arm {name!r} is named twice")
        base, *changes = name.split("+")
        if base not in ARMS:
            raise ValueError(f"unknown arm {base!r}; choose from {', '.join(ARMS)}")
        arms[name] = ARMS[base] | dict(_change(name, change) for change in changes)
    if len(arms) < 2:
        raise ValueError(f"one arm ({text}) has nothing to be compared with: name two or more")
    return arms


def _change(arm: str, text: str) -> tuple[str, Any]:
    option, equals, value = text.partition("=")
    if option not in _CHANGES or not equals or not re.fullmatch(r"[\w.-]+", value):
        raise ValueError(
            f"arm {arm!r}: {text!r} is not one of {', '.join(_CHANGES)} with a value, as "
            "gamma-lr=10"
        )
    try:
        return option.replace("-", "_"), _CHANGES[option](value)
    except ValueError:
        raise ValueError(f"arm {arm!r}: {value} is not a number") from None
