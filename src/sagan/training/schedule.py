"""Convert intervals given in images to step numbers."""

from collections.abc import Sequence

from sagan.config.growth import Stage, images_at
from sagan.runs.checkpoint import Checkpoint


class Schedule:
    """The steps of a run's stage after which it logs, saves or evaluates.

    Example:
        >>> from sagan.config import RunConfig, TrainingConfig
        >>> from sagan.config.growth import stages_of
        >>> training = TrainingConfig(images=100, batch_size=16, snapshot_every=32)
        >>> schedule = Schedule(stages_of(RunConfig(training=training)))
        >>> schedule.last_step, [step for step in range(1, 8) if schedule.snapshot_due(step)]
        (7, [2, 4, 6, 7])
    """

    def __init__(self, stages: Sequence[Stage], index: int = 0) -> None:
        stage = stages[index]
        training = stage.config.training
        self._stages, self._first_step = stages, stage.first_step
        self.images_per_step, self.last_step = stage.images_per_step, stage.last_step
        self.log_steps = self._steps(training.log_every)
        self._snapshot_steps = self._steps(training.snapshot_every)
        self._evaluate_every = training.evaluate_every

    def _steps(self, images: int) -> int:
        return max(1, images // self.images_per_step)

    def images(self, step: int) -> int:
        """Real images shown to the discriminator in this number of the run's steps."""
        return images_at(self._stages, step)

    def log_due(self, step: int) -> bool:
        """Whether to log after a step."""
        return (step - self._first_step) % self.log_steps == 0

    def snapshot_due(self, step: int) -> bool:
        """Whether to make a snapshot after a step."""
        due = step == self.last_step or (step - self._first_step) % self._snapshot_steps == 0
        return due or self.evaluation_due(step)

    @property
    def evaluates(self) -> bool:
        """Whether there will have been an evaluation by the end."""
        return 0 < self._evaluate_every <= self.images(self.last_step)

    def evaluation_due(self, step: int) -> bool:
        """Whether to score the generator after a step."""
        every = self._evaluate_every
        if not every:
            return False
        crossed = self.images(step) // every > self.images(step - 1) // every
        # at the end too, unless that is the only evaluation: one score has nothing to beat
        return crossed or (step == self.last_step and self.images(step) > every)


def stage_after(checkpoint: Checkpoint | None, stages: Sequence[Stage]) -> int:
    """The stage to train from a checkpoint on: its own, or the next if it ended that."""
    if checkpoint is None:
        return 0
    ended = checkpoint.step >= stages[checkpoint.stage].last_step
    return min(checkpoint.stage + ended, len(stages) - 1)
