"""`sagan explain`."""

import json
import sys
from pathlib import Path
from typing import Any, Literal

from sagan.cli.common import parse_classes


def explain(
    run: Path,
    /,
    *,
    out: Path,
    seed: int = 0,
    classes: str | None = None,
    num: int = 4,
    points: int = 5,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
) -> None:
    """Draw where the attention of a trained run looks.

    For generated images: the image with query points in colour and each
    point's attention map, for every attention layer of the generator
    (attention-g.png) and of the discriminator judging the same images
    (attention-d.png); and each layer's numbers (attention.json).

    Parameters
    ----------
    run
        A run's folder, or one of its checkpoints'.
    out
        The folder to write to.
    seed
        Of the first image.
    classes
        Class names or numbers, as 3,7; by default spread over all.
    num
        How many images.
    points
        How many query points on each, at most 8.
    device
        Where to compute.
    """
    if not 1 <= points <= 8:
        raise ValueError(f"--points must be from 1 to 8, not {points}")
    if num < 1:
        raise ValueError(f"--num must be at least 1, not {num}")
    if seed < 0:
        raise ValueError(f"--seed must be 0 or more, not {seed}")
    if out.is_file():
        raise ValueError(f"--out {out} is a file, not a folder")
    for path in write_explanation(run, out, seed, classes, num, points, device):
        print(path, file=sys.stderr)


def write_explanation(
    run: Path, out: Path, seed: int, classes: str | None, num: int, points: int, device: str
) -> list[Path]:
    """Write the figures and numbers, and return their paths."""
    from sagan.explain import draw_attention, explain_image
    from sagan.nn.attention import attention_numbers
    from sagan.randomness import sample_latents
    from sagan.run import find_checkpoint
    from sagan.sampling import load, load_discriminator, spread_labels
    from sagan.training.engine import pick_device

    config = find_checkpoint(run).config
    network = config.network
    if not network.g_attention and not network.d_attention:
        raise ValueError(f"{run} was trained without attention: there is nothing to draw")
    labels = spread_labels(num, network, parse_classes(classes, config))
    place = pick_device(device)
    generator = load(run, device=place)
    judged = find_checkpoint(run).has("discriminator")
    discriminator = load_discriminator(run, device=place) if judged else None
    examples, records = [], []
    for i in range(num):
        z = sample_latents([seed + i], network.latent_dim).to(place)
        y = None if labels is None else labels[i : i + 1].to(place)
        image, layers = explain_image(generator, discriminator, z, y, points=points)
        caption = f"seed {seed + i}"
        if y is not None:
            caption = f"class {config.data.class_names[int(y)]}, {caption}"
        examples.append((caption, image, layers))
        records.append(
            {
                "seed": seed + i,
                "class": None if y is None else config.data.class_names[int(y)],
                "layers": [
                    {
                        "network": maps.network,
                        "layer": maps.layer,
                        "size_px": maps.attention.height,
                        "gamma": maps.attention.gamma,
                        **attention_numbers(maps.attention)._asdict(),
                    }
                    for maps in layers
                ],
            }
        )
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for name, title in (("G", "generator"), ("D", "discriminator")):
        chosen: list[Any] = [
            (caption, image, [maps for maps in layers if maps.network == name])
            for caption, image, layers in examples
        ]
        if chosen[0][2]:
            written.append(out / f"attention-{name.lower()}.png")
            draw_attention(written[-1], chosen, title=f"Where the {title}'s attention looks")
    written.append(out / "attention.json")
    written[-1].write_text(json.dumps({"run": str(run), "images": records}, indent=1) + "\n")
    return written
