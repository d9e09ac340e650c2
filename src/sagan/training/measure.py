"""The speed of training here, from a few real steps whose networks are then thrown away."""

import time
from dataclasses import replace

from sagan.config import RunConfig, Runtime
from sagan.config.growth import Stage
from sagan.data import ImageDataset
from sagan.training.batches import BatchSource, Share
from sagan.training.engine import Engine
from sagan.training.replay import EAGER_STEPS
from sagan.training.state import new_state
from sagan.training.update import train_step

_MEASURE_SEC = 1.0  # for each size
_LONG_STEP_SEC = 3.0  # on the CPU, steps that take longer are measured on a part of their batch
_FEW, _MORE = 2, 4  # images of each micro-batch of such a part at first; times so many then
_LONG_PART_SEC = 0.5  # a step of a part that takes longer tells the rate


def measured_rates(
    stages: list[Stage], runtime: Runtime, engine: Engine, dataset: ImageDataset
) -> list[float]:
    """Images per second at each stage of a run; all processes learn the same."""
    return [images_per_second(s.config, runtime, engine, dataset) for s in stages]


def images_per_second(
    config: RunConfig,
    runtime: Runtime,
    engine: Engine,
    dataset: ImageDataset,
    *,
    seconds: float = _MEASURE_SEC,
) -> float:
    """Real images per second of training one size: whole steps, after one to warm up.

    Without `torch.compile`, which takes longer than measuring.
    """
    dataset = dataset.at(config.network.resolution)
    share = Share(engine.rank, engine.world_size)
    BatchSource(dataset, config, share, engine.device)  # raises if the data are too few
    runtime = replace(runtime, compile=False)
    training = config.training
    part = _FEW * training.accumulate * engine.world_size
    while engine.device.type == "cpu" and part < training.batch_size:
        # A CPU does some images at nearly the rate of many; a GPU would not be filled.
        some = replace(config, training=replace(training, batch_size=part))
        rate = _rate(some, runtime, engine, dataset, seconds=0.0)
        if training.batch_size * training.d_steps / rate <= _LONG_STEP_SEC:
            break
        if part * training.d_steps / rate > _LONG_PART_SEC:
            return rate
        part *= _MORE  # too few to tell: calls took the time, not arithmetic
    return _rate(config, runtime, engine, dataset, seconds=seconds)


def _rate(
    config: RunConfig, runtime: Runtime, engine: Engine, dataset: ImageDataset, *, seconds: float
) -> float:
    training = config.training
    share = Share(engine.rank, engine.world_size)
    batches = BatchSource(dataset, config, share, engine.device)
    state = new_state(config, runtime, engine)

    images = training.batch_size * training.d_steps

    def step() -> None:
        train_step(state, batches, training, engine, state.step * images)
        engine.synchronize()

    warm_up = 1 if state.replays is None else EAGER_STEPS + 1
    for _ in range(warm_up):
        step()
    began_sec, took_sec = time.monotonic(), 0.0
    while state.step == warm_up or engine.any(engine.rank == 0 and took_sec < seconds):
        step()
        took_sec = time.monotonic() - began_sec
    return engine.broadcast((state.step - warm_up) * images / took_sec)
