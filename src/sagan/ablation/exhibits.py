"""What a report shows of single runs: costs, samples, attention maps."""

from pathlib import Path

import torch

from sagan.ablation.outcome import Scores
from sagan.ablation.protocol import Plan, run_folder
from sagan.config import run_config_from_dict
from sagan.explain.figures import attention_figure
from sagan.explain.maps import explain_picture
from sagan.explain.pictures import generated_pictures
from sagan.images import figure_png, image_grid, png
from sagan.models.estimate import estimate
from sagan.runs.log import read_records
from sagan.runs.open_run import load_discriminator, load_run_generator
from sagan.runs.run import Run
from sagan.sampling import of_all_classes

_GRID = 32
_COLUMNS = 8
_EXPLAINED = 2


def costs(folder: Path, plan: Plan, scores: Scores) -> list[list[str]]:
    """Rows of each arm's parameters, FLOP and time."""
    rows = [["arm", "parameters of G", "of D", "MFLOP an image", "CPU seconds per 10,000 images"]]
    for arm, (g, d) in plan.parameters.items():
        config = run_config_from_dict(plan.configs[arm])
        flop = estimate(config.network, config.training).train_flop
        spent, images = 0.0, 0
        for a, seed in scores.records:
            if a == arm:
                records = list(read_records(run_folder(folder, arm, seed) / "cost.jsonl"))
                spent += sum(r["cpu_sec"] for r in records)
                images += max((r["images"] for r in records), default=0)
        seconds = f"{10_000 * spent / images:.1f}" if images else "-"
        rows.append([arm, f"{g:,}", f"{d:,}", f"{flop / 1e6:,.1f}", seconds])
    return rows


def sample_grid(run: Path) -> bytes:
    """A run's pictures of the first latents, as a PNG."""
    generator = load_run_generator(run)
    batches, _ = of_all_classes(generator, generator.config, _GRID, seed=0)
    return png(image_grid(torch.cat(list(batches)), _COLUMNS))


def attention_picture(run: Path) -> bytes | None:
    """Where the attention of a run's networks looks, G's if it has any; None without attention."""
    checkpoint = Run(run).checkpoint(verify_files=())
    network = checkpoint.config.network
    letter = "G" if network.g_maps else "D"
    if not network.g_maps and not network.d_maps:
        return None
    generator = load_run_generator(checkpoint.path)
    discriminator = load_discriminator(checkpoint.path)
    examples = []
    for picture in generated_pictures(generator, checkpoint.config, _EXPLAINED):
        layers = explain_picture(picture, generator, discriminator, points=4)
        mine = [maps for maps in layers if maps.network == letter]
        examples.append((picture.caption, picture.pixels(), mine))
    figure = attention_figure(examples, title=f"Where the attention of {letter} looks")
    return figure_png(figure, dpi=100)
