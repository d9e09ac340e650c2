"""The training loop: steps, log, snapshots, stopping, rolling back and resuming.

A snapshot is a checkpoint, a sample grid on fixed latents, attention numbers on them, numbers for
the health watch and, every so often, a score. The same call again resumes from the newest sound
checkpoint; on the CPU it ends with the same weights as an uninterrupted run, bit for bit on the
same build and machine. So does a run that was rolled back, since its retries are numbered.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sagan.config import RunConfig, Runtime
from sagan.data import ImageDataset
from sagan.errors import TrainingFailure, gave_up
from sagan.models.standing import average_statistics
from sagan.runs.checkpoint import Checkpoint
from sagan.runs.run import Run
from sagan.training.augment import UPDATE_STEPS
from sagan.training.batches import BatchSource, Share
from sagan.training.compiling import is_compiler_error, reason, try_compiling
from sagan.training.diagnostics import GRID_COLUMNS, Viewer, not_finite
from sagan.training.engine import Engine
from sagan.training.evaluation import Scorer
from sagan.training.finetune import begin
from sagan.training.journal import Journal
from sagan.training.memory import Fit, is_out_of_memory
from sagan.training.schedule import Schedule
from sagan.training.signals import StopSignals
from sagan.training.state import new_state, restore, state_tensors, weights_and_gradients
from sagan.training.step import d_step, g_step
from sagan.training.tensorboard import require_tensorboard
from sagan.version import __version__

_NOT_FINITE = "{what} is no longer finite"
_STOP_ASKED_EVERY_STEPS = 10  # with several processes, where asking costs a message


@dataclass(frozen=True)
class TrainResult:
    """How a call of `train` ended."""

    path: Path  # the run's folder
    images: int  # shown to the discriminator since the run began
    exit_code: int  # 0 when done, 130 after Ctrl-C, 143 after SIGTERM
    rank: int  # of this process; only rank 0 has written


def train(
    config: RunConfig,
    run: Run,
    dataset: ImageDataset,
    *,
    runtime: Runtime | None = None,
    progress: bool = True,
) -> TrainResult:
    """Train a run to its number of images, starting from its newest checkpoint if it has one.

    Args:
        config: must equal an existing run's, except for a larger number of images.
        run: the folder, created if missing.
        dataset: the training images, at the network's resolution and channels.
        runtime: where and how to execute, and how often to roll back after a failure.
        progress: show it on stderr.

    Raises:
        ValueError: the configuration differs from the run's or the newest checkpoint's, or does not
            fit the data, devices or memory.
        CheckpointError: no checkpoint is sound, though there are some.
        TrainingFailure: out of memory, NaN or infinite values, or more failures than the runtime
            rolls back from; earlier checkpoints stand.
        OSError: a checkpoint could not be read or written.
    """
    run.check_continues(config)
    runtime = runtime or Runtime()
    if runtime.tensorboard:
        require_tensorboard()
    engine = Engine(runtime, config.training.precision)
    fit = Fit.of(config, engine)
    warning = fit.check()
    engine.launch()
    main = engine.rank == 0
    with fit.explain_out_of_memory():
        trainer = _Trainer(config, runtime, run, engine, dataset)
        with run.lock() if main else nullcontext(), StopSignals() as stop:
            began = _prepare_folder(run, config, dataset) if main else []
            engine.barrier()
            with trainer.resume(warning, engine.fallback, *began, progress=progress):
                return trainer.train(stop)


def _prepare_folder(run: Run, config: RunConfig, dataset: ImageDataset) -> list[str]:
    run.write_config(config)
    run.write_excluded(dataset.excluded)
    run.samples_path.mkdir(exist_ok=True)
    run.remove_leftovers()
    return begin(run, config)


class _Trainer:
    """One call of `train`. Nothing is written before `resume`."""

    journal: Journal

    def __init__(
        self, config: RunConfig, runtime: Runtime, run: Run, engine: Engine, dataset: ImageDataset
    ) -> None:
        self.config, self.runtime, self.run, self.engine = config, runtime, run, engine
        self.schedule = Schedule(config.training)
        self.batches = BatchSource(
            dataset, config, Share(engine.rank, engine.world_size), engine.device
        )
        batch_size = config.training.batch_size // config.training.accumulate // engine.world_size
        self.viewer = Viewer(config.network, dataset, batch_size=batch_size)
        self.scorer = Scorer(config, dataset) if config.training.evaluate_every else None
        self.state = new_state(config, runtime, engine)

    @contextmanager
    def resume(self, *notes: str, progress: bool) -> Iterator[None]:
        """Restore the newest sound checkpoint; print the notes; keep the journal open inside."""
        checkpoint, faults = self.run.checkpoint_to_resume()
        if checkpoint is not None:
            self.run.check_unedited(self.config, checkpoint)
            restore(self.state, checkpoint)
        self.journal = Journal(
            self.run,
            self.config,
            images_per_step=self.schedule.images_per_step,
            step=self.state.step,
            total=self.schedule.images(self.schedule.last_step),
            progress=progress,
            tensorboard=self.runtime.tensorboard,
            writes=self.main,
        )
        for line in (*filter(None, notes), *(f"skipped a checkpoint: {f}" for f in faults)):
            self.journal.meter.say(line)
        # If killed between a rollback and the next checkpoint, only the first process's log knows.
        retries = torch.tensor(float(self.journal.retries), device=self.engine.device)
        self._set_retry(max(self.state.retry, int(self.engine.sum(retries).item())))
        if self.main and self.scorer is not None:  # it may have been killed after saving
            self.run.update_best(self.scorer.metric, self.scorer.better)
        try:
            yield
        finally:
            self.journal.close()

    def _set_retry(self, retry: int) -> None:
        self.state.retry = retry
        self.batches.reseed(retry)

    @property
    def images(self) -> int:
        """Real images shown to the discriminator so far."""
        return self.schedule.images(self.state.step)

    @property
    def main(self) -> bool:
        """Whether this process writes."""
        return self.engine.rank == 0

    def train(self, stop: StopSignals) -> TrainResult:
        """Run steps until done or stopped; always end on a checkpoint."""
        last_step = self.schedule.last_step
        if self.state.step < last_step:
            self._record_start()
            self._try_compiling()
        self.journal.meter.restart(self.images)  # setting up is not training
        exit_code = 0
        while self.state.step < last_step:
            try:
                self._step()
                if self.state.step % self.schedule.log_steps == 0:
                    self._log()
                due = self.schedule.snapshot_due(self.state.step)
                exit_code = self._asked_to_stop(stop)
                if due or exit_code:
                    self._snapshot(with_pictures=due)
            except TrainingFailure as failure:
                self._go_back(failure)
                continue
            if exit_code or self.state.step == last_step:
                self.journal.draw(now=True)
                break
        self.engine.barrier()
        return TrainResult(self.run.path, self.images, exit_code, self.engine.rank)

    def _asked_to_stop(self, stop: StopSignals) -> int:
        """The exit code that a signal to any process asks for; 0 without one, or when done."""
        due = self.engine.world_size == 1 or self.state.step % _STOP_ASKED_EVERY_STEPS == 0
        unfinished = self.state.step < self.schedule.last_step
        return stop.exit_code(self.engine) if due and unfinished else 0

    def _step(self) -> None:
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
        state, training = self.state, self.config.training
        networks, engine, augmentation = state.networks, self.engine, state.augmentation
        adapts = augmentation is not None and augmentation.adapts_at(state.step)
        numbers: dict[str, Tensor] = {}
        for k in range(training.d_steps):
            reals = self.batches.real(state.step * training.d_steps + k)
            last = k + 1 == training.d_steps  # all logits must come from the same discriminator
            held_out = self.batches.held_out(state.step) if adapts and last else ()
            judged = d_step(networks, reals, training, engine, augmentation, held_out)
            for name in ("d_loss", "real_logits", "fake_logits"):
                numbers[name] = numbers.get(name, 0) + judged[name] / training.d_steps
        fakes = self.batches.fake(state.step)
        numbers |= g_step(networks, fakes, training, engine, augmentation)
        averaging = self.images >= training.ema_start
        state.ema.update(state.generator, decay=None if averaging else 0.0)
        if augmentation is not None and adapts:
            names = "real_logits", "held_out_logits", "fake_logits"
            logits = torch.stack([judged[name] for name in names])
            shown_nimg = UPDATE_STEPS * self.schedule.images_per_step
            augmentation.adapt(engine.sum(logits) / engine.world_size, shown_nimg)
        state.step += 1
        for name, value in numbers.items():
            state.log_sums[name] = state.log_sums.get(name, torch.zeros_like(value)) + value

    def _log(self) -> None:
        """Log means since the last record; only here does the host wait for the device."""
        steps = self.schedule.log_steps
        means = {name: v.item() / steps for name, v in self.state.log_sums.items()}
        self.state.log_sums = {}
        bad = next((name for name, value in means.items() if not math.isfinite(value)), "")
        self._fail_if(bad or not_finite(weights_and_gradients(self.state)), _NOT_FINITE)
        self.journal.meter.advance(
            self.images, f"D {means['d_loss']:.2f} · G {means['g_loss']:.2f}"
        )
        if self.state.augmentation is not None:
            means["augment_p"] = self.state.augmentation.p.item()
        self._record("train", **means, images_per_sec=round(self.journal.meter.last_rate, 2))

    def _record(self, kind: str, **values: Any) -> None:
        self.journal.record(kind, step=self.state.step, **values)

    def _fail_if(self, what: str, why: str) -> None:
        """Fail in all processes if there is a reason in any."""
        if self.engine.any(bool(what)):
            raise TrainingFailure(why.format(what=what or "in another process, a number"))

    def _record_start(self) -> None:
        machine = {"device": str(self.engine.device), "processes": self.engine.world_size}
        versions = {"torch": torch.__version__, "sagan": __version__}
        self._record("start", **machine, precision=self.engine.precision, **versions)

    def _snapshot(self, *, with_pictures: bool) -> None:
        """Make pictures and numbers, score, and save, unless something is wrong."""
        saved = {**state_tensors(self.state), "the log": self.state.log_sums}
        self._fail_if(not_finite(saved) if self.main else "", _NOT_FINITE)
        if self.main:
            average_statistics(self.state.ema.network, self.config.training)
            if with_pictures:
                self._look()
        serious = self.journal.serious
        self._fail_if(serious[0].said if serious and self.runtime.rollback else "", "{what}")
        if not self.main:
            return
        facts: dict[str, Any] = {"alarms": [alarm.name for alarm in serious]}
        if self.scorer is not None and self.schedule.evaluation_due(self.state.step):
            facts["score"] = self.scorer.score(self.state.ema.network, self.engine)
            self._record("score", **facts["score"], alarms=facts["alarms"])
        self._save(facts)
        self.journal.draw()

    def _look(self) -> None:
        try:
            view = self.viewer.look(self.state, self.engine)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            self.journal.meter.say(f"no pictures at {self.images:,} images: memory ran out")
            return  # still save the checkpoint
        self.journal.grid(view.samples, columns=GRID_COLUMNS, step=self.state.step)
        if view.layers:
            self._record("attention", layers=view.layers)
        self._record("check", **view.check)

    def _save(self, facts: dict[str, Any]) -> None:
        state = self.state
        sums = {name: value.item() for name, value in state.log_sums.items()}
        facts |= {"images": self.images, "log_sums": sums, "retry": state.retry}
        if state.augmentation is not None:
            facts["augmentation"] = {"p": state.augmentation.p.item()}
        tensors, keep = state_tensors(state), self.config.training.keep
        self.run.save(state.step, tensors, config=self.config, keep=keep, facts=facts)
        if self.scorer is not None:
            self.run.update_best(self.scorer.metric, self.scorer.better)

    def _go_back(self, failure: TrainingFailure) -> None:
        """Continue from the last good checkpoint with other random numbers, or give up."""
        failed, retry = self.images, self.state.retry + 1
        if retry > self.runtime.rollback:
            self.journal.draw(now=True)
            raise gave_up(failure, images=self.images, retries=self.state.retry)
        checkpoint = self._rebuild(retry, without_alarms=True)
        if self.main:
            self.run.drop_newer(checkpoint)
        self.journal.rewind(self.state.step)
        self._record("rollback", retry=retry, failed_at_images=failed, reason=str(failure))
        self.journal.meter.say(
            f"at {failed:,} images: {failure}. Continuing from {self.images:,} with other random "
            f"numbers (retry {retry} of {self.runtime.rollback})."
        )

    def _rebuild(self, retry: int, *, without_alarms: bool) -> Checkpoint | None:
        """Rebuild the state, restore the newest checkpoint if there is one, and return it."""
        del self.state  # so that the device never holds two
        self.state = new_state(self.config, self.runtime, self.engine)
        checkpoint, _ = self.run.newest_sound_checkpoint(without_alarms=without_alarms)
        if checkpoint is not None:
            restore(self.state, checkpoint)
        self._set_retry(retry)
        self.engine.barrier()  # all have read what may be deleted now
        return checkpoint

    def _try_compiling(self) -> None:
        """Let several processes agree on whether to compile, at a point that all reach."""
        if not self.runtime.compile or self.engine.world_size == 1:
            return
        state = self.state
        batch = self.batches.fake(state.step)[0]
        why = try_compiling(state.generator, state.discriminator, batch, self.engine)
        if self.engine.any(bool(why)):
            self._stop_compiling(why or "in another process")

    def _stop_compiling(self, why: str) -> None:
        """Continue uncompiled from the newest checkpoint: the failed step may be half done."""
        self.runtime = replace(self.runtime, compile=False)
        self._rebuild(self.state.retry, without_alarms=False)
        self.journal.rewind(self.state.step)
        self.journal.meter.say(f"torch.compile failed ({why}); continuing without it.")
