"""Training: losses, the averaged generator, one step, the loop, and the engine under it.

Names are imported on first use, so losses and EMA in someone else's loop load no engine.
"""

import importlib
from typing import TYPE_CHECKING, Any

__all__ = [
    "EMA",
    "TrainResult",
    "discriminator_loss",
    "generator_loss",
    "gradient_penalty",
    "init_from",
    "train",
]

if TYPE_CHECKING:
    from sagan.training.ema import EMA
    from sagan.training.finetune import init_from
    from sagan.training.loop import TrainResult, train
    from sagan.training.losses import discriminator_loss, generator_loss, gradient_penalty
else:
    _MODULES = {
        "EMA": "ema",
        "TrainResult": "loop",
        "discriminator_loss": "losses",
        "generator_loss": "losses",
        "gradient_penalty": "losses",
        "init_from": "finetune",
        "train": "loop",
    }

    def __getattr__(name: str) -> Any:
        if name not in _MODULES:
            raise AttributeError(f"module 'sagan.training' has no attribute {name!r}")
        return getattr(importlib.import_module(f"sagan.training.{_MODULES[name]}"), name)
