"""Standing statistics: batch-norm statistics recomputed from generated batches."""

import torch
from torch import nn

from sagan.config import NetworkConfig, TrainingConfig
from sagan.models import Generator
from sagan.randomness import generator_for


@torch.no_grad()
def standing_statistics(
    generator: nn.Module, config: NetworkConfig, *, batches: int, batch_size: int, seed: int
) -> None:
    """Recompute batch-norm statistics in place, from `batches` of own images; end in eval mode."""
    # Running statistics lag behind the weights, and those of an averaged generator belong to
    # another network. Source: Brock et al. 2019, "standing statistics".
    norms = [m for m in generator.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    if not batches or not norms:
        return
    device = next(generator.parameters()).device
    momenta = [norm.momentum for norm in norms]
    try:
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # a plain average over all batches
        generator.train()
        for i in range(batches):
            draw = generator_for(seed, "standing", i)
            z = torch.randn(batch_size, config.latent_dim, generator=draw)
            labels = None
            if config.classes:
                labels = torch.randint(config.classes, (batch_size,), generator=draw).to(device)
            generator(z.to(device), labels)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        generator.eval()


def average_statistics(generator: Generator, training: TrainingConfig) -> None:
    """Recompute a generator's statistics if the run's recipe says so."""
    # A micro-batch over all processes, made by the first alone, so that the result does not depend
    # on how many they are; a batch's variance is unbiased whatever its size.
    standing_statistics(
        generator,
        generator.config,
        batches=training.standing_batches,
        batch_size=training.batch_size // training.accumulate,
        seed=training.seed,
    )
