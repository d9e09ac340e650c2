"""Lengths of time, as `--time` reads them and as messages say them."""

import math
import re

_UNITS_SEC = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_YEAR_SEC = 365 * 86_400
_FORM = re.compile(r"(\d+\.?\d*|\.\d+)([smhd])", re.ASCII)


def parse_duration(text: str) -> float:
    """Read a length of time in seconds: `90s`, `30m`, `4h`, `1.5h` or `2d`.

    Example:
        >>> parse_duration("90s"), parse_duration("1.5h")
        (90.0, 5400.0)
    """
    found = _FORM.fullmatch(str(text).strip().lower())
    seconds = float(found[1]) * _UNITS_SEC[found[2]] if found else math.nan
    if not 0 < seconds < math.inf:
        raise ValueError(
            f"time {text!r} is not a length of time: a number above 0 and its unit, as 90s, 30m, "
            "4h or 2d"
        )
    return seconds


def in_words(seconds: float) -> str:
    """Say a length of time in the unit that suits it.

    Example:
        >>> in_words(90), in_words(1_800), in_words(5_400), in_words(2 * 86_400)
        ('90 s', '30 min', '90 min', '2 days')
        >>> in_words(0.25), in_words(10_000), in_words(40 * 86_400), in_words(1e9)
        ('0.2 s', '2.8 h', '40 days', '32 years')
    """
    for most_sec, unit_sec, unit in (
        (120, 1, "s"),
        (7_200, 60, "min"),
        (172_800, 3_600, "h"),
        (2 * _YEAR_SEC, 86_400, "days"),
    ):
        if seconds < most_sec:
            return f"{_rounded(seconds / unit_sec)} {unit}"
    return f"{_rounded(seconds / _YEAR_SEC)} years"


def _rounded(value: float) -> str:
    text = f"{value:,.0f}" if value >= 9.95 else f"{value:.1f}"
    return text.removesuffix(".0")
