"""Is it attention? What the trained blocks do, and what is lost when they are changed at test."""

import json
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn

from sagan.ablation.protocol import Plan
from sagan.ablation.scoring import EVALUATION_SEED, SnapshotScorer
from sagan.explain.interventions import intervene
from sagan.files import write_atomically
from sagan.nn import attention_numbers, record_attention
from sagan.randomness import sample_latents
from sagan.runs.open_run import load_discriminator, load_run_generator
from sagan.runs.run import Run
from sagan.sampling import spread_labels

_LOOKED_AT = 64  # images whose maps are measured


def check_run(plan: Plan, run: Run, *, device: str) -> dict[str, Any]:
    """Measure a trained run's blocks, once; the result is kept in its `checks.json`.

    Returns:
        `gamma` of every block; where there is attention, `maps`: each layer's numbers over 64
        images; and where G has it, `changed`: the first metric of `curve_num` images `as trained`,
        with `gamma 0` and with `uniform maps` in G.
    """
    file = run.path / "checks.json"
    if file.is_file():
        found: dict[str, Any] = json.loads(file.read_bytes())
        return found
    found = _measure(plan, run, device)
    write_atomically(file, (json.dumps(found, indent=1) + "\n").encode())
    return found


def _measure(plan: Plan, run: Run, device: str) -> dict[str, Any]:
    generator = load_run_generator(run.path, device=device)
    discriminator = load_discriminator(run.path, device=device)
    network = generator.config
    gammas = {
        f"{letter} {size_px} px": block.gamma.item()
        for letter, each in (("G", generator), ("D", discriminator))
        for size_px, block in _blocks(each)
    }
    found: dict[str, Any] = {"gamma": gammas}
    if network.g_maps or network.d_maps:
        found["maps"] = _maps(generator, discriminator, device)
    if network.g_maps:
        scorer, path = SnapshotScorer(plan, device), run.checkpoint_paths()[-1]
        changes: dict[str, AbstractContextManager[None]] = {
            "as trained": nullcontext(),
            "gamma 0": intervene(generator, gamma_scale=0.0),
            "uniform maps": intervene(generator, uniform=True),
        }
        found["changed"] = {}
        for name, change in changes.items():
            with change:
                (score,) = scorer.score(path, plan.metrics[:1], plan.curve_num, generator).values()
            found["changed"][name] = score["value"]
    return found


def _blocks(network: Any) -> list[tuple[int, Any]]:
    """A network's blocks, each with the side of its map in pixels."""
    from sagan.config.channels import discriminator_blocks, generator_blocks

    shapes = (generator_blocks if hasattr(network, "to_image") else discriminator_blocks)(
        network.config
    )
    return [(shapes[int(i)].size_px, block) for i, block in network.attention.items()]


@torch.no_grad()
def _maps(generator: nn.Module, discriminator: nn.Module, device: str) -> dict[str, Any]:
    """Each attention layer's numbers; query dependence also as a share of the most, log m."""
    config: Any = generator.config
    z = sample_latents(range(EVALUATION_SEED, EVALUATION_SEED + _LOOKED_AT), config.latent_dim)
    labels = spread_labels(_LOOKED_AT, config)
    y = None if labels is None else labels.to(device)
    with record_attention(generator) as g_maps, record_attention(discriminator) as d_maps:
        discriminator(generator(z.to(device), y), y)
    found = {}
    for letter, maps in (("G", g_maps), ("D", d_maps)):
        for attention in maps.values():
            numbers = attention_numbers(attention)._asdict()
            most = torch.tensor(float(attention.shape[2])).log().item()
            share = {"query_dependence_share": numbers["query_dependence"] / most}
            found[f"{letter} {attention.height} px"] = numbers | share
    return found
