"""Self-Attention GANs: train, sample, score and see attention.

    import sagan
    generator = sagan.load("runs/demo")
    images = sagan.sample(generator, 16, classes=[3], seed=0)  # uint8 n c h w

Importing the package imports nothing heavy; each name brings what it needs on first use.
docs/reference.md lists them all.
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

from sagan.version import __version__ as __version__

# The hub's libraries would send statistics; they read this when they are first imported.
for _name in ("HF_HUB_DISABLE_TELEMETRY", "DO_NOT_TRACK"):
    os.environ.setdefault(_name, "1")
# Large CPU tensors in huge pages: PyTorch reads this when it first allocates one.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
if "SAGAN_PARENT" in os.environ:  # started to train beside another process: from the first moment
    from sagan.training.ranks import follow_parent

    follow_parent()

if TYPE_CHECKING:
    from sagan.config import NetworkConfig as NetworkConfig
    from sagan.config import RunConfig as RunConfig
    from sagan.config import TrainingConfig as TrainingConfig
    from sagan.config.presets import preset as preset
    from sagan.data import load_dataset as load_dataset
    from sagan.evaluation.evaluate_run import evaluate_run as evaluate_run
    from sagan.exchange.open_exported import load as load
    from sagan.explain import explain_run as explain_run
    from sagan.images import image_grid as image_grid
    from sagan.images import to_float as to_float
    from sagan.images import to_uint8 as to_uint8
    from sagan.metrics import evaluate as evaluate
    from sagan.models import build_discriminator as build_discriminator
    from sagan.models import build_generator as build_generator
    from sagan.nn import ConditionalBatchNorm as ConditionalBatchNorm
    from sagan.nn import DiscriminatorBlock as DiscriminatorBlock
    from sagan.nn import GeneratorBlock as GeneratorBlock
    from sagan.nn import SelfAttention as SelfAttention
    from sagan.nn import SpectralNorm as SpectralNorm
    from sagan.nn import attention_numbers as attention_numbers
    from sagan.nn import power_iteration as power_iteration
    from sagan.nn import record_attention as record_attention
    from sagan.runs.open_run import load_discriminator as load_discriminator
    from sagan.sampling import sample as sample
    from sagan.training import EMA as EMA
    from sagan.training import discriminator_loss as discriminator_loss
    from sagan.training import generator_loss as generator_loss
    from sagan.training import gradient_penalty as gradient_penalty
    from sagan.training.start import train_run as train_run

_NAMES = {  # where each name comes from, as above
    "sagan.config": "NetworkConfig RunConfig TrainingConfig",
    "sagan.config.presets": "preset",
    "sagan.data": "load_dataset",
    "sagan.evaluation.evaluate_run": "evaluate_run",
    "sagan.exchange.open_exported": "load",
    "sagan.explain": "explain_run",
    "sagan.images": "image_grid to_float to_uint8",
    "sagan.metrics": "evaluate",
    "sagan.models": "build_discriminator build_generator",
    "sagan.nn": """
        ConditionalBatchNorm DiscriminatorBlock GeneratorBlock SelfAttention
        SpectralNorm attention_numbers power_iteration record_attention
    """,
    "sagan.runs.open_run": "load_discriminator",
    "sagan.sampling": "sample",
    "sagan.training": "EMA discriminator_loss generator_loss gradient_penalty",
    "sagan.training.start": "train_run",
}
_MODULES = {name: module for module, names in _NAMES.items() for name in names.split()}

__all__ = ["__version__", *_MODULES]


if not TYPE_CHECKING:  # else type checkers would accept any name

    def __getattr__(name: str) -> Any:
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(importlib.import_module(_MODULES[name]), name)
        return value


def __dir__() -> list[str]:
    return sorted(__all__)
