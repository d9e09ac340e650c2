"""Before a run's first step: how fast this device is, how far the run will come, and how long it
will take.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

from sagan.config import RunConfig, Runtime, TrainingConfig
from sagan.config.duration import in_words
from sagan.config.growth import Stage, ends_of, images_at, stages_of, with_ends
from sagan.config.plans import reached, shares_of, sizes_of
from sagan.config.presets import FEW_IMAGES
from sagan.data import ImageDataset
from sagan.devices import usable_cores
from sagan.runs.checkpoint import Checkpoint
from sagan.runs.log import read_records
from sagan.runs.run import Run
from sagan.training.clock import Budget, Clock, first_reserve_sec, replanned
from sagan.training.engine import Engine
from sagan.training.measure import measured_rates
from sagan.training.schedule import stage_after
from sagan.training.stopwatch import Stopwatch

_LEAST_STEPS = 20  # of each size, for which a run by time is begun
_LONG_IMAGES = 200_000  # a run by fewer images is begun without measuring
_MONTH_SEC = 31 * 86_400
_LOGGED = 10  # log records over which the rate is taken
_OFTEN = 200  # times that few pictures are shown, from which D may know them by heart


def open_clock(
    config: RunConfig,
    old: RunConfig | None,
    checkpoint: Checkpoint | None,
    run: Run,
    runtime: Runtime,
    engine: Engine,
    dataset: ImageDataset,
    *,
    length_given: bool,
) -> tuple[Clock, list[str]]:
    """Plan a run, or go on with its plan; and say when it will end.

    All processes must call it, before the first one writes to the run's folder.

    Args:
        old: the run's configuration so far.
        checkpoint: its newest sound one.
        length_given: whether how long to train was asked for; if not, over a month is refused.

    Raises:
        ValueError: the time is too short to be of use, or the run too long.
    """
    stopwatch = Stopwatch.of(run)
    plans = checkpoint.manifest.get("plan", []) if checkpoint else []
    is_new = old is None or not old.data.source  # an imported run has no plan either
    notes: list[str] = []
    stages: Sequence[Stage] = ()
    rates: Sequence[float] = ()
    long = checkpoint is None and config.training.images >= _LONG_IMAGES
    if (config.training.time_sec and not plans) or (not config.training.time_sec and long):
        stages = stages_of(_endless(config) if is_new else config)
        rates = measured_rates(stages, runtime, engine, dataset)
    if config.training.time_sec and is_new:
        gone_sec = engine.broadcast(stopwatch.elapsed_sec)
        config = _first_plan(config, stages, rates, gone_sec)
        notes = _describe_plan(config, rates, engine)
    clock = Clock(config, engine, stopwatch, plans, rates)
    clock.begin(checkpoint)
    notes = notes or [_ending(clock, run, engine, checkpoint, length_given=length_given)]
    clock.said_when = any(notes)
    if checkpoint is None:
        notes += _shown_often(config, len(dataset))
    return clock, [*notes, *_slow_snapshots(config.training)]


def _shown_often(config: RunConfig, pictures: int) -> list[str]:
    """Whether few pictures are shown so often that augmentation keeps variety."""
    times = config.training.images // pictures
    if pictures >= FEW_IMAGES or times < _OFTEN or config.training.augment:
        return []
    return [
        f"Each of the {pictures:,} pictures will be shown {times:,} times: should the "
        "discriminator learn them by heart, --augment color,translation,cutout --augment-p "
        "adaptive keeps variety"
    ]


def _slow_snapshots(training: TrainingConfig) -> list[str]:
    """Whether snapshots take longer than training between them."""
    images = training.standing_batches * training.batch_size
    if images <= max(_LONG_IMAGES, 10 * training.snapshot_every):
        return []
    return [
        f"Each snapshot makes {images:,} images first (--standing-batches "
        f"{training.standing_batches:,}), for {training.snapshot_every:,} trained on between two"
    ]


def _endless(config: RunConfig) -> RunConfig:
    """A run by time before it has a plan: with images enough for any of its sizes."""
    if not config.training.time_sec:
        return config
    return replace(config, training=replace(config.training, images=10**15))


def _first_plan(
    config: RunConfig, stages: Sequence[Stage], rates: Sequence[float], gone_sec: float
) -> RunConfig:
    """With the images that this device can show in the time."""
    time_sec, reserve_sec = config.training.time_sec, first_reserve_sec(config)
    shares, per_step = shares_of(sizes_of(config)), [s.images_per_step for s in stages]
    steps_sec = max(
        _LEAST_STEPS * images / rate / share
        for images, rate, share in zip(per_step, rates, shares, strict=True)
    )
    least_sec = steps_sec + gone_sec + reserve_sec
    if time_sec < least_sec:
        least = math.ceil(1.1 * least_sec)  # measured again it may be a little slower
        raise ValueError(
            f"--time {in_words(time_sec)} is too short here for {_LEAST_STEPS} steps at each size "
            f"({_sizes(sizes_of(config))}): the least that would do is --time {least}s"
        )
    budget = Budget(
        time_sec=time_sec,
        began_sec=gone_sec,
        reserve_sec=reserve_sec,
        shares=shares,
    )
    ends = replanned(
        [0] * len(stages),
        budget,
        stage=0,
        images=0,
        elapsed_sec=gone_sec,
        per_step=per_step,
        rates=rates,
    )
    assert ends is not None
    return with_ends(config, ends)


def _describe_plan(config: RunConfig, rates: Sequence[float], engine: Engine) -> list[str]:
    """What is to be done, how fast this device is, and what such a plan reached before."""
    time_sec, sizes = config.training.time_sec, sizes_of(config)
    parts = [
        f"{px} px for {in_words(share * time_sec)}"
        for px, share in zip(sizes, shares_of(sizes), strict=True)
    ]
    device = str(engine.device)
    if device == "cpu":
        device = f"CPU, {usable_cores()} cores"
    measured = ", ".join(f"{rate:,.3g}" for rate in rates)
    lines = [
        f"Plan for {in_words(time_sec)}: {config.training.images:,} images; {', '.join(parts)}",
        f"Measured here: {measured} images/s at {_sizes(sizes)} ({device})",
    ]
    if record := reached(sizes, config.training.images):
        scores = ", ".join(f"{name} {value:.3g}" for name, value in record["scores"].items())
        lines.append(
            f"Reached before with {record['images']:,} images in "
            f"{in_words(60 * record['minutes'])} on {record['set']} "
            f"({record['hardware']}): {scores}"
        )
    return lines


def _sizes(sizes: Sequence[int]) -> str:
    return ", ".join(map(str, sizes)) + " px"


def _ending(
    clock: Clock, run: Run, engine: Engine, checkpoint: Checkpoint | None, *, length_given: bool
) -> str:
    """When the run will end, on a line; empty if nothing is known of its speed yet."""
    time_sec = clock.config.training.time_sec
    if checkpoint is not None and checkpoint.step >= clock.stages[-1].last_step:
        used = f"its {in_words(time_sec)} are used" if time_sec else "all images are shown"
        return f"{run.path} is done: {used}; a larger --time or --images extends it"
    step = checkpoint.step if checkpoint else 0
    images, stage = images_at(clock.stages, step), stage_after(checkpoint, clock.stages)
    left = ends_of(clock.stages)[-1] - images
    if time_sec:
        return f"{left:,} images left, about {in_words(clock.left_sec)} of {in_words(time_sec)}"
    rates = clock.rates or _logged_rates(run, clock.stages, stage)
    if not rates:
        return ""
    left_sec = seconds_left(clock.stages, images, rates)
    if checkpoint is None and not length_given and left_sec > _MONTH_SEC:
        raise ValueError(
            f"{left:,} images would take this {engine.device.type} {in_words(left_sec)}: say how "
            "long to train, as --time 4h (or --images, to train that long)"
        )
    return images_left(clock.stages, stage, images, rates)


def images_left(stages: Sequence[Stage], stage: int, images: int, rates: Sequence[float]) -> str:
    """A line on what is left."""
    left, left_sec = ends_of(stages)[-1] - images, seconds_left(stages, images, rates)
    return f"{left:,} images left, about {in_words(left_sec)} (now {rates[stage]:,.3g} images/s)"


def seconds_left(stages: Sequence[Stage], images: int, rates: Sequence[float]) -> float:
    """How long the images that are left take."""
    ends = ends_of(stages)
    begins = (0, *ends[:-1])
    return sum(
        max(0, end - max(begin, images)) / rate
        for begin, end, rate in zip(begins, ends, rates, strict=True)
    )


def guessed_rates(stages: Sequence[Stage], stage: int, rate: float) -> list[float]:
    """Each stage's rate, from that of one; the others' are guessed from their sizes."""
    sides = [s.config.network.resolution for s in stages]
    return [rate * (sides[stage] / side) ** 2 for side in sides]


def _logged_rates(run: Run, stages: Sequence[Stage], stage: int) -> Sequence[float]:
    """From the last log records, the middle one's."""
    records = (r for r in read_records(run.log_path) if r.get("kind") == "train")
    logged = [r.get("images_per_sec") for r in records][-_LOGGED:]
    last = sorted(rate for rate in logged if isinstance(rate, float) and rate > 0)
    return guessed_rates(stages, stage, last[len(last) // 2]) if last else ()
