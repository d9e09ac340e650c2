"""Networks with attention in G and D at several sizes, and a run of them, made without training."""

from dataclasses import replace

import torch

from sagan.config import DataConfig, NetworkConfig, RunConfig
from sagan.models import build_discriminator, build_generator
from sagan.runs.log import append_records
from sagan.runs.run import Run

NETWORK = NetworkConfig(
    resolution=16,
    classes=3,
    latent_dim=8,
    g_width=8,
    d_width=8,
    g_attention=(8, 16),
    d_attention=(8,),  # the paper's form: keys are pooled
)
GREY_NETWORK = replace(NETWORK, channels=1)
CLASSES = ("cat", "dog </script>", "eel")
STEPS = (10, 20)


def build_pair(network, gamma):
    """Build G and D in eval mode, with the same gamma in each attention layer."""
    pair = build_generator(network).eval(), build_discriminator(network).eval()
    for layer in [layer for part in pair for layer in part.attention.values()]:
        torch.nn.init.constant_(layer.gamma, gamma)
    return pair


def make_run(path):
    """Write a run with two checkpoints, of which the later one attends more sharply."""
    config = RunConfig(network=NETWORK, data=DataConfig(class_names=CLASSES))
    run = Run(path)
    run.write_config(config)
    for step in STEPS:
        pair = build_generator(NETWORK, seed=1), build_discriminator(NETWORK, seed=1)
        for network, sharper in zip(pair, (0.5, 40), strict=True):
            for layer in network.attention.values():
                torch.nn.init.constant_(layer.gamma, 0.1 * step)
                for projection in (layer.query, layer.key):
                    projection.u.div_(sharper * step)  # sigma smaller, energies larger
        g, d = (network.state_dict() for network in pair)
        tensors = {"ema": g, "generator": g, "discriminator": d}
        run.save(step, tensors, config=config, keep=5, facts={"images": 64 * step})
        record = {
            "network": "G",
            "layer": "attention.0",
            "size_px": 8,
            "entropy": 2.5 - 0.05 * step,
        }
        layers = [{**record, "gamma": 0.1 * step, "distance": 3.0, "far_mass": 0.4}]
        append_records(
            run.log_path, {"kind": "attention", "step": step, "images": 64 * step, "layers": layers}
        )
    return path
