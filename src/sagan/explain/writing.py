"""Explain a run: choose pictures, look at them, and write figures, numbers and a page."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sagan.config import NetworkConfig, RunConfig
from sagan.config.network import why_no_maps
from sagan.devices import pick_device
from sagan.explain.causal_check import (
    REFERENCES,
    THRESHOLD,
    Effects,
    Verdict,
    judge,
    measure_effects,
)
from sagan.explain.figures import COLOURS, draw_attention, draw_causal, draw_strips
from sagan.explain.history import Course, draw_history, read_history
from sagan.explain.html_report import write_report
from sagan.explain.maps import QueryMaps, explain_picture
from sagan.explain.pictures import ExplainedPicture, generated_pictures, real_picture
from sagan.explain.strips import direction_strips, interpolation_strips
from sagan.files import nearest_existing, write_atomically
from sagan.models import Generator
from sagan.nn.attention import attention_numbers
from sagan.runs.open_run import load_discriminator, load_run_generator
from sagan.runs.run import find_checkpoint

_NOT_ALWAYS = tuple(f"attention-{what}.png" for what in ("g", "d", "real", "history"))
_MAX_PICTURES = 100  # a figure has a row of each
_MAX_POINTS = len(COLOURS)  # each query point has a colour of its own


class Explanation(NamedTuple):
    """What `explain_run` wrote and found.

    Args:
        files: the files written.
        verdicts: whether attention matters: one for each network with attention, G's first.

    Example:
        >>> explanation = Explanation([Path("why/attention.json")], verdicts=[])
        >>> [file.name for file in explanation.files]
        ['attention.json']
    """

    files: list[Path]
    verdicts: list[Verdict]


class _Findings(NamedTuple):
    """One picture, its maps layer by layer, and what interventions change, network by network."""

    picture: ExplainedPicture
    layers: list[QueryMaps]
    effects: list[Effects]


def explain_run(
    run: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    seed: int = 0,
    classes: Sequence[int] | None = None,
    num: int = 4,
    points: int = 5,
    image: str | os.PathLike[str] | None = None,
    region: tuple[int, int, int, int] | None = None,
    device: str = "auto",
) -> Explanation:
    """Write where a run's attention looks, and check whether that matters.

    What `sagan explain` does: for generated images, and a real one if given, every attention
    layer's maps and numbers; what changes without attention, with uniform maps and with hidden
    keys; walks in latent space; and an HTML page with all maps. docs/attention.md describes the
    files. Nothing is written if anything is refused.

    Args:
        run: a run folder (its best checkpoint, else its latest) or a checkpoint folder.
        out: folder to write to.
        seed: seed of the first generated image; the others follow it.
        classes: class numbers of the generated images; None spreads them over all classes.
        num: number of generated images, 1 to 100.
        points: number of query points in each image, 1 to 8.
        image: file of a real image for the discriminator to look at; `classes` may then hold one
            class, which is taken to be its class too.
        region: what to hide in the causal check, (x0, y0, x1, y1) in pixels, x1 and y1 excluded;
            None hides what each query point attends to most.
        device: `auto`, `cpu`, `cuda` or `mps`.

    Returns:
        The files written and a verdict for each network.

    Raises:
        ValueError: the path is not a run, the run has no attention, or an argument does not fit it.
        CheckpointError: the checkpoint is damaged.

    Example:
        >>> import tempfile
        >>> from sagan.models import build_generator
        >>> from sagan.runs.run import Run
        >>> network = NetworkConfig(resolution=8, latent_dim=8, g_width=8, g_attention=(8,))
        >>> run, config = Run(Path(tempfile.mkdtemp())), RunConfig(network=network)
        >>> ema = build_generator(network).state_dict()
        >>> _ = run.save(1, {"ema": ema}, config=config, keep=1)
        >>> explanation = explain_run(run.path, run.path / "why", num=1, points=2)
        >>> [file.name for file in explanation.files]
        ['attention-g.png', 'attention.json', 'causal.png', 'causal.json', 'directions.png',
         'index.html']
        >>> explanation.verdicts[0].matters  # gamma is still 0
        False
    """
    run, out = Path(run), Path(out)
    if not 1 <= points <= _MAX_POINTS:
        raise ValueError(f"points must be from 1 to {_MAX_POINTS}, not {points}")
    if not 1 <= num <= _MAX_PICTURES:
        raise ValueError(f"num must be from 1 to {_MAX_PICTURES}, not {num}")
    if seed < 0:
        raise ValueError(f"seed must be 0 or more, not {seed}")
    there = nearest_existing(out)
    if not there.is_dir():
        raise ValueError(f"{there} is a file, not a folder to write to")
    checkpoint = find_checkpoint(run, verify_files=["ema", "discriminator"])
    device = pick_device(device)
    config, network = checkpoint.config, checkpoint.config.network
    has_discriminator = checkpoint.has("discriminator")
    d_looks = has_discriminator and bool(network.d_maps)
    if not network.g_maps and not d_looks:
        raise ValueError(f"{run} {why_no_maps(network)}: there is nothing to draw")
    hidden = None if region is None else _region_mask(region, network)
    real = []
    if image is not None:
        if classes is not None and len(classes) > 1:
            raise ValueError(f"a real image has one class, not {len(classes)}: name one, or none")
        label = classes[0] if classes else None
        real = [real_picture(Path(image), config, label=label, device=device)]
        if not d_looks:
            raise ValueError(f"{run} has no attention in D, and D alone looks at a real image")
    generator = load_run_generator(checkpoint.path, device=device)
    discriminator = None
    if has_discriminator:
        discriminator = load_discriminator(checkpoint.path, device=device)
    findings = []
    for picture in generated_pictures(generator, config, num, seed=seed, classes=classes) + real:
        layers = explain_picture(picture, generator, discriminator, points=points)
        effects = measure_effects(picture, generator, discriminator, layers, region=hidden)
        findings.append(_Findings(picture, layers, effects))
    verdicts = [
        judge(effects)
        for network_name in ("G", "D")
        if (effects := [e for f in findings for e in f.effects if e.network == network_name])
    ]
    history = read_history(checkpoint.run / "log.jsonl")

    page = _write_page(run, out, config, findings, verdicts, history)  # refused if it does not fit
    files = _write_maps(run, out, findings)
    if history:
        files.append(out / "attention-history.png")
        draw_history(files[-1], history)
    files += _write_causal_check(run, out, findings, verdicts)
    files.append(_write_directions(out, config, findings[0].picture, generator))
    files.append(page)
    for name in _NOT_ALWAYS:  # what an earlier call left there would be taken for this run's
        if out / name not in files:
            (out / name).unlink(missing_ok=True)
    return Explanation(files, verdicts)


def _region_mask(region: tuple[int, int, int, int], network: NetworkConfig) -> Tensor:
    """A bool grid `h w` of the image, True inside the region."""
    side = network.resolution
    x0, y0, x1, y1 = region
    shown = ",".join(map(str, region))
    if x0 < 0 or y0 < 0 or x1 > side or y1 > side:
        raise ValueError(f"region {shown} leaves the image, which is {side}x{side} pixels")
    if x0 >= x1 or y0 >= y1:
        raise ValueError(f"region {shown} is empty: it needs X0 < X1 and Y0 < Y1, as 0,0,4,4")
    mask = torch.zeros(side, side, dtype=torch.bool)
    mask[y0:y1, x0:x1] = True
    return mask


def _write_maps(run: Path, out: Path, findings: Sequence[_Findings]) -> list[Path]:
    """Draw each network's maps, generated and real pictures apart, and write the numbers."""
    files = []
    for name, network, real, what in (
        ("attention-g", "G", False, "generator's attention looks"),
        ("attention-d", "D", False, "discriminator's attention looks, on generated images"),
        ("attention-real", "D", True, "discriminator's attention looks, on a real image"),
    ):
        examples = [
            (f.picture.caption, f.picture.pixels(), [m for m in f.layers if m.network == network])
            for f in findings
            if f.picture.is_real == real
        ]
        if examples and examples[0][2]:
            files.append(out / f"{name}.png")
            draw_attention(files[-1], examples, title=f"Where the {what}")
    images = [
        f.picture.record() | {"layers": [_layer_record(m) for m in f.layers]} for f in findings
    ]
    return [*files, _write_json(out / "attention.json", {"run": str(run), "images": images})]


def _layer_record(maps: QueryMaps) -> dict[str, Any]:
    return {
        "network": maps.network,
        "layer": maps.layer,
        "size_px": maps.attention.height,
        "keys_px": maps.attention.height // maps.attention.key_stride,
        "gamma": maps.attention.gamma,
        **attention_numbers(maps.attention)._asdict(),
        "query_points": [{"y": y, "x": x} for y, x in maps.points],
    }


def _write_causal_check(
    run: Path, out: Path, findings: Sequence[_Findings], verdicts: Sequence[Verdict]
) -> list[Path]:
    record = {
        "run": str(run),
        "threshold": THRESHOLD,
        "reference": f"mean difference over the pairs of {REFERENCES} other images of the class",
        "units": {"G": "grey levels of 255, mean over the pixels", "D": "logit"},
        "verdicts": [verdict.record() for verdict in verdicts],
        "images": [
            f.picture.record() | {"networks": [e.record() for e in f.effects]} for f in findings
        ],
    }
    checked = [(f.picture.caption, f.effects) for f in findings]
    draw_causal(out / "causal.png", checked, [verdict.sentence() for verdict in verdicts])
    return [out / "causal.png", _write_json(out / "causal.json", record)]


def _write_directions(
    out: Path, config: RunConfig, picture: ExplainedPicture, generator: Generator
) -> Path:
    walks = direction_strips(generator, picture)
    interpolations = interpolation_strips(generator, config, picture)
    draw_strips(out / "directions.png", [walks, interpolations])
    return out / "directions.png"


def _write_page(
    run: Path,
    out: Path,
    config: RunConfig,
    findings: Sequence[_Findings],
    verdicts: Sequence[Verdict],
    history: dict[str, dict[str, Course]],
) -> Path:
    write_report(
        out / "index.html",
        [(f.picture.caption, f.picture.pixels(), f.layers) for f in findings],
        title=run.resolve().name,
        about=f"{run} · {config.data.source}, {config.network.resolution} px",
        verdicts=[verdict.sentence() for verdict in verdicts],
        history=history,
    )
    return out / "index.html"


def _write_json(path: Path, content: dict[str, Any]) -> Path:
    write_atomically(path, (json.dumps(content, indent=1) + "\n").encode())
    return path
