"""The training loop: a run's stages in turn, from wherever it was left.

The same call again resumes from the newest sound checkpoint; on the CPU it ends with the same
weights as an uninterrupted run, bit for bit on the same build and machine. So does a run that was
rolled back, since its retries are numbered. A run that grows begins each stage with the networks of
the checkpoint that ended the stage before, so it resumes between stages as anywhere else.
"""

import sys
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from sagan.config import RunConfig, Runtime
from sagan.data import ImageDataset
from sagan.runs.checkpoint import Checkpoint
from sagan.runs.extent import with_first_plan
from sagan.runs.run import Run
from sagan.training.batches import Share, check_batch
from sagan.training.engine import Engine
from sagan.training.finetune import begin
from sagan.training.memory import Fit
from sagan.training.outlook import open_clock
from sagan.training.schedule import stage_after
from sagan.training.signals import StopSignals
from sagan.training.tensorboard import require_tensorboard
from sagan.training.trainer import Trainer


@dataclass(frozen=True)
class TrainResult:
    """How a call of `train` ended."""

    path: Path  # the run's folder
    images: int  # shown to the discriminator since the run began
    exit_code: int  # 0 when done; stopped by a signal, 128 and its number, as 143 after SIGTERM
    rank: int  # of this process; only rank 0 has written


def train(
    config: RunConfig,
    run: Run,
    dataset: ImageDataset,
    *,
    runtime: Runtime | None = None,
    progress: bool = True,
    length_given: bool = True,
    from_scratch: bool = False,
) -> TrainResult:
    """Train a run to its number of images or for its time, starting from its newest checkpoint.

    Args:
        config: must equal an existing run's, except for a larger number of images or time.
        run: the folder, created if missing.
        dataset: the training images, at the network's resolution and channels.
        runtime: where and how to execute, and how often to roll back after a failure.
        progress: show it on stderr.
        length_given: whether the number of images was asked for; if not, over a month is refused.
        from_scratch: begin again, after moving what the run has, but for `config.json`, into
            a folder there.

    Raises:
        ValueError: the configuration differs from the run's or the newest checkpoint's, or does not
            fit the data, devices, memory or time.
        CheckpointError: no checkpoint is sound, though there are some.
        TrainingFailure: out of memory, NaN or infinite values, or more failures than the runtime
            rolls back from; earlier checkpoints stand.
        OSError: a checkpoint could not be read or written.
    """
    old = run.config() if run.exists() else None
    if old is not None:
        config = with_first_plan(config, old)
        run.check_continues(config, old)
    runtime = runtime or Runtime()
    if runtime.tensorboard:
        require_tensorboard()
    engine = Engine(runtime, config.training.precision)
    fit = Fit.of(config, engine)
    warning = fit.check()
    engine.launch()
    is_main = engine.rank == 0
    if from_scratch:
        aside = _set_aside(run, engine)
        if aside and progress:
            print(aside, file=sys.stderr)  # at once: what follows may be refused

    def trainer_from(checkpoint: Checkpoint | None, runtime: Runtime) -> Trainer:
        stage = stage_after(checkpoint, clock.stages)
        return Trainer(stage, runtime, run, engine, dataset, clock)

    with fit.explain_out_of_memory():
        checkpoint, _ = run.newest_sound_checkpoint()
        clock, plan = open_clock(
            config, old, checkpoint, run, runtime, engine, dataset, length_given=length_given
        )
        share = Share(engine.rank, engine.world_size)
        for stage in clock.stages:  # a later size is not to fail hours from now
            check_batch(stage.config.training, len(dataset), share)
        trainer = trainer_from(checkpoint, runtime)
        with run.lock() if is_main else nullcontext(), StopSignals(runtime.stop_signal) as stop:
            notes = _prepare_folder(run, clock.config, dataset) if is_main else []
            notes = [warning, engine.fallback, *notes, *plan]
            with engine.watching(run.path):
                engine.barrier()
                while True:
                    with trainer.resume(*notes, progress=progress):
                        exit_code = trainer.train(stop)
                        images, runtime = trainer.images, trainer.runtime
                    if exit_code is not None:
                        return TrainResult(run.path, images, exit_code, engine.rank)
                    del trainer  # so that the device never holds two stages' networks
                    trainer = trainer_from(run.newest_sound_checkpoint()[0], runtime)
                    notes = []


def _set_aside(run: Run, engine: Engine) -> str:
    """Move what the run has out of the way; say where to, in the first process."""
    engine.barrier()  # all have read it
    folder = run.set_aside() if engine.rank == 0 else None
    engine.barrier()
    return f"What the run had is now in {folder}." if folder else ""


def _prepare_folder(run: Run, config: RunConfig, dataset: ImageDataset) -> list[str]:
    run.write_config(config)
    run.write_excluded(dataset.excluded)
    run.samples_path.mkdir(exist_ok=True)
    run.remove_leftovers()
    return begin(run, config)
