"""`sagan explain`."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from sagan.cli.common import parse_classes

if TYPE_CHECKING:
    from sagan.config import NetworkConfig, RunConfig
    from sagan.explain import Effects, QueryMaps, Subject
    from sagan.models import Generator


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
    """Draw where a run's attention looks, and check what that changes.

    For generated images, and for a real one given: every attention layer's
    maps at query points, in the generator (attention-g.png) and the
    discriminator (attention-d.png, attention-real.png), and its numbers
    (attention.json), also over training (attention-history.png). What
    changes without attention, with uniform maps and with keys hidden
    (causal.png, causal.json; the last line says whether attention matters).
    Walks in latent space (directions.png). And a page that needs no server,
    to point at any pixel and see where it looks (index.html).

    Parameters
    ----------
    run
        A run's folder, or one of its checkpoints'.
    out
        The folder to write to.
    seed
        Of the first image.
    classes
        Class names or numbers, as 3,7; by default spread over all. With --image at most one.
    num
        How many images.
    points
        How many query points on each, at most 8.
    image
        A real image for the discriminator to look at.
    region
        What to hide in the check, as X0,Y0,X1,Y1 in pixels (X1 and Y1 not in it); by default what
        each query point attends to most.
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
    written = write_explanation(
        run, out, seed, classes, num, points, device, image=image, region=region
    )
    for line in (*written.paths, *written.sentences):
        print(line, file=sys.stderr)


class Explanation(NamedTuple):
    """The files that were written, and what the causal check says."""

    paths: list[Path]
    sentences: list[str]


def write_explanation(
    run: Path,
    out: Path,
    seed: int,
    classes: str | None,
    num: int,
    points: int,
    device: str,
    *,
    image: Path | None = None,
    region: str | None = None,
) -> Explanation:
    """Write the figures and numbers; everything that can be refused is, before the first file."""
    from sagan.devices import pick_device
    from sagan.explain import explain_subject, generated_subjects, measure_effects, real_subject
    from sagan.runs.open_run import load_discriminator, load_run_generator
    from sagan.runs.run import find_checkpoint

    checkpoint = find_checkpoint(run)
    config = checkpoint.config
    network = config.network
    judged = checkpoint.has("discriminator")
    d_looks = judged and bool(network.d_attention)
    if not network.g_attention and not d_looks:
        raise ValueError(f"{run} was trained without attention: there is nothing to draw")
    chosen = parse_classes(classes, config)
    hidden = parse_region(region, network)
    place = pick_device(device)
    subjects: list[Subject] = []
    if image is not None:
        if chosen is not None and len(chosen) > 1:
            raise ValueError(f"--image has one class, not --classes {classes}; name one, or none")
        label = None if chosen is None else chosen[0]
        subjects.append(real_subject(image, config, label=label, device=place))
        if not d_looks:
            raise ValueError(f"{run} has no attention in D, which alone looks at --image {image}")
    generator = load_run_generator(run, device=place)
    discriminator = load_discriminator(run, device=place) if judged else None
    subjects = generated_subjects(generator, config, num, seed=seed, classes=chosen) + subjects
    layers = [explain_subject(s, generator, discriminator, points=points) for s in subjects]
    effects = [
        measure_effects(s, generator, discriminator, maps, region=hidden)
        for s, maps in zip(subjects, layers, strict=True)
    ]
    out.mkdir(parents=True, exist_ok=True)
    paths = _write_maps(run, out, subjects, layers)
    paths += _write_history(run, out)
    causal, sentences = _write_effects(run, out, subjects, effects)
    paths += causal
    paths.append(_write_directions(out, config, subjects[0], generator))
    paths.append(_write_page(run, out, config, subjects, layers, sentences))
    return Explanation(paths, sentences)


def parse_region(text: str | None, network: "NetworkConfig") -> Any:
    """Read a region, `X0,Y0,X1,Y1` in pixels from the top left, the last ones not in it.

    Returns:
        A bool tensor `h w`, or None without a region.

    Raises:
        ValueError: not four whole numbers, empty, or not inside the image.
    """
    if text is None:
        return None
    import torch

    side = network.resolution
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != 4 or not all(part.isascii() and part.isdecimal() for part in parts):
        raise ValueError(f"--region {text!r} is not X0,Y0,X1,Y1 in pixels, as 0,0,4,4")
    x0, y0, x1, y1 = (int(part) for part in parts)
    if x1 > side or y1 > side:
        raise ValueError(f"--region {text} leaves the image, which is {side}x{side} pixels")
    if x0 >= x1 or y0 >= y1:
        raise ValueError(f"--region {text} is empty: X0 < X1 and Y0 < Y1 are needed, as 0,0,4,4")
    hidden = torch.zeros(side, side, dtype=torch.bool)
    hidden[y0:y1, x0:x1] = True
    return hidden


def _write_maps(
    run: Path, out: Path, subjects: "Sequence[Subject]", layers: "Sequence[list[QueryMaps]]"
) -> list[Path]:
    from sagan.explain import draw_attention

    written = []
    for stem, network, real, title in (
        ("attention-g", "G", False, "Where the generator's attention looks"),
        (
            "attention-d",
            "D",
            False,
            "Where the discriminator's attention looks, on generated images",
        ),
        ("attention-real", "D", True, "Where the discriminator's attention looks, on a real image"),
    ):
        examples = [
            (s.caption, s.pixels(), [m for m in maps if m.network == network])
            for s, maps in zip(subjects, layers, strict=True)
            if (s.latents is None) == real
        ]
        if examples and examples[0][2]:
            written.append(out / f"{stem}.png")
            draw_attention(written[-1], examples, title=title)
    images = [
        s.record() | {"layers": [_layer_record(m) for m in maps]}
        for s, maps in zip(subjects, layers, strict=True)
    ]
    return [*written, _write_json(out / "attention.json", {"run": str(run), "images": images})]


def _layer_record(maps: "QueryMaps") -> dict[str, Any]:
    from sagan.nn.attention import attention_numbers

    return {
        "network": maps.network,
        "layer": maps.layer,
        "size_px": maps.attention.height,
        "keys_px": maps.attention.height // maps.attention.key_stride,
        "gamma": maps.attention.gamma,
        **attention_numbers(maps.attention)._asdict(),
        "query_points": [{"y": y, "x": x} for y, x in maps.points],
    }


def _write_history(run: Path, out: Path) -> list[Path]:
    """Draw attention over training, where the run's log (a checkpoint's lies above it) tells it."""
    from sagan.explain.history import draw_history, read_history

    history = read_history(_log_of(run))
    if not history:
        return []
    draw_history(out / "attention-history.png", history)
    return [out / "attention-history.png"]


def _log_of(run: Path) -> Path:
    folder = run.resolve().parent.parent if (run / "manifest.json").is_file() else run
    return folder / "log.jsonl"


def _write_page(
    run: Path,
    out: Path,
    config: "RunConfig",
    subjects: "Sequence[Subject]",
    layers: "Sequence[list[QueryMaps]]",
    verdicts: Sequence[str],
) -> Path:
    """Write the page to point at, with all maps of all images in it."""
    from sagan.explain import write_report
    from sagan.explain.history import read_history

    write_report(
        out / "index.html",
        [(s.caption, s.pixels(), maps) for s, maps in zip(subjects, layers, strict=True)],
        title=run.resolve().name,
        about=f"{run} · {config.data.source}, {config.network.resolution} px",
        verdicts=verdicts,
        history=read_history(_log_of(run)),
    )
    return out / "index.html"


def _write_effects(
    run: Path, out: Path, subjects: "Sequence[Subject]", effects: "Sequence[list[Effects]]"
) -> tuple[list[Path], list[str]]:
    from sagan.explain import draw_causal, judge
    from sagan.explain.causal_check import REFERENCES, THRESHOLD

    verdicts = []
    for network in ("G", "D"):
        found = [e for each in effects for e in each if e.network == network]
        if found:
            verdicts.append(judge(found))
    sentences = [verdict.sentence() for verdict in verdicts]
    record = {
        "run": str(run),
        "threshold": THRESHOLD,
        "reference": f"mean difference over the pairs of {REFERENCES} other images of the class",
        "units": {"G": "grey levels of 255, mean over the pixels", "D": "logit"},
        "verdicts": [verdict.record() for verdict in verdicts],
        "images": [
            s.record() | {"networks": [e.record() for e in each]}
            for s, each in zip(subjects, effects, strict=True)
        ],
    }
    checked = [(s.caption, each) for s, each in zip(subjects, effects, strict=True)]
    draw_causal(out / "causal.png", checked, sentences)
    return [out / "causal.png", _write_json(out / "causal.json", record)], sentences


def _write_directions(
    out: Path, config: "RunConfig", subject: "Subject", generator: "Generator"
) -> Path:
    from sagan.explain import draw_strips
    from sagan.explain.strips import direction_strips, interpolation_strips

    groups = [
        direction_strips(generator, subject),
        interpolation_strips(generator, config, subject),
    ]
    draw_strips(out / "directions.png", groups)
    return out / "directions.png"


def _write_json(path: Path, content: dict[str, Any]) -> Path:
    path.write_text(json.dumps(content, indent=1) + "\n")
    return path
