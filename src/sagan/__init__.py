"""Self-Attention GANs: train, sample, score and see attention.

    import sagan
    generator = sagan.load("runs/demo")
    images = sagan.sample(generator, 16, classes=[3], seed=0)  # uint8 n c h w

Importing the package imports nothing heavy; each name does on first use.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_NAMES = {
    "SelfAttention": "sagan.nn",
    "SpectralNorm": "sagan.nn",
    "ConditionalBatchNorm": "sagan.nn",
    "power_iteration": "sagan.nn",
    "NetworkConfig": "sagan.config",
    "RunConfig": "sagan.config",
    "TrainingConfig": "sagan.config",
    "build_discriminator": "sagan.models",
    "build_generator": "sagan.models",
    "load": "sagan.exchange.opening",
    "load_discriminator": "sagan.sampling",
    "sample": "sagan.sampling",
}

__all__ = [
    "ConditionalBatchNorm",
    "NetworkConfig",
    "RunConfig",
    "SelfAttention",
    "SpectralNorm",
    "TrainingConfig",
    "__version__",
    "build_discriminator",
    "build_generator",
    "load",
    "load_discriminator",
    "power_iteration",
    "sample",
]

if TYPE_CHECKING:
    from sagan.config import NetworkConfig, RunConfig, TrainingConfig
    from sagan.exchange.opening import load
    from sagan.models import build_discriminator, build_generator
    from sagan.nn import ConditionalBatchNorm, SelfAttention, SpectralNorm, power_iteration
    from sagan.sampling import load_discriminator, sample


def __getattr__(name: str) -> Any:
    if name not in _NAMES:
        raise AttributeError(f"module 'sagan' has no attribute {name!r}")
    value = getattr(importlib.import_module(_NAMES[name]), name)
    globals()[name] = value
    return value
