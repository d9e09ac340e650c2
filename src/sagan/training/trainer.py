"""Training one stage of a run: steps, log, snapshots, stopping and rolling back."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch

from sagan.config import Runtime
from sagan.config.growth import Stage, ends_of
from sagan.data import ImageDataset
from sagan.errors import TrainingFailure, gave_up
from sagan.runs.checkpoint import Checkpoint
from sagan.runs.run import Run
from sagan.training.batches import BatchSource, Share
from sagan.training.clock import Clock
from sagan.training.compiling import is_compiler_error, reason, try_compiling
from sagan.training.diagnostics import Viewer
from sagan.training.engine import Engine
from sagan.training.evaluation import Scorer
from sagan.training.finetune import transferred
from sagan.training.journal import Journal
from sagan.training.memory import is_out_of_memory
from sagan.training.outlook import guessed_rates, images_left, seconds_left
from sagan.training.saving import Saver
from sagan.training.schedule import Schedule, stage_after
from sagan.training.signals import StopSignals
from sagan.training.snapshots import Snapshots
from sagan.training.soundness import NumberCheck, require_finite_state
from sagan.training.state import new_state, restore
from sagan.training.update import train_step
from sagan.version import __version__

_STOP_ASKED_EVERY_STEPS = 10  # with several processes, where asking costs a message


class Trainer:
    """Trains one stage of a run in one call of `train`. Nothing is written before `resume`."""

    journal: Journal  # from `resume` on
    snapshots: Snapshots  # from `train` on
    _resumed: Checkpoint | None = None
    _grown: Sequence[str] = ()  # how the networks became those of this stage, if they did just now

    def __init__(
        self,
        stage: int,
        runtime: Runtime,
        run: Run,
        engine: Engine,
        dataset: ImageDataset,
        clock: Clock,
    ) -> None:
        self.run_config, self.clock, self.stage = clock.config, clock, stage
        self.config = config = self.stages[stage].config
        self.runtime, self.run, self.engine = runtime, run, engine
        self.schedule = Schedule(self.stages, stage)
        dataset = dataset.at(config.network.resolution)
        share = Share(engine.rank, engine.world_size)
        self.batches = BatchSource(dataset, config, share, engine.device, stage)
        training = config.training
        micro_batch_size = training.batch_size // training.accumulate // engine.world_size
        self._viewer = Viewer(config.network, dataset, batch_size=micro_batch_size)
        evaluates = self.run_config.training.evaluate_every
        scorer = Scorer(self.run_config, dataset) if evaluates else None  # a bad metric fails now
        self._scorer = scorer if self.is_last else None  # scores of a size are its own
        best = (self._scorer.metric, self._scorer.better) if self._scorer is not None else None
        self.saver = Saver(run, best=best)
        self.state, self.numbers = new_state(config, runtime, engine), NumberCheck(engine)

    @contextmanager
    def resume(self, *notes: str, progress: bool) -> Iterator[None]:
        """Restore the newest sound checkpoint; print the notes; keep the journal open inside."""
        checkpoint, faults = self.run.checkpoint_to_resume()
        if checkpoint is not None:
            self.run.check_unedited(self.run_config, checkpoint)
            self._restore(checkpoint)
            self._resumed = checkpoint
        self.journal = Journal(
            self.run,
            self.config,
            images_at=lambda step: self.schedule.images(step),  # it may be another one later
            step=self.state.step,
            total=ends_of(self.stages)[-1],
            stopwatch=self.clock.stopwatch,
            progress=progress,
            tensorboard=self.runtime.tensorboard,
            writes=self.is_main,
        )
        for line in (
            *filter(None, notes),
            *self._grown,
            *(f"skipped a checkpoint: {f}" for f in faults),
        ):
            self.journal.meter.say(line)
        # If killed between a rollback and the next checkpoint, only the first process's log knows.
        retries = torch.tensor(float(self.journal.retries), device=self.engine.device)
        self._set_retry(max(self.state.retry, int(self.engine.sum(retries).item())))
        if self.is_main and self._scorer is not None:  # it may have been killed after saving
            self.run.update_best(self._scorer.metric, self._scorer.better)
        try:
            yield
        finally:
            self.saver.close()
            self.journal.close()

    def _restore(self, checkpoint: Checkpoint) -> None:
        """Load a checkpoint of this stage, or grow from one that ended the stage before."""
        grown = None
        if checkpoint.stage < self.stage:
            grown, transfers, _ = transferred(checkpoint, self.config)
            sizes = checkpoint.config.network.resolution, self.config.network.resolution
            self._grown = [
                f"Growing from {sizes[0]} to {sizes[1]} px",
                *(t.described() for t in transfers),
            ]
        restore(self.state, checkpoint, grown)
        if grown is not None:
            self.state.log_sums = {}  # of the smaller size; its steps are not counted here

    def _set_retry(self, retry: int) -> None:
        self.state.retry = retry
        self.batches.reseed(retry)

    @property
    def stages(self) -> Sequence[Stage]:
        """All of the run's, with the ends that are planned now."""
        return self.clock.stages

    @property
    def images(self) -> int:
        """Real images shown to the discriminator so far."""
        return self.schedule.images(self.state.step)

    @property
    def is_last(self) -> bool:
        """Whether the run ends with this stage."""
        return self.stage == len(self.stages) - 1

    @property
    def is_main(self) -> bool:
        """Whether this process writes."""
        return self.engine.rank == 0

    def train(self, stop: StopSignals) -> int | None:
        """Run steps until the stage is done or stopped; always end on a checkpoint.

        Returns:
            The exit code of the run, or None if it continues in another stage.
        """
        self.snapshots = Snapshots(
            self.stage,
            self.runtime,
            self.run,
            self.engine,
            self.clock,
            viewer=self._viewer,
            scorer=self._scorer,
            saver=self.saver,
            journal=self.journal,
            stop=stop,
        )
        exit_code = 0
        if self._resumed is not None:
            self.snapshots.score_late(self.state, self._resumed)
            exit_code = self._asked_to_stop(stop)
        if self.state.step < self.schedule.last_step:
            self._record_start()
            self._try_compiling()
        elif self.is_main and self.is_last:  # it may have been killed after saving
            self.journal.draw_if_behind()
        self._follow_clock()
        self.journal.meter.restart(self.images)  # setting up is not training
        while self.state.step < self.schedule.last_step and not exit_code:
            try:
                self._step()
                if not self.numbers.ok(self.state):
                    require_finite_state(self.state, self.engine)
                if self.schedule.log_due(self.state.step):
                    self._log()
                self._follow_clock()
                rehearsal = self.clock.rehearses(self.state.step)
                due = rehearsal or self.schedule.snapshot_due(self.state.step)
                exit_code = self._asked_to_stop(stop)
                if due or exit_code or stop.save_asked:
                    with self.clock.aside("snapshot"):
                        self.snapshots.make(
                            self.state,
                            self.schedule,
                            with_pictures=due,
                            rehearsal=rehearsal,
                            hurried=bool(exit_code),
                        )
                    exit_code = exit_code or self._asked_to_stop(stop)
            except TrainingFailure as failure:
                if self._go_back(failure):
                    continue
                return None
            ended = exit_code or self.state.step == self.schedule.last_step
            if ended or rehearsal:
                with self.clock.aside("saving"):
                    self.saver.wait()
            if ended:
                with self.clock.aside("curves"):
                    self.journal.draw(now=True)
                if self.clock.by_time:
                    self._record("end")
                break
        if exit_code or self.is_last:
            self.engine.allow_exit()
        self.engine.barrier()
        return exit_code if exit_code or self.is_last else None

    def _follow_clock(self) -> None:
        """Take over the ends that the clock has moved, and log them."""
        self.clock.look(self.stage, self.state.step)
        for plan in self.clock.news():
            self.schedule = Schedule(self.stages, self.stage)
            self.journal.meter.retotal(ends_of(self.stages)[-1])
            self._record("plan", **plan)

    def _asked_to_stop(self, stop: StopSignals) -> int:
        """The exit code that a signal to any process asks for; 0 without one, or when done."""
        step = self.state.step
        due = self.engine.world_size == 1 or step % _STOP_ASKED_EVERY_STEPS == 0
        exit_code = stop.exit_code(self.engine) if due or step == self.snapshots.last_step else 0
        unfinished = step < self.stages[-1].last_step
        if not exit_code or unfinished:
            return exit_code
        return exit_code if self.engine.any(self.snapshots.cut_short) else 0

    def _step(self) -> None:
        self.saver.check()
        try:
            self._update()
        except Exception as error:
            # With several processes, one that fails alone must end here: in `_stop_compiling` it
            # would wait for the others, which wait for its gradients. What fails in every step was
            # found by `_try_compiling`.
            fallible = self.runtime.compile and self.engine.world_size == 1
            if not fallible or not is_compiler_error(error) or is_out_of_memory(error):
                raise
            self._stop_compiling(reason(error))
            self._update()

    def _update(self) -> None:
        train_step(self.state, self.batches, self.config.training, self.engine, self.images)
        self.engine.report_step(self.state.step)
        replays = self.state.replays
        if replays is not None and (trouble := replays.news()):
            self.journal.meter.say(f"CUDA graphs failed ({trouble}); continuing without them.")

    def _log(self) -> None:
        """Log means since the last record; reading them waits for this step."""
        steps = self.schedule.log_steps
        means = {name: v.item() / steps for name, v in self.state.log_sums.items()}
        require_finite_state(self.state, self.engine)
        self.state.log_sums = {}
        note = f"D {means['d_loss']:.2f} · G {means['g_loss']:.2f}"
        self.journal.meter.advance(self.images, self._left_sec, note)
        if not self.clock.said_when:
            self.clock.said_when, rate = True, self.journal.meter.last_rate
            rates = guessed_rates(self.stages, self.stage, max(rate, 1e-9))
            line = images_left(self.stages, self.stage, self.images, rates)
            self.journal.meter.say(line)
        if self.state.augmentation is not None:
            means["augment_p"] = self.state.augmentation.p.item()
        self._record("train", **means, images_per_sec=round(self.journal.meter.last_rate, 2))

    def _left_sec(self, rate: float) -> float:
        if self.clock.by_time:
            return self.clock.left_sec
        rates = guessed_rates(self.stages, self.stage, rate)
        return seconds_left(self.stages, self.images, rates)

    def _record(self, kind: str, **values: Any) -> None:
        self.journal.record(kind, step=self.state.step, **values)

    def _record_start(self) -> None:
        machine = {"device": str(self.engine.device), "processes": self.engine.world_size}
        versions = {"torch": torch.__version__, "sagan": __version__}
        self._record("start", **machine, precision=self.engine.precision, **versions)

    def _go_back(self, failure: TrainingFailure) -> bool:
        """Continue from the last good checkpoint with other random numbers, or give up.

        Returns:
            False if that checkpoint is of an earlier stage, in which the run then continues.
        """
        self.saver.wait()
        failed, retry = self.images, self.state.retry + 1
        if retry > self.runtime.rollback:
            self.engine.allow_exit()  # all end, for the reason that is said
            self.journal.draw(now=True)
            raise gave_up(failure, images=self.images, retries=self.state.retry)
        checkpoint, _ = self.run.newest_sound_checkpoint(without_alarms=True)
        stays = stage_after(checkpoint, self.stages) == self.stage
        if stays:
            self._rebuild(retry, checkpoint)
        else:
            self.state.step = checkpoint.step if checkpoint else 0
        self.engine.barrier()  # all have read what may be deleted now
        if self.is_main:
            self.run.drop_newer(checkpoint)
        self.journal.rewind(self.state.step)
        self._record("rollback", retry=retry, failed_at_images=failed, reason=str(failure))
        self.journal.meter.say(
            f"at {failed:,} images: {failure}. Continuing from {self.images:,} with other random "
            f"numbers (retry {retry} of {self.runtime.rollback})."
        )
        self.engine.barrier()  # the newest checkpoint is now the same for all
        return stays

    def _rebuild(self, retry: int, checkpoint: Checkpoint | None) -> None:
        """Rebuild the state and restore a checkpoint, if there is one."""
        del self.state  # so that the device never holds two
        self.state, self.numbers = (
            new_state(self.config, self.runtime, self.engine),
            NumberCheck(self.engine),
        )
        if checkpoint is not None:
            self._restore(checkpoint)
        self._set_retry(retry)

    def _try_compiling(self) -> None:
        """Let several processes agree on whether to compile, at a point that all reach."""
        if not self.runtime.compile or self.engine.world_size == 1:
            return
        state = self.state
        batch = self.batches.generator(state.step)[0]
        why = try_compiling(state.generator, state.discriminator, batch, self.engine)
        if self.engine.any(bool(why)):
            self._stop_compiling(why or "in another process")

    def _stop_compiling(self, why: str) -> None:
        """Continue uncompiled from the newest checkpoint: the failed step may be half done."""
        self.saver.wait()
        self.runtime = replace(self.runtime, compile=False)
        self._rebuild(self.state.retry, self.run.newest_sound_checkpoint()[0])
        self.engine.barrier()
        self.journal.rewind(self.state.step)
        self.journal.meter.say(f"torch.compile failed ({why}); continuing without it.")
