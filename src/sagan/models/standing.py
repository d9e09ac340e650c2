"""Standing statistics: batch-norm statistics from batches of a generator's own."""

import torch
from torch import nn

from sagan.config import NetworkConfig, TrainingConfig
from sagan.models import Generator
from sagan.randomness import generator_for


@torch.no_grad()
def standing_statistics(
    generator: nn.Module, config: NetworkConfig, *, batches: int, batch_size: int, seed: int
) -> None:
    """Recompute a generator's batch-norm statistics, in place, from batches of its own.

    The running statistics of a moving average with slow decay are those of long ago, and those of
    an averaged generator are another network's; these are its own. Latents and (uniform) labels are
    keyed by the seed. The network is left in eval mode.

    Args:
        generator: changed in its batch-norm buffers only.
        config: of the generator.
        batches: how many; 0 does nothing.
        batch_size: latents a batch.
        seed: of the latents and labels.

    Source:
        Brock et al. 2019, "standing statistics".
    """
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
    """Recompute a generator's statistics as a run's recipe has it, if it does.

    The batch is a micro-batch of one process, so that the result does not depend on how many there
    are: the variance of a batch is an unbiased estimate, whatever the batch's size.
    """
    standing_statistics(
        generator,
        generator.config,
        batches=training.standing_batches,
        batch_size=training.batch_size // training.accumulate,
        seed=training.seed,
    )
