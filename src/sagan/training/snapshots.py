"""Snapshots: a checkpoint, a sample grid on fixed latents, attention numbers on them, numbers for
the health watch and, every so often, a score.
"""

from typing import Any

from sagan.config import Runtime
from sagan.models.standing import average_statistics
from sagan.runs.checkpoint import Checkpoint
from sagan.runs.run import Run
from sagan.training.clock import Clock
from sagan.training.diagnostics import GRID_COLUMNS, Viewer
from sagan.training.engine import Engine
from sagan.training.evaluation import Scorer
from sagan.training.journal import Journal
from sagan.training.memory import is_out_of_memory
from sagan.training.saving import Saver, facts_of
from sagan.training.schedule import Schedule
from sagan.training.signals import StopAsked, StopSignals
from sagan.training.soundness import fail_if, require_finite
from sagan.training.state import TrainState, state_tensors


class Snapshots:
    """Makes the snapshots of one stage of a run; only the first process writes."""

    def __init__(
        self,
        stage: int,
        runtime: Runtime,
        run: Run,
        engine: Engine,
        clock: Clock,
        *,
        viewer: Viewer,
        scorer: Scorer | None,
        saver: Saver,
        journal: Journal,
        stop: StopSignals,
    ) -> None:
        config = clock.stages[stage].config
        self._stage, self._config, self._run_config = stage, config, clock.config
        self._runtime, self._run, self._engine, self._clock = runtime, run, engine, clock
        self._viewer, self._scorer, self._saver = viewer, scorer, saver
        self._journal, self._stop = journal, stop
        self.last_step = -1  # of the last snapshot
        self.cut_short = False  # whether a signal kept it from its score

    def make(
        self,
        state: TrainState,
        schedule: Schedule,
        *,
        with_pictures: bool,
        rehearsal: bool = False,
        hurried: bool = False,
    ) -> None:
        """Draw, measure, score (unless `hurried`) and save.

        Raises:
            TrainingFailure: the state is unsound.
        """
        is_main = self._engine.rank == 0
        self.last_step = state.step
        saved = {**state_tensors(state), "the log": state.log_sums} if is_main else {}
        require_finite(saved, self._engine)
        if is_main:
            with self._engine.main_only():
                average_statistics(state.ema.network, self._config.training)
                if with_pictures:
                    self._look(state, schedule)
        serious = self._journal.serious
        fail_if(serious[0].said if serious and self._runtime.rollback else "", self._engine)
        if is_main:
            with self._engine.main_only():
                self._score_and_save(state, schedule, rehearsal=rehearsal, hurried=hurried)

    def _score_and_save(
        self, state: TrainState, schedule: Schedule, *, rehearsal: bool, hurried: bool
    ) -> None:
        serious = self._journal.serious
        facts: dict[str, Any] = {"alarms": [alarm.name for alarm in serious]}
        due = schedule.evaluation_due(state.step)
        if due or (rehearsal and schedule.evaluates):
            facts |= self._score(state, facts["alarms"], hurried=hurried)
        self._save(state, facts | {"images": schedule.images(state.step)})
        self._journal.draw()

    def score_late(self, state: TrainState, checkpoint: Checkpoint) -> None:
        """Make up for the score of the checkpoint just restored, if a signal cut that short."""
        if self._scorer is None or not checkpoint.manifest.get("score_due"):
            return
        self.last_step = state.step
        if self._engine.rank == 0:
            with self._engine.main_only():
                facts = self._score(state, checkpoint.manifest["alarms"])
            self._run.add_facts(checkpoint, facts)
            self._run.update_best(self._scorer.metric, self._scorer.better)

    def _look(self, state: TrainState, schedule: Schedule) -> None:
        try:
            view = self._viewer.look(state, self._engine)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            images = schedule.images(state.step)
            self._journal.meter.say(f"no pictures at {images:,} images: memory ran out")
            return  # still save the checkpoint
        self._journal.grid(view.samples, columns=GRID_COLUMNS, step=state.step)
        if view.layers:
            self._journal.record("attention", step=state.step, layers=view.layers)
        self._journal.record("check", step=state.step, **view.check)

    def _score(
        self, state: TrainState, alarms: list[str], *, hurried: bool = False
    ) -> dict[str, Any]:
        """Score, for the manifest; what a signal cuts short is made up for on resuming."""
        if self._scorer is None:
            return {}
        try:
            if hurried:
                raise StopAsked
            with self._stop.cutting_short():
                with self._clock.aside("preparing scores"):
                    self._scorer.prepare(self._engine)
                with self._clock.aside("score"):
                    score = self._scorer.score(state.ema.network, self._engine)
        except StopAsked:
            self.cut_short = True
            return {"score_due": True}
        self._journal.record("score", step=state.step, **score, alarms=alarms)
        return {"score": score, "score_due": False}

    def _save(self, state: TrainState, facts: dict[str, Any]) -> None:
        facts |= facts_of(state)
        if self._run_config.growth:
            facts["stage"] = self._stage
        if self._clock.plans:
            facts["plan"] = list(self._clock.plans)  # it may grow while this is saved
        tensors, keep = state_tensors(state), self._config.training.keep
        self._saver.save(state.step, tensors, config=self._run_config, keep=keep, facts=facts)
