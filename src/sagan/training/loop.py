"""The training loop: steps, log, snapshots, and how it stops and goes on.

A snapshot is a checkpoint, a sample grid on fixed latents, and each attention layer's numbers on
them. The same call again resumes from the newest sound checkpoint and ends with the same weights as
an unbroken run, bit for bit on the same build and machine.
"""

import math
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

import sagan
from sagan.config import NetworkConfig, RunConfig, Runtime
from sagan.data import ImageDataset
from sagan.files import write_atomically
from sagan.nn.attention import AttentionMap, attention_numbers, record_attention
from sagan.randomness import sample_latents
from sagan.run import Run
from sagan.runlog import Meter, append_records, read_records
from sagan.sampling import generate, image_grid, standing_statistics
from sagan.training.augment import UPDATE_STEPS
from sagan.training.batches import BatchSource, Share
from sagan.training.engine import Engine
from sagan.training.signals import StopSignals
from sagan.training.state import TrainState, new_state, restore, state_tensors
from sagan.training.step import d_step, g_step, held_out_logits

_GRID_ROWS, _GRID_COLUMNS = 10, 10
_ATTENTION_IMAGES = 17  # of the grid, evenly spread, for the attention numbers
_STOP_ASKED_EVERY_STEPS = 10  # with several processes, where asking costs a message


class TrainingFailure(Exception):
    """Training cannot go on; the message says why and what would help."""


@dataclass(frozen=True)
class TrainResult:
    """How a call of `train` ended.

    Args:
        images: shown to the discriminator since the run began.
        exit_code: 0 when done, 130 after Ctrl-C, 143 after SIGTERM.
        rank: of this process; only rank 0 has written.
    """

    images: int
    exit_code: int
    rank: int


def train(
    config: RunConfig,
    run: Run,
    dataset: ImageDataset,
    *,
    runtime: Runtime | None = None,
    progress: bool = True,
) -> TrainResult:
    """Train a run to its number of images, from its newest checkpoint where it has one.

    Args:
        config: what to train; must equal an existing run's but for a larger number of images.
        run: the folder, made where there is none.
        dataset: the training images, at the network's resolution and channels.
        runtime: where and how to execute.
        progress: show it on stderr.

    Returns:
        How far it came, and whether a signal stopped it.

    Raises:
        ValueError: the configuration differs from the run's, does not fit the data or the devices.
        TrainingFailure: a loss or weight became NaN or infinite; the checkpoints before stand.
        OSError: a checkpoint could not be written.
    """
    runtime = runtime or Runtime()
    engine = Engine(runtime, config.training.precision)
    engine.launch()
    share = Share(engine.rank, engine.world_size)
    batches = BatchSource(dataset, config, share, engine.device)
    state = new_state(config, runtime, engine)
    main = engine.rank == 0
    with run.lock() if main else nullcontext(), StopSignals() as stop:
        if main:
            _prepare_folder(run, config, dataset)
        engine.barrier()
        faults = _resume(state, run)
        trainer = _Trainer(config, run, engine, batches, state, progress=progress and main)
        for fault in faults:
            trainer.meter.say(f"left out a checkpoint: {fault}")
        try:
            return trainer.train(stop)
        finally:
            trainer.meter.close()


def _prepare_folder(run: Run, config: RunConfig, dataset: ImageDataset) -> None:
    run.check_continues(config)
    run.write_config(config)
    run.write_excluded(dataset.excluded)
    run.samples_path.mkdir(exist_ok=True)
    run.remove_leftovers()


def _resume(state: TrainState, run: Run) -> list[str]:
    checkpoint, faults = run.newest_sound_checkpoint()
    if checkpoint is not None:
        restore(state, checkpoint)
    return faults


class _Trainer:
    """One call of `train`, after everything is in place."""

    def __init__(
        self,
        config: RunConfig,
        run: Run,
        engine: Engine,
        batches: BatchSource,
        state: TrainState,
        *,
        progress: bool,
    ) -> None:
        self.config, self.run, self.engine = config, run, engine
        self.batches, self.state = batches, state
        training = config.training
        self.images_per_step = training.batch_size * training.d_steps
        self.last_step = math.ceil(training.images / self.images_per_step)
        self.log_steps = max(1, training.log_every // self.images_per_step)
        self.snapshot_steps = max(1, training.snapshot_every // self.images_per_step)
        self.meter = Meter(self.last_step * self.images_per_step, self.images, enabled=progress)

    @property
    def images(self) -> int:
        """Real images shown to the discriminator so far."""
        return self.state.step * self.images_per_step

    @property
    def main(self) -> bool:
        """Whether this process writes."""
        return self.engine.rank == 0

    def train(self, stop: StopSignals) -> TrainResult:
        """Run steps until done or stopped; always end on a checkpoint."""
        self._start_log()
        saved_step = self.state.step
        while self.state.step < self.last_step:
            self._step()
            step = self.state.step
            if step % self.log_steps == 0:
                self._log()
            due = step == self.last_step or step % self.snapshot_steps == 0
            stopping = self._asked_to_stop(stop)
            if due or stopping:
                self._snapshot(with_pictures=due)
                saved_step = step
            if stopping:
                break
        assert saved_step == self.state.step
        self.engine.barrier()
        return TrainResult(self.images, stop.exit_code, self.engine.rank)

    def _asked_to_stop(self, stop: StopSignals) -> bool:
        if self.engine.world_size > 1 and self.state.step % _STOP_ASKED_EVERY_STEPS:
            return False
        stopping = self.engine.any(stop.received is not None)
        return stopping and self.state.step < self.last_step

    def _step(self) -> None:
        state, training = self.state, self.config.training
        networks, engine, augmentation = state.networks, self.engine, state.augmentation
        numbers: dict[str, Tensor] = {}
        for k in range(training.d_steps):
            number = state.step * training.d_steps + k
            reals = self.batches.real(number)
            numbers |= d_step(networks, reals, training, engine, augmentation)
        fakes = self.batches.fake(state.step)
        numbers |= g_step(networks, fakes, training, engine, augmentation)
        averaging = self.images >= training.ema_start
        state.ema.update(state.generator, decay=None if averaging else 0.0)
        if augmentation is not None and augmentation.adapts_at(state.step):
            held_out = held_out_logits(networks, self.batches.held_out(state.step), augmentation)
            logits = torch.stack([numbers["real_logits"], held_out, numbers["fake_logits"]])
            shown_nimg = UPDATE_STEPS * self.images_per_step
            augmentation.adapt(engine.sum(logits) / engine.world_size, shown_nimg)
        state.step += 1
        for name, value in numbers.items():
            state.log_sums[name] = state.log_sums.get(name, torch.zeros_like(value)) + value

    def _log(self) -> None:
        """Read the numbers since the last record (the one place where the host waits for them)."""
        means = {name: v.item() / self.log_steps for name, v in self.state.log_sums.items()}
        self.state.log_sums = {}
        bad = [name for name, value in means.items() if not math.isfinite(value)]
        if bad:
            raise TrainingFailure(
                f"{bad[0]} is no longer finite at {self.images:,} images; the last checkpoint "
                "stands. Lower the learning rates or try another seed"
            )
        self.meter.advance(self.images, f"D {means['d_loss']:.2f} · G {means['g_loss']:.2f}")
        if self.state.augmentation is not None:
            means["augment_p"] = self.state.augmentation.p.item()
        self._record("train", **means, images_per_sec=round(self.meter.rate, 2))

    def _record(self, kind: str, **values: Any) -> None:
        if self.main:
            head = {"kind": kind, "step": self.state.step, "images": self.images}
            append_records(self.run.log_path, {**head, **values})

    def _start_log(self) -> None:
        """Drop records of steps that are to be run again, and say where this run starts."""
        if self.main and self.run.log_path.exists():
            kept = [r for r in read_records(self.run.log_path) if r["step"] <= self.state.step]
            write_atomically(self.run.log_path, b"")
            append_records(self.run.log_path, *kept)
        if self.state.step < self.last_step:
            self._record(
                "start",
                device=str(self.engine.device),
                processes=self.engine.world_size,
                torch=torch.__version__,
                sagan=sagan.__version__,
            )

    def _snapshot(self, *, with_pictures: bool) -> None:
        if not self.main:
            return
        self._check_weights()
        training, network = self.config.training, self.config.network
        state = self.state
        standing_statistics(
            state.ema.network,
            network,
            batches=training.standing_batches,
            batch_size=training.batch_size // training.accumulate,
            seed=training.seed,
        )
        if with_pictures:
            self._look()
        sums = {name: value.item() for name, value in state.log_sums.items()}
        self.run.save(
            state.step,
            state_tensors(state),
            config=self.config,
            keep=training.keep,
            facts={"images": self.images, "log_sums": sums, **self._augmentation_facts()},
        )

    def _augmentation_facts(self) -> dict[str, Any]:
        """What a resumed run needs of the augmentation."""
        augmentation = self.state.augmentation
        return {} if augmentation is None else {"augmentation": {"p": augmentation.p.item()}}

    def _check_weights(self) -> None:
        for name, network in (("G", self.state.generator), ("D", self.state.discriminator)):
            if not all(bool(p.isfinite().all()) for p in network.parameters()):
                raise TrainingFailure(
                    f"a weight of {name} is no longer finite at {self.images:,} images; the last "
                    "checkpoint stands. Lower the learning rates or try another seed"
                )

    @torch.no_grad()
    def _look(self) -> None:
        """Draw the grid of the fixed latents, and log what attention does on them."""
        latents, labels = fixed_latents(self.config.network)
        average, discriminator = self.state.ema.network, self.state.discriminator
        with self.engine.autocast():
            images = torch.cat(list(generate(average, latents, labels, batch_size=_GRID_COLUMNS)))
            few = slice(None, None, math.ceil(len(latents) / _ATTENTION_IMAGES))
            z = latents[few].to(self.engine.device)
            y = None if labels is None else labels[few].to(self.engine.device)
            with record_attention(average) as g_maps, record_attention(discriminator) as d_maps:
                discriminator(average(z, y), y)
        grid = image_grid(images, _GRID_COLUMNS)
        grid.save(self.run.samples_path / f"images-{self.images:010d}.png")
        layers = _layer_records("G", g_maps) + _layer_records("D", d_maps)
        if layers:
            self._record("attention", layers=layers)


def _layer_records(network: str, maps: dict[str, AttentionMap]) -> list[dict[str, Any]]:
    return [
        {
            "network": network,
            "layer": name,
            "size_px": attention.height,
            "gamma": attention.gamma,
            **attention_numbers(attention)._asdict(),
        }
        for name, attention in maps.items()
    ]


def fixed_latents(network: NetworkConfig) -> tuple[Tensor, Tensor | None]:
    """The latents and labels of the sample grids: classes in rows, one latent a column.

    Returns:
        Latents `b z` and labels `b` (None when unconditional), row by row.

    Example:
        >>> latents, labels = fixed_latents(NetworkConfig(classes=3))
        >>> latents.shape, labels.tolist()[9:12]
        (torch.Size([30, 128]), [0, 1, 1])
    """
    if not network.classes:
        return sample_latents(range(_GRID_ROWS * _GRID_COLUMNS), network.latent_dim), None
    rows = min(network.classes, _GRID_ROWS)
    shown = torch.arange(rows) * network.classes // rows
    columns = sample_latents(range(_GRID_COLUMNS), network.latent_dim)
    return columns.repeat(rows, 1), shown.repeat_interleave(_GRID_COLUMNS)
