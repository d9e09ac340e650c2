"""Training: losses, the averaged generator, one step, the loop, and the engine under it.

Each name is imported on first use: the losses and averages need no engine.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sagan.training.ema import EMA as EMA
    from sagan.training.finetune import init_from as init_from
    from sagan.training.loop import TrainResult as TrainResult
    from sagan.training.loop import train as train
    from sagan.training.losses import discriminator_loss as discriminator_loss
    from sagan.training.losses import generator_loss as generator_loss
    from sagan.training.losses import gradient_penalty as gradient_penalty

_NAMES = {  # where each name comes from, as above
    "sagan.training.ema": "EMA",
    "sagan.training.finetune": "init_from",
    "sagan.training.loop": "TrainResult train",
    "sagan.training.losses": "discriminator_loss generator_loss gradient_penalty",
}
_MODULES = {name: module for module, names in _NAMES.items() for name in names.split()}

__all__ = [*_MODULES]


if not TYPE_CHECKING:  # else type checkers would accept any name

    def __getattr__(name: str) -> Any:
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(importlib.import_module(_MODULES[name]), name)
        return value
