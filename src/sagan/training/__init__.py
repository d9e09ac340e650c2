"""Training: losses, the averaged generator, one step, the loop, and the engine under it.

Names are imported on first use, so losses and EMA in someone else's loop load no engine.
"""

import importlib
from typing import TYPE_CHECKING, Any

_MODULES = {
    "EMA": "ema",
    "TrainResult": "loop",
    "discriminator_loss": "losses",
    "generator_loss": "losses",
    "gradient_penalty": "losses",
    "init_from": "finetune",
    "train": "loop",
}
__all__ = list(_MODULES)

if TYPE_CHECKING:
    from sagan.training.ema import EMA as EMA
    from sagan.training.finetune import init_from as init_from
    from sagan.training.loop import TrainResult as TrainResult
    from sagan.training.loop import train as train
    from sagan.training.losses import discriminator_loss as discriminator_loss
    from sagan.training.losses import generator_loss as generator_loss
    from sagan.training.losses import gradient_penalty as gradient_penalty
else:

    def __getattr__(name: str) -> Any:
        if name not in _MODULES:
            raise AttributeError(f"module 'sagan.training' has no attribute {name!r}")
        return getattr(importlib.import_module(f"sagan.training.{_MODULES[name]}"), name)
