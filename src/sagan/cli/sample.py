"""`sagan sample`."""

import math
import re
import shutil
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from sagan.cli.common import parse_classes, parse_pair, parse_seed
from sagan.config.checks import require_not_blank
from sagan.files import check_above, nearest_existing, write_atomically
from sagan.runs.place import check_outside_runs

if TYPE_CHECKING:
    from torch import Tensor

    from sagan.config import RunConfig

_MAX_COLUMNS = 24
_MANY_ROWS, _TALL = 20, 4  # more rows than both that and so many times the columns: no row a class
_MOST_IMAGES = 1_000_000  # of a command
_MOST_HELD_BYTES = 2**31  # of images in one file
_LONG_SEC = 60
_ANIMATIONS = (".gif", ".mp4")
_MOST_NAME_BYTES = 64  # of a class, twice in the name of a file, which may have 255


def sample(
    run: Path,
    /,
    *,
    num: int,
    out: Path,
    classes: str | None = None,
    seed: int = 0,
    truncation: float = 0.0,
    interpolate: str | None = None,
    interpolate_classes: str | None = None,
    weights: Literal["ema", "raw"] = "ema",
    batch_size: int = 64,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
) -> None:
    """Generate images: one PNG grid, a folder of PNGs, or a walk as a GIF or video.

    Image i depends only on seed SEED + i and its class, not on the batch size.

    Parameters
    ----------
    run
        A run or checkpoint folder, the output of sagan export, or hub:OWNER/NAME.
    num
        Total number of images, spread evenly over the classes; or frames per interpolation.
    out
        FILE.png for a grid with one class per row, or one class after another where many have
        few images each; FILE.gif, or FILE.mp4 by ffmpeg, for an interpolation there and back;
        otherwise a folder.
    classes
        Class names or numbers, such as 3,7. Default: all.
    seed
        Seed of the first image; --interpolate names its seeds itself.
    truncation
        Resample latent entries until |z| is at most this (an interpolation's ends). 0: off.
    interpolate
        Two seeds, such as 3,7: interpolate between their latents, one class per row.
    interpolate_classes
        Two classes, such as 3,7: interpolate between them.
    weights
        Averaged or raw weights.
    batch_size
        Images per batch.
    device
        Compute device.
    """
    if batch_size < 1:
        raise ValueError(f"--batch-size must be at least 1, not {batch_size}")
    if seed < 0:
        raise ValueError(f"--seed must be 0 or more, not {seed}")
    if num < 1:
        raise ValueError(f"--num must be at least 1, not {num}")
    if num > _MOST_IMAGES:
        raise ValueError(
            f"--num {num:,} is over {_MOST_IMAGES:,}: make them in parts, each with its --seed"
        )
    require_not_blank("--interpolate", interpolate)
    require_not_blank("--interpolate-classes", interpolate_classes)
    is_walk = interpolate is not None or interpolate_classes is not None
    _check_out(out, walk=is_walk)
    import torch

    from sagan.devices import pick_device
    from sagan.exchange.open_exported import open_generator
    from sagan.sampling import generate

    if run.suffix.lower() == ".onnx" and device == "auto":
        device = "cpu"  # where ONNX Runtime runs
    opened = open_generator(run, weights=weights, device=pick_device(device))
    config = opened.config
    walks = 1
    if is_walk and interpolate_classes is None and config.network.classes:  # one a class
        walks = len(parse_classes(classes, config) or range(config.network.classes))
    _check_room(out, num * walks, config)
    plan = (
        _interpolation(config, num, seed, classes, interpolate, interpolate_classes, truncation)
        if is_walk
        else _independent(config, num, seed, classes, truncation)
    )
    images = _timed(
        generate(opened.generator, plan.latents, plan.labels, batch_size=batch_size),
        len(plan.names),
    )
    if out.suffix.lower() == ".png":
        _write_grid(out, torch.cat(list(images)), plan)
    elif out.suffix.lower() in _ANIMATIONS:
        _write_walk(out, torch.cat(list(images)).unflatten(0, (-1, num)))
    else:
        _write_folder(out, images, plan)
    print(f"{out}: {len(plan.names)} images", file=sys.stderr)


def _check_out(out: Path, *, walk: bool) -> None:
    """Refuse a file or folder that cannot be written as asked, before anything is opened."""
    ending = out.suffix.lower()
    is_file = ending in (".png", *_ANIMATIONS)
    if ending in _ANIMATIONS and not walk:
        raise ValueError(f"--out {out} is for a walk: add --interpolate or --interpolate-classes")
    if ending == ".mp4" and shutil.which("ffmpeg") is None:
        raise ValueError(f"--out {out} needs the program ffmpeg, which is not here; write a .gif")
    if is_file and out.is_dir():
        raise ValueError(f"--out {out} is a folder: name a file, or a folder without {ending}")
    if ending and not is_file and not out.is_dir():
        raise ValueError(f"--out {out} is neither a .png, .gif or .mp4 file nor a folder")
    if not is_file and out.exists() and not out.is_dir():
        raise ValueError(f"--out {out} is a file, not a folder")
    check_above(out, f"--out {out}")
    check_outside_runs(out)


def _check_room(out: Path, num: int, config: "RunConfig") -> None:
    """Refuse more images than memory or disk can hold, before the first is made."""
    network = config.network
    if num > _MOST_IMAGES:
        raise ValueError(
            f"{num:,} images, of all classes, are over {_MOST_IMAGES:,}: name fewer --classes"
        )
    n_bytes = num * network.channels * network.resolution**2
    if out.suffix and not out.is_dir():
        if n_bytes > _MOST_HELD_BYTES:
            raise ValueError(
                f"{num:,} images of {network.resolution} px are too many for one file "
                f"({n_bytes / 1e9:.1f} GB in memory): name a folder with --out"
            )
        return
    free = shutil.disk_usage(nearest_existing(out)).free
    if n_bytes // 2 > free:  # PNG halves them at best
        raise ValueError(
            f"{num:,} images of {network.resolution} px take about {n_bytes / 2e9:.1f} GB, and "
            f"{out} has {free / 1e9:.1f} GB free"
        )


def _timed(batches: "Iterable[Tensor]", num: int) -> "Iterator[Tensor]":
    """Pass batches on; after the first, say how long the rest takes if that is long."""
    from sagan.config.duration import in_words

    start = time.monotonic()
    for i, batch in enumerate(batches):
        if i == 0:
            left_sec = (time.monotonic() - start) * (num / len(batch) - 1)
            if left_sec > _LONG_SEC:
                print(f"{num:,} images take about {in_words(left_sec)}", file=sys.stderr)
        yield batch


class Plan(NamedTuple):
    """What to generate: each image's latent, label, file name and row in the grid."""

    latents: "Tensor"
    labels: "Tensor | None"
    names: list[str]
    rows: list[int]


def _independent(
    config: "RunConfig", num: int, seed: int, classes: str | None, truncation: float
) -> Plan:
    from sagan.randomness import sample_latents
    from sagan.sampling import spread_labels

    labels = spread_labels(num, config.network, parse_classes(classes, config))
    seeds = range(seed, seed + num)
    latents = sample_latents(seeds, config.network.latent_dim, truncation=truncation)
    names = [f"seed{s:08d}" for s in seeds]
    if labels is None:
        return Plan(latents, None, names, [0] * num)
    numbers = labels.tolist()
    names = [f"{name}-{_class_part(config, k)}" for name, k in zip(names, numbers, strict=True)]
    rows = len({*numbers})
    tall = rows > _MANY_ROWS and rows > _TALL * num / rows
    return Plan(latents, labels, names, [0] * num if tall else numbers)


def _interpolation(
    config: "RunConfig",
    frames: int,
    seed: int,
    classes: str | None,
    interpolate: str | None,
    interpolate_classes: str | None,
    truncation: float,
) -> Plan:
    import torch

    from sagan.randomness import sample_latents
    from sagan.sampling import interpolation_labels, interpolation_latents

    network = config.network
    if interpolate is not None:
        a, b = (parse_seed(part) for part in parse_pair(interpolate, "seeds"))
        latents = interpolation_latents((a, b), frames, network, truncation=truncation)
        stem = f"seed{a}-to-{b}"
    else:
        latents = sample_latents([seed], network.latent_dim, truncation=truncation)
        latents = latents.repeat(frames, 1)
        stem = f"seed{seed}"
    labels: Tensor | None = None
    strips = [stem]  # the file names of each row, without the frame
    if interpolate_classes is not None:
        if classes is not None:
            raise ValueError("--interpolate-classes names its classes itself; leave --classes out")
        parse_pair(interpolate_classes, "classes")
        ends = parse_classes(interpolate_classes, config)
        assert ends is not None
        labels = interpolation_labels((ends[0], ends[1]), frames, network)
        strips = [f"{stem}-{_class_part(config, ends[0])}-to-{_class_part(config, ends[1])}"]
    elif chosen := parse_classes(classes, config) or range(network.classes):
        if len({*chosen}) < len(chosen):
            raise ValueError(f"--classes {classes} names a class twice, and a walk has each once")
        labels = torch.tensor(list(chosen)).repeat_interleave(frames)
        strips = [f"{stem}-{_class_part(config, k)}" for k in chosen]
    names = [f"{strip}-{i:04d}" for strip in strips for i in range(frames)]
    rows = [row for row in range(len(strips)) for _ in range(frames)]
    return Plan(latents.repeat(len(strips), 1), labels, names, rows)


def _class_part(config: "RunConfig", label: int) -> str:
    """Name a class in a file name, without characters that a file system may refuse."""
    name = re.sub(r"[^\w.-]+", "_", config.data.name_of(label))
    name = name.encode()[:_MOST_NAME_BYTES].decode(errors="ignore")
    return f"class{label}" if name == str(label) else f"class{label}-{name}"


def _write_folder(out: Path, batches: "Iterable[Tensor]", plan: Plan) -> None:
    from sagan.images import array_to_image, png

    names = iter(plan.names)
    for batch in batches:
        out.mkdir(parents=True, exist_ok=True)  # only once there is something to write
        for image in batch.permute(0, 2, 3, 1).numpy():
            content = png(array_to_image(image))
            write_atomically(out / f"{next(names)}.png", content, durably=False)


def _write_grid(out: Path, images: "Tensor", plan: Plan) -> None:
    """Write the grid: each row of the plan, a class say, starts on a new line."""
    import torch

    from sagan.images import image_grid, png

    by_row = [
        images[[i for i, r in enumerate(plan.rows) if r == row]] for row in dict.fromkeys(plan.rows)
    ]
    columns = min(_MAX_COLUMNS, max(len(group) for group in by_row))
    if len(by_row) == 1:
        columns = min(columns, max(10, math.isqrt(len(images))))
    padded = [
        torch.cat([group, torch.full((-len(group) % columns, *group.shape[1:]), 128).byte()])
        for group in by_row
    ]
    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(out, png(image_grid(torch.cat(padded), columns)), durably=False)


def _write_walk(out: Path, images: "Tensor") -> None:
    """Write walks `r f c h w` as an animation."""
    from sagan.images import gif, mp4, walk_frames

    encode = gif if out.suffix.lower() == ".gif" else mp4
    content = encode(walk_frames(images))
    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(out, content)
