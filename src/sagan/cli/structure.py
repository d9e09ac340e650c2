"""`sagan structure`: score how well images keep a procedural set's rule, and test the checkers."""

import dataclasses
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from sagan.evaluation.candidates import ImagesToScore
    from sagan.structure import StructureScore

_MOST_BY_DEFAULT = 10_000


def score(
    name: str,
    images: Path,
    /,
    *,
    num: int | None = None,
    seed: int = 0,
    weights: Literal["ema", "raw"] = "ema",
    resolution: int | None = None,
    batch_size: int = 64,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
) -> None:
    """Score how well images keep the rule of a procedural set; JSON on stdout.

    Structure lift is the pass rate minus the pass rate after recombining
    parts across images; docs/structure.md says what it means. Refused if the
    checker cannot read more than 20 % of the images.

    Parameters
    ----------
    name
        The set: twins, quadrupeds or barcode.
    images
        A run's folder, one of its checkpoints', or a folder of sagan export;
        or images: a folder, zip or array.
    num
        How many images; by default all, or 10,000 of a run.
    seed
        Of a run's first image, of which images are recombined, and of the bootstrap.
    weights
        The averaged weights, or the raw ones.
    resolution
        Side in px that images are brought to; by default the first image's.
    batch_size
        Images made or read at once.
    device
        Where to compute.
    """
    for option, value, least in (("num", num, 1), ("seed", seed, 0), ("batch-size", batch_size, 1)):
        if value is not None and value < least:
            raise ValueError(f"--{option} must be at least {least}, not {value}")
    from sagan.structure.checkers import checker_of

    checker_of(name)  # refused before anything is opened
    from sagan.devices import pick_device
    from sagan.evaluation.candidates import open_images_to_score

    with tempfile.TemporaryDirectory(prefix="sagan-") as cache:
        candidate = open_images_to_score(
            images,
            weights=weights,
            device=pick_device(device),
            seed=seed,
            batch_size=batch_size,
            standing_batches=0,
            resolution=resolution,
            cache=Path(cache),
            progress=True,
        )
        _score(name, candidate, num, seed)


def _score(name: str, candidate: "ImagesToScore", num: int | None, seed: int) -> None:
    from sagan.progress import Bar
    from sagan.structure import score_structure
    from sagan.structure.checkers import refuse_unreadable

    began = time.monotonic()
    refuse_unreadable(name, candidate.resolution, candidate.channels)
    if candidate.available is not None and num is not None and num > candidate.available:
        raise ValueError(f"--num is {num}, and there are {candidate.available} images")
    num = num or candidate.available or _MOST_BY_DEFAULT
    batches = []
    with Bar("batches of images", None) as bar:
        for batch in candidate.make(num, None)[0]:
            batches.append(batch.numpy(force=True))
            bar.advance()
    found = score_structure(name, batches, seed=seed)
    print(_table(found), file=sys.stderr)
    seconds = round(time.monotonic() - began, 3)
    print(json.dumps({**candidate.facts, **found.to_dict(), "seconds": seconds}))


def _table(found: "StructureScore") -> str:
    low, high = found.lift_interval
    lines = [
        f"{found.name} at {found.resolution} px, {found.n:,} images, {found.abstain_rate:.1%} of "
        "them could not be read",
        f"structure lift {found.lift:.3f} (95 %: {low:.3f} to {high:.3f})",
    ]
    rows = [("", "images", "recombined")]
    rows.append(("pass rate", f"{found.pass_rate:.3f}", f"{found.recombined_rate:.3f}"))
    for rule, (value, recombined) in found.rules.items():
        rows.append((rule.replace("_", " "), f"{value:.3f}", f"{recombined:.3f}"))
    widths = [max(len(row[k]) for row in rows) for k in range(3)]
    for row in rows:
        first, *others = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        lines.append("  ".join([first, *others]).rstrip())
    return "\n".join(lines)


def selftest(*, num: int = 2000, seed: int = 2) -> None:
    """Measure how often the checkers are wrong: a Markdown table on stderr, JSON on stdout.

    On sound pictures and on planted violations, clean, and blurred, warped
    and noisy, at 16, 32 and 64 px.

    Parameters
    ----------
    num
        Pictures of each kind.
    seed
        Of the pictures.
    """
    from sagan.data.procedural import PROCEDURAL, RESOLUTIONS_PX
    from sagan.structure import error_rates
    from sagan.structure.error_rates import error_table

    rows = [
        row
        for name in PROCEDURAL
        for px in RESOLUTIONS_PX
        for row in error_rates(name, num=num, resolution=px, seed=seed, progress=True)
    ]
    print(error_table(rows), file=sys.stderr)
    records = [dataclasses.asdict(row) for row in rows]
    for record in records:
        if record["error_rate"] != record["error_rate"]:  # JSON has no NaN
            record["error_rate"] = None
    print(json.dumps({"num": num, "seed": seed, "rates": records}))
