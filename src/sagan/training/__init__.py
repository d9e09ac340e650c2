"""Training: losses, the averaged generator, one step, the loop, and the engine under it."""

from sagan.training.ema import EMA
from sagan.training.failure import TrainingFailure
from sagan.training.loop import TrainResult, train
from sagan.training.losses import discriminator_loss, generator_loss, gradient_penalty
from sagan.training.transfer import init_from

__all__ = [
    "EMA",
    "TrainResult",
    "TrainingFailure",
    "discriminator_loss",
    "generator_loss",
    "gradient_penalty",
    "init_from",
    "train",
]
