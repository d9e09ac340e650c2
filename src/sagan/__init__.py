"""Self-Attention GANs: train, sample, score and see attention.

    import sagan
    generator = sagan.load("runs/demo")
    images = sagan.sample(generator, 16, classes=[3], seed=0)  # uint8 n c h w

Importing the package imports nothing heavy; each name brings what it needs on first use.
docs/reference.md has them all.
"""

import importlib
from typing import TYPE_CHECKING, Any

from sagan.version import __version__

__all__ = [
    "EMA",
    "ConditionalBatchNorm",
    "DiscriminatorBlock",
    "GeneratorBlock",
    "NetworkConfig",
    "RunConfig",
    "SelfAttention",
    "SpectralNorm",
    "TrainingConfig",
    "__version__",
    "attention_numbers",
    "build_discriminator",
    "build_generator",
    "discriminator_loss",
    "evaluate",
    "evaluate_run",
    "explain_run",
    "generator_loss",
    "gradient_penalty",
    "image_grid",
    "load",
    "load_dataset",
    "load_discriminator",
    "power_iteration",
    "preset",
    "record_attention",
    "sample",
    "to_float",
    "to_uint8",
]

if TYPE_CHECKING:
    from sagan.config import NetworkConfig, RunConfig, TrainingConfig
    from sagan.config.presets import preset
    from sagan.data import load_dataset
    from sagan.evaluation.evaluate_run import evaluate_run
    from sagan.exchange.open_exported import load
    from sagan.explain import explain_run
    from sagan.images import image_grid, to_float, to_uint8
    from sagan.metrics import evaluate
    from sagan.models import build_discriminator, build_generator
    from sagan.nn import (
        ConditionalBatchNorm,
        DiscriminatorBlock,
        GeneratorBlock,
        SelfAttention,
        SpectralNorm,
        attention_numbers,
        power_iteration,
        record_attention,
    )
    from sagan.runs.open_run import load_discriminator
    from sagan.sampling import sample
    from sagan.training import EMA, discriminator_loss, generator_loss, gradient_penalty
else:  # hidden from type checkers, to whom any name would do otherwise
    _MODULES = {
        "EMA": "sagan.training",
        "ConditionalBatchNorm": "sagan.nn",
        "DiscriminatorBlock": "sagan.nn",
        "GeneratorBlock": "sagan.nn",
        "NetworkConfig": "sagan.config",
        "RunConfig": "sagan.config",
        "SelfAttention": "sagan.nn",
        "SpectralNorm": "sagan.nn",
        "TrainingConfig": "sagan.config",
        "attention_numbers": "sagan.nn",
        "build_discriminator": "sagan.models",
        "build_generator": "sagan.models",
        "discriminator_loss": "sagan.training",
        "evaluate": "sagan.metrics",
        "explain_run": "sagan.explain",
        "evaluate_run": "sagan.evaluation.evaluate_run",
        "generator_loss": "sagan.training",
        "gradient_penalty": "sagan.training",
        "image_grid": "sagan.images",
        "load": "sagan.exchange.open_exported",
        "load_dataset": "sagan.data",
        "load_discriminator": "sagan.runs.open_run",
        "power_iteration": "sagan.nn",
        "preset": "sagan.config.presets",
        "record_attention": "sagan.nn",
        "sample": "sagan.sampling",
        "to_float": "sagan.images",
        "to_uint8": "sagan.images",
    }

    def __getattr__(name: str) -> Any:
        if name not in _MODULES:
            raise AttributeError(f"module 'sagan' has no attribute {name!r}")
        value = getattr(importlib.import_module(_MODULES[name]), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted(__all__)
