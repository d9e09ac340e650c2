"""`sagan evaluate`."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from torch import nn

    from sagan.config import RunConfig

CAS_IMAGES_A_CLASS = 120
_METRICS = ("cas",)


def evaluate(
    run: Path,
    /,
    *,
    data: str | None = None,
    metrics: str = "cas",
    seed: int = 0,
    weights: Literal["ema", "raw"] = "ema",
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
) -> None:
    """Score a trained generator; JSON on stdout.

    cas: an RBF support vector machine is trained on 120 generated images a
    class and tested on held-out real ones; its ceiling is the same machine
    trained on the real training images.

    Parameters
    ----------
    run
        A run's folder, or one of its checkpoints'.
    data
        Source of the real images; by default the run's own.
    metrics
        Names with commas between them: cas.
    seed
        Of the first generated image.
    weights
        The averaged weights, or the raw ones.
    device
        Where to compute.
    """
    for name in metrics.split(","):
        if name.strip() not in _METRICS:
            raise ValueError(f"unknown metric {name.strip()!r}; choose from {', '.join(_METRICS)}")
    from sagan.devices import pick_device
    from sagan.run import find_checkpoint
    from sagan.sampling import load

    config = find_checkpoint(run).config
    generator = load(run, weights=weights, device=pick_device(device))
    result = cas_of(generator, config, source=data or config.data.source, seed=seed)
    print(f"CAS {result['value']:.4f}, ceiling {result['ceiling']:.4f}", file=sys.stderr)
    print(json.dumps({"run": str(run), "weights": weights, "cas": result}))


def cas_of(
    generator: "nn.Module", config: "RunConfig", *, source: str, seed: int = 0
) -> dict[str, Any]:
    """Compute CAS of a generator without truncation, rejection or best-of, and its ceiling."""
    import torch

    from sagan.data import load_dataset
    from sagan.metrics import classification_accuracy_score
    from sagan.randomness import sample_latents
    from sagan.sampling import generate, spread_labels

    network = config.network
    if network.classes < 2:
        raise ValueError("CAS needs a run with at least two classes")
    real, held_out = (
        load_dataset(
            source,
            resolution=network.resolution,
            channels=network.channels,
            split=split,
            background=config.data.background,
        )
        for split in ("train", "test")
    )
    if real.class_names != config.data.class_names:
        raise ValueError(f"the classes of {source} are not the run's")
    assert real.labels is not None
    assert held_out.labels is not None
    num = CAS_IMAGES_A_CLASS * network.classes
    labels = spread_labels(num, network)
    assert labels is not None
    latents = sample_latents(range(seed, seed + num), network.latent_dim)
    images = torch.cat(list(generate(generator, latents, labels))).numpy()
    score = classification_accuracy_score(images, labels.numpy(), held_out.images, held_out.labels)
    ceiling = classification_accuracy_score(
        real.images, real.labels, held_out.images, held_out.labels
    )
    agreement = classification_accuracy_score(real.images, real.labels, images, labels.numpy())
    return {
        "value": score.accuracy,
        "per_class": list(score.per_class),
        "ceiling": ceiling.accuracy,
        "of_class_asked_for": agreement.accuracy,
        "n_generated": num,
        "n_real_train": len(real),
        "n_real_test": len(held_out),
        "seed": seed,
    }
