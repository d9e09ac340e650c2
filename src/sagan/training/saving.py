"""Saving beside training: a copy of the state is written in a thread of its own."""

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Literal

from torch import Tensor

from sagan.config import RunConfig
from sagan.runs.run import Run
from sagan.training.state import TrainState

Tensors = Mapping[str, Mapping[str, Tensor]]


def facts_of(state: TrainState) -> dict[str, Any]:
    """What a checkpoint's manifest says of a state, beside its tensors."""
    sums = {name: value.item() for name, value in state.log_sums.items()}
    facts: dict[str, Any] = {"log_sums": sums, "retry": state.retry}
    if state.augmentation is not None:
        facts["augmentation"] = {"p": state.augmentation.p.item()}
    return facts


class Saver:
    """Saves a run's checkpoints, one at a time; training waits only while the state is copied.

    What goes wrong with a save is raised by the next call of `check`, `wait` or `save`.
    """

    def __init__(self, run: Run, *, best: tuple[str, Literal["lower", "higher"]] | None) -> None:
        self._run = run
        self._best = best  # the metric that chooses the best checkpoint, and what is better
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sagan-save")
        self._saving: Future[None] | None = None

    def save(
        self, step: int, tensors: Tensors, *, config: RunConfig, keep: int, facts: dict[str, Any]
    ) -> None:
        """Copy a step's state, and begin to save the copy as `Run.save` does."""
        self.wait()
        copied = {
            name: {key: value.detach().to("cpu", copy=True) for key, value in group.items()}
            for name, group in tensors.items()
        }

        def write() -> None:
            self._run.save(step, copied, config=config, keep=keep, facts=facts)
            if self._best is not None:
                self._run.update_best(*self._best)

        self._saving = self._thread.submit(write)

    def check(self) -> None:
        """Raise what went wrong with the last save, if it has ended."""
        if self._saving is not None and self._saving.done():
            self.wait()

    def wait(self) -> None:
        """Wait for the save that is under way; raise what went wrong with it."""
        saving, self._saving = self._saving, None
        if saving is not None:
            saving.result()

    def close(self) -> None:
        """Wait for the save that is under way, whatever becomes of it."""
        self._thread.shutdown()
