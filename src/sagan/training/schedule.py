"""Convert intervals given in images to step numbers."""

import math

from sagan.config import TrainingConfig


class Schedule:
    """The steps after which a run logs, saves or evaluates.

    Example:
        >>> schedule = Schedule(TrainingConfig(images=100, batch_size=16, snapshot_every=32))
        >>> schedule.last_step, [step for step in range(1, 8) if schedule.snapshot_due(step)]
        (7, [2, 4, 6, 7])
    """

    def __init__(self, training: TrainingConfig) -> None:
        self.images_per_step = training.batch_size * training.d_steps
        self.last_step = math.ceil(training.images / self.images_per_step)
        self.log_steps = self._steps(training.log_every)
        self._snapshot_steps = self._steps(training.snapshot_every)
        self._evaluate_every = training.evaluate_every

    def _steps(self, images: int) -> int:
        return max(1, images // self.images_per_step)

    def images(self, step: int) -> int:
        """Real images shown to the discriminator in this number of steps."""
        return step * self.images_per_step

    def snapshot_due(self, step: int) -> bool:
        """Whether to make a snapshot after a step."""
        due = step == self.last_step or step % self._snapshot_steps == 0
        return due or self.evaluation_due(step)

    def evaluation_due(self, step: int) -> bool:
        """Whether to score the generator after a step."""
        every = self._evaluate_every
        if not every:
            return False
        crossed = self.images(step) // every > self.images(step - 1) // every
        # at the end too, unless that is the only evaluation: one score has nothing to beat
        return crossed or (step == self.last_step and self.images(step) > every)
