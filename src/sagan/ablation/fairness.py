"""What an experiment must have for its answer to mean something."""

from collections.abc import Mapping
from dataclasses import replace

import torch

from sagan.ablation.inference import MOST_EXACT
from sagan.config import AttentionForm, NetworkConfig, RunConfig
from sagan.config.network import WITH_MAPS
from sagan.models import build_discriminator, build_generator

LEAST_SEEDS = 6  # 2 / 2**6 is below .05, 2 / 2**5 is not
_MOST_UNEQUAL = 0.005


def check_seeds(seeds: int, underpowered: bool) -> None:
    """Raise ValueError for too few seeds to decide anything, unless they are asked for anyway."""
    if not 2 <= seeds <= MOST_EXACT:
        raise ValueError(
            f"--seeds must be 2 to {MOST_EXACT}, of which all signs can be tried, not {seeds}"
        )
    if seeds < LEAST_SEEDS and not underpowered:
        raise ValueError(
            f"the exact two-sided test of {seeds} seeds cannot go below p = {2 / 2**seeds:.3g}: "
            f"give {LEAST_SEEDS} seeds or more, or --underpowered to see the machinery only"
        )


def parameters_of(network: NetworkConfig) -> tuple[int, int]:
    """The numbers of parameters of G and D."""
    with torch.device("meta"):
        G, D = build_generator(network), build_discriminator(network)
    g, d = (sum(p.numel() for p in each.parameters()) for each in (G, D))
    return g, d


def check_equal(
    configs: Mapping[str, RunConfig], parameters: Mapping[str, tuple[int, int]]
) -> None:
    """Raise ValueError if a residual arm has not as many parameters as attention in its place."""
    for name, config in configs.items():
        if config.network.attention_form != "residual":
            continue
        others = [c.network.attention_form for c in configs.values()]
        form: AttentionForm = next((f for f in others if f in WITH_MAPS), "paper")
        wanted = parameters_of(replace(config.network, attention_form=form))
        for letter, own, theirs in zip("GD", parameters[name], wanted, strict=True):
            if abs(own / theirs - 1) > _MOST_UNEQUAL:
                raise ValueError(
                    f"arm {name}: {letter} has {own:,} parameters, {own / theirs - 1:+.1%} of the "
                    f"{theirs:,} with attention, and at most {_MOST_UNEQUAL:.1%} is equal; choose "
                    "another width"
                )


def smallest_p(seeds: int, tests: int) -> float:
    """The least p that Holm can leave of the secondary tests."""
    return min(1.0, 2 / 2**seeds * tests)
