"""`sagan explain`."""

import sys
from pathlib import Path
from typing import Literal

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
    image: Path | None = None,
    region: str | None = None,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
) -> None:
    """Draw where a run's attention looks, and check whether it matters.

    For generated images, and a real one if given: every attention layer's
    maps at query points, in the generator (attention-g.png) and the
    discriminator (attention-d.png, attention-real.png), and its numbers
    (attention.json), also over training (attention-history.png). What
    changes without attention, with uniform maps and with hidden keys
    (causal.png, causal.json; the last lines printed say whether attention
    matters). Walks in latent space (directions.png). A page that needs no
    server: point at any pixel and see where it looks (index.html).

    Parameters
    ----------
    run
        A run folder or a checkpoint folder.
    out
        The folder to write to.
    seed
        Seed of the first image.
    classes
        Class names or numbers, as 3,7; by default all. With --image at most one.
    num
        Number of images.
    points
        Number of query points in each image, at most 8.
    image
        A real image for the discriminator to look at.
    region
        What to hide in the check, as X0,Y0,X1,Y1 in pixels (X1 and Y1 excluded); by default what
        each query point attends to most.
    device
        Device to compute on.
    """
    from sagan.explain import explain_run
    from sagan.runs.run import find_checkpoint

    explanation = explain_run(
        run,
        out,
        seed=seed,
        classes=parse_classes(classes, find_checkpoint(run, verify_files=()).config),
        num=num,
        points=points,
        image=image,
        region=None if region is None else _parse_region(region),
        device=device,
    )
    for line in (*explanation.files, *(v.sentence() for v in explanation.verdicts)):
        print(line, file=sys.stderr)


def _parse_region(text: str) -> tuple[int, int, int, int]:
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != 4 or not all(part.isascii() and part.isdecimal() for part in parts):
        raise ValueError(f"--region {text!r} is not X0,Y0,X1,Y1 in pixels, as 0,0,4,4")
    x0, y0, x1, y1 = map(int, parts)
    return x0, y0, x1, y1
