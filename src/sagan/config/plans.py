"""How a run by time divides it among its sizes, and what such runs reached: `plans.json`.

A record there is a measured run: `set` (its images), `px`, `minutes`, `threads`, `sizes`, `shares`,
`images` (shown to the discriminator), `scores` (by metric), `hardware`, `date` and `command`.
"""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from sagan.config.run_config import RunConfig

RECORD_FIELDS = (
    *("set", "px", "minutes", "threads", "sizes", "shares", "images", "scores"),
    *("hardware", "date", "command"),
)
_LONGER = 3.0  # a size's share over that of the size before, where there is no row: our choice
_ALIKE = 2.0  # how many times as many images a record may have shown, or a plan may show


@cache
def _content() -> Mapping[str, Any]:
    content: Mapping[str, Any] = json.loads((files("sagan.config") / "plans.json").read_bytes())
    return content


def sizes_of(config: RunConfig) -> tuple[int, ...]:
    """The sizes of a run in order, in pixels."""
    return (*(stage.resolution for stage in config.growth), config.network.resolution)


def shares_of(sizes: Sequence[int]) -> tuple[float, ...]:
    """Each size's share of the time.

    Example:
        >>> shares_of([8, 16]), shares_of([64]), sum(shares_of([16, 32, 64, 128, 256]))
        ((0.25, 0.75), (1.0,), 1.0)
    """
    for row in _content()["shares"]:
        if row["sizes"] == [*sizes]:
            return tuple(row["shares"])
    weights = [_LONGER**i for i in range(len(sizes))]
    return tuple(weight / sum(weights) for weight in weights)


def largest_px(time_sec: float) -> int:
    """The largest size in pixels that a CPU should be asked for in a time.

    Example:
        >>> largest_px(60), largest_px(1_200), largest_px(1_800)
        (16, 32, 64)
    """
    rows = _content()["largest_px_on_a_cpu"]
    return max(int(row["px"]) for row in rows if row["least_minutes"] * 60 <= time_sec)


def records() -> Sequence[Mapping[str, Any]]:
    """The measured runs."""
    found: Sequence[Mapping[str, Any]] = _content()["records"]
    return found


def reached(sizes: Sequence[int], images: int) -> Mapping[str, Any] | None:
    """The record of the same sizes that is nearest in images, if one showed about as many."""
    # not in time, in which another device may have shown several times as many

    def apart(record: Mapping[str, Any]) -> float:
        return float(max(record["images"] / images, images / record["images"]))

    same = [r for r in records() if r["sizes"] == [*sizes] and apart(r) <= _ALIKE]
    return min(same, key=apart, default=None)
