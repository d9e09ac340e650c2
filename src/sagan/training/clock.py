"""Runs by time: where each size is to end, so that it gets its share and the whole ends in time.

Nothing in a stage depends on where it ends. So what the clock decides are plain numbers of images,
and a run by images with the same ends gives the same weights.
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Literal

import torch

from sagan.config import RunConfig
from sagan.config.growth import ends_of, images_at, stages_of, with_ends
from sagan.config.plans import shares_of, sizes_of
from sagan.runs.checkpoint import Checkpoint
from sagan.training.engine import Engine
from sagan.training.schedule import stage_after
from sagan.training.stopwatch import Stopwatch

_WORTH = 0.02  # an end moves if by more than this part of its stage,
_WORTH_LATE = 0.1  # or than this part of what is left of the stage, if that is less
_LOOK_EVERY = 0.1  # of the time that is left of a stage
_LOOK_SEC = 0.1, 30.0  # but not more, or less, often than this
_RATE_MARKS = 8  # looks over which the rate is averaged
_LEAST_SPAN_SEC = 0.2  # over less time no rate is believed
_RESERVE = 0.02  # of the time, for the end, until a snapshot has been measured
_MOST_RESERVE_SEC = 10.0
_DRAW_SEC = 2.0  # for the last curves, until some have been drawn

_REHEARSAL = 3  # the look at the last size after which a snapshot is rehearsed

Aside = Literal["snapshot", "saving", "score", "preparing scores", "curves"]


@dataclass(frozen=True, kw_only=True)
class Budget:
    """A run's time and what it is for."""

    time_sec: float  # of all
    began_sec: float  # of it, gone when the plan was first made
    reserve_sec: float  # kept for the last snapshot
    shares: Sequence[float]  # of the rest, for each stage

    @property
    def ends_sec(self) -> list[float]:
        """When each stage is to end."""
        whole = max(0.0, self.time_sec - self.began_sec - self.reserve_sec)
        return [self.began_sec + part * whole for part in accumulate(self.shares)]


def replanned(
    ends: Sequence[int],
    budget: Budget,
    *,
    stage: int,
    images: int,
    elapsed_sec: float,
    per_step: Sequence[int],
    rates: Sequence[float],
) -> list[int] | None:
    """Where the stages are to end, in images; None if about where they are to end already.

    Args:
        ends: of the stages, so far planned.
        budget: what the time is divided into.
        stage, images: where the run is. No end moves before this.
        elapsed_sec: the time gone.
        per_step: images of a step in each stage.
        rates: images per second in each stage, all that it does included.

    Example:
        >>> budget = Budget(time_sec=100, began_sec=0, reserve_sec=10, shares=(1.0,))
        >>> now = {"stage": 0, "images": 100, "elapsed_sec": 40, "per_step": [10]}
        >>> replanned([1000], budget, **now, rates=[2.0])  # 50 s are left for the steps
        [200]
        >>> replanned([1000], budget, **now, rates=[18.0])
    """
    ends_sec = budget.ends_sec
    new = list(ends)
    begin = ends[stage - 1] if stage else 0
    for i in range(stage, len(ends)):
        from_images = images if i == stage else new[i - 1]
        from_sec = elapsed_sec if i == stage else max(elapsed_sec, ends_sec[i - 1])
        steps = round(max(0.0, ends_sec[i] - from_sec) * rates[i] / per_step[i])
        least = 0 if images > begin and i == stage else 1  # no stage is empty
        new[i] = from_images + max(least, steps) * per_step[i]
    length, left = new[stage] - begin, new[stage] - images
    moved = abs(new[stage] - ends[stage])
    if moved < per_step[stage] or moved <= min(_WORTH * length, _WORTH_LATE * left):
        return None
    return new


def first_reserve_sec(config: RunConfig) -> float:
    """What to keep for the end of a run before any snapshot has been measured: a guess."""
    return min(_RESERVE * config.training.time_sec, _MOST_RESERVE_SEC) + _DRAW_SEC


class Clock:
    """A run's stages, whose ends it moves if the run goes by time.

    With several processes the first decides, and all follow.

    Args:
        config: the run's.
        engine: of this process.
        stopwatch: the time gone.
        plans: what was decided so far, as the checkpoint's manifest has it.
        rates: images per second of each stage as measured, if nothing was decided yet.
    """

    said_when = False  # whether the user knows when the run will end

    def __init__(
        self,
        config: RunConfig,
        engine: Engine,
        stopwatch: Stopwatch,
        plans: Sequence[Mapping[str, Any]] = (),
        rates: Sequence[float] = (),
    ) -> None:
        self.config, self.stopwatch, self._engine = config, stopwatch, engine
        self.plans = list(plans)
        self.rates = list(plans[-1]["rates"] if plans else rates)
        if plans:
            ends = list(plans[-1]["ends"])
            if not config.training.time_sec:  # by images from now on
                ends[-1] = config.training.images
            config = with_ends(config, ends)
        self.stages = stages_of(config)
        self._told = len(plans)  # how many are in the log
        self._shares = shares_of(sizes_of(config))
        self._aside_sec = 0.0  # spent beside steps, all in all
        self._took_sec: dict[Aside, tuple[int, float]] = {}  # the last of a kind: its stage, time
        self._stage, self._looks, self._looked_step, self._next_step = -1, 0, 0, 0
        self._marks: deque[tuple[float, int]] = deque(maxlen=_RATE_MARKS)

    @property
    def by_time(self) -> bool:
        """Whether the run goes by time."""
        return self.config.training.time_sec > 0

    @property
    def left_sec(self) -> float:
        """What is left of the time that the run was given."""
        return max(0.0, self.config.training.time_sec - self.stopwatch.elapsed_sec)

    def begin(self, checkpoint: Checkpoint | None) -> None:
        """Settle where the stages end, as this call of `train` begins."""
        if not self.by_time or self.is_done(checkpoint):
            return
        step = checkpoint.step if checkpoint else 0
        stage, images = stage_after(checkpoint, self.stages), images_at(self.stages, step)
        ends: Sequence[int] | None = None
        if self._engine.rank == 0:
            # at least one step, so that the end has its snapshot
            ends = self._replanned(stage, images, least=self.stages[stage].images_per_step)
            if ends is None and not self.plans:
                ends = ends_of(self.stages)
        self._agree(ends, images, 0)

    def is_done(self, checkpoint: Checkpoint | None) -> bool:
        """Whether the run has reached its end, and has not been given more time since."""
        if checkpoint is None or checkpoint.step < self.stages[-1].last_step:
            return False
        given = self.config.training.time_sec
        return not given or given == checkpoint.run_config.training.time_sec

    @contextmanager
    def aside(self, kind: Aside) -> Iterator[None]:
        """Time work that is not a training step; nested blocks are excluded."""
        began_sec, before_sec = self.stopwatch.elapsed_sec, self._aside_sec
        try:
            yield
        finally:
            whole_sec = self.stopwatch.elapsed_sec - began_sec
            self._took_sec[kind] = self._stage, whole_sec - (self._aside_sec - before_sec)
            self._aside_sec = before_sec + whole_sec

    def rehearses(self, step: int) -> bool:
        """Whether to make a snapshot now, only to learn how long the last one will take."""
        measured = self._took_sec.get("snapshot", (-1, 0.0))[0] == self._stage
        is_last = self._stage == len(self.stages) - 1
        return is_last and not measured and (step, self._looks) == (self._looked_step, _REHEARSAL)

    def look(self, stage: int, step: int) -> None:
        """Compare with the plan if it is time to, and move the ends if they are off."""
        if not self.by_time:
            return
        if stage != self._stage or step < self._looked_step:  # begun, or rolled back
            self._stage, self._looked_step, self._next_step = stage, step, step + 1
            self._marks.clear()
            self._looks = 0
        if step < self._next_step:
            return
        self._looked_step = step
        self._looks += 1
        images = images_at(self.stages, step)
        self._engine.synchronize()
        ends, steps = None, 0
        if self._engine.rank == 0:
            self._marks.append((self.stopwatch.elapsed_sec - self._aside_sec, images))
            if self._measure_rate(stage):
                ends = self._replanned(stage, images)
            steps = self._steps_to_next_look(stage)
        self._next_step = step + self._agree(ends, images, steps)

    def news(self) -> list[dict[str, Any]]:
        """What was decided and is not in the log yet."""
        new, self._told = self.plans[self._told :], len(self.plans)
        return [dict(plan) for plan in new]

    def _measure_rate(self, stage: int) -> bool:
        """Learn this stage's rate from the last looks; later ones' change by the same factor."""
        (from_sec, from_images), (to_sec, to_images) = self._marks[0], self._marks[-1]
        if to_sec - from_sec < _LEAST_SPAN_SEC:
            return False
        seconds = (to_sec - from_sec) / (to_images - from_images) + self._aside_sec_per_image(stage)
        factor = 1 / seconds / self.rates[stage]
        self.rates[stage:] = [rate * factor for rate in self.rates[stage:]]
        return True

    def _aside_sec_per_image(self, stage: int) -> float:
        """What this stage's snapshots and scores add to each image."""
        training, per_step = self.config.training, self.stages[stage].images_per_step
        every = {"snapshot": training.snapshot_every, "score": training.evaluate_every}
        return sum(
            took_sec / max(every[kind], per_step)
            for kind, (its_stage, took_sec) in self._took_sec.items()
            if kind in every and its_stage == stage
        )

    def _reserve_sec(self) -> float:
        """For the last snapshot, its saving, its score if there are scores, and the curves."""
        last = len(self.stages) - 1
        if "snapshot" not in self._took_sec:
            return first_reserve_sec(self.config)
        stage, took_sec = self._took_sec["snapshot"]
        took_sec *= max(1.0, self.rates[stage] / self.rates[last])
        others: dict[Aside, float] = {"saving": 0.0, "score": 0.0, "curves": _DRAW_SEC}
        for kind, guess_sec in others.items():
            took_sec += self._took_sec.get(kind, (last, guess_sec))[1]
        return took_sec

    def _budget(self) -> Budget:
        began_sec = self.plans[0]["elapsed"] if self.plans else self.stopwatch.elapsed_sec
        return Budget(
            time_sec=self.config.training.time_sec,
            began_sec=began_sec,
            reserve_sec=self._reserve_sec(),
            shares=self._shares,
        )

    def _replanned(self, stage: int, images: int, *, least: int = 0) -> list[int] | None:
        return replanned(
            ends_of(self.stages),
            self._budget(),
            stage=stage,
            images=images + least,
            elapsed_sec=self.stopwatch.elapsed_sec + least / self.rates[stage],
            per_step=[s.images_per_step for s in self.stages],
            rates=self.rates,
        )

    def _steps_to_next_look(self, stage: int) -> int:
        shortest_sec, longest_sec = _LOOK_SEC
        left_sec = self._budget().ends_sec[stage] - self.stopwatch.elapsed_sec
        wait_sec = min(max(_LOOK_EVERY * left_sec, shortest_sec), longest_sec)
        return max(1, int(wait_sec * self.rates[stage] / self.stages[stage].images_per_step))

    def _agree(self, ends: Sequence[int] | None, images: int, steps: int) -> int:
        """Take over what the first process decided: the ends, if they move, and a number."""
        said = [steps, *(ends or [0] * len(self.stages))]
        if self._engine.rank:
            said = [0] * len(said)
        numbers = torch.tensor(said, device=self._engine.device)  # int64
        steps, *agreed = (int(number) for number in self._engine.sum(numbers).tolist())
        if any(agreed):
            elapsed = round(self.stopwatch.elapsed_sec, 3)
            rates = [float(f"{rate:.4g}") for rate in self.rates]
            self.plans.append(
                {"images": images, "elapsed": elapsed, "ends": agreed, "rates": rates}
            )
            self.stages = stages_of(with_ends(self.config, agreed))
        return steps
