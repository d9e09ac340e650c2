"""How far a run is to go, in images or in time. Continued, it may only be set to go farther."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from sagan.config import RunConfig
from sagan.config.duration import in_words
from sagan.runs.log import read_records


def elapsed_sec(log_path: Path) -> float:
    """Seconds that a run has been training, by its log."""
    found = (record.get("elapsed") for record in read_records(log_path))
    return max((seconds for seconds in found if isinstance(seconds, float)), default=0.0)


def with_extent_of(config: RunConfig, other: RunConfig) -> RunConfig:
    """The configuration, to go as far as another."""
    training = replace(
        config.training, images=other.training.images, time_sec=other.training.time_sec
    )
    return replace(config, training=training)


def with_first_plan(config: RunConfig, old: RunConfig) -> RunConfig:
    """A run by time keeps the images of its first plan, whatever is asked for with the time."""
    if not config.training.time_sec or len(config.growth) != len(old.growth):
        return config
    growth = tuple(
        replace(stage, images=planned.images)
        for stage, planned in zip(config.growth, old.growth, strict=True)
    )
    training = replace(config.training, images=old.training.images)
    return replace(config, training=training, growth=growth)


def why_not_shorter(
    path: Path,
    old: RunConfig,
    new: RunConfig,
    *,
    shown: Callable[[], int],
    elapsed: Callable[[], float],
) -> str:
    """Why a run may not be set to an extent: it was set to a larger one. Else an empty string.

    `shown` and `elapsed` tell the images and seconds that it has been trained so far.
    """
    before, now = old.training, new.training
    if now.time_sec:
        least_sec = before.time_sec or elapsed()
        if now.time_sec < least_sec:
            is_set = "is set to" if before.time_sec else "has been trained for"
            return (
                f"{path} {is_set} {in_words(least_sec)}, more than {in_words(now.time_sec)}; "
                "--time can only grow"
            )
    else:  # the images of a run by time were only a plan
        least = shown() if before.time_sec else before.images
        if now.images < least:
            is_set = "has been trained on" if before.time_sec else "is set to"
            return f"{path} {is_set} {least} images, more than {now.images}; --images can only grow"
    return ""


def trained_with(old: RunConfig, now: RunConfig) -> RunConfig:
    """A checkpoint's configuration, with the extent of the run's now, unless that is smaller."""
    before, after = old.training, now.training
    images = after.images if before.time_sec else max(before.images, after.images)
    shorter = 0 < after.time_sec < before.time_sec
    time_sec = before.time_sec if shorter else after.time_sec
    return replace(old, training=replace(before, images=images, time_sec=time_sec))
