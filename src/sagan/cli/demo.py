"""The demo, `./dev demo`: train on digits, score, and see what attention does."""

import argparse
import sys
import time
from pathlib import Path


def demo(path: Path, *, images: int | None, seed: int) -> int:
    """Train the digits preset, print CAS and gamma with and without attention, draw images."""
    from sagan.cli.train import say_how_it_ended
    from sagan.training.options import TrainOptions
    from sagan.training.start import train_run

    began = time.monotonic()
    options: TrainOptions = {"data": "digits", "preset": "digits", "seed": seed}
    if images is not None:
        options["images"] = images
    result = train_run(path, **options)
    say_how_it_ended(result)
    if result.exit_code:
        return result.exit_code
    trained_sec = time.monotonic() - began

    import torch

    from sagan.evaluation.evaluate_run import cas_of
    from sagan.explain import explain_run, gammas, intervene
    from sagan.images import image_grid, to_uint8
    from sagan.runs.open_run import load_discriminator, load_run_generator
    from sagan.runs.run import find_checkpoint
    from sagan.training.diagnostics import fixed_latents

    checkpoint = find_checkpoint(path, verify_files=["ema", "discriminator"])
    config = checkpoint.config
    generator = load_run_generator(checkpoint.path)
    discriminator = load_discriminator(checkpoint.path)
    latents, labels = fixed_latents(config.network)
    with torch.no_grad():
        pictures = generator(latents, labels)
        score = cas_of(generator, config, source="digits")
        with intervene(generator, gamma_scale=0):
            without = generator(latents, labels)
            score_without = cas_of(generator, config, source="digits")
    difference = (pictures - without).abs().mean().item() / 2 * 255
    print(f"trained in {trained_sec:.0f} s to {config.training.images:,} images, seed {seed}")
    assert score.real_vs_real is not None
    print(f"CAS {score.value:.4f} on {score.n_real} held-out digits", end="")
    print(f" (ceiling {score.real_vs_real.value:.4f}: the classifier trained on real digits)")
    agreed = score.details["of_class_asked_for"]
    print(f"of the class asked for: {agreed:.4f} of the generated digits")
    for name, network in (("G", generator), ("D", discriminator)):
        values = ", ".join(f"{value:+.3f}" for value in gammas(network).values())
        print(f"gamma of {name}: {values}")
    print(f"with gamma of G set to 0: CAS {score_without.value:.4f}", end="")
    print(f", pixels change by {difference:.1f} of 255 on average")
    grid, grid_without = path / "samples.png", path / "samples-gamma-0.png"
    image_grid(to_uint8(pictures), 10).save(grid)
    image_grid(to_uint8(without), 10).save(grid_without)
    explanation = explain_run(path, path / "attention", device="cpu")
    print(f"sample grid: {grid}; with gamma 0: {grid_without}")
    print(f"attention: {', '.join(str(file) for file in explanation.files)}")
    print("\n".join(verdict.sentence() for verdict in explanation.verdicts))
    return 0


def _main() -> None:
    from sagan.cli import run_safely

    parser = argparse.ArgumentParser(prog="./dev demo", description=__doc__)
    parser.add_argument("--images", type=int, help="train on fewer images than the demo does")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/demo"), help="the run's folder")
    given = parser.parse_args()
    sys.exit(run_safely(lambda: demo(given.out, images=given.images, seed=given.seed)))


if __name__ == "__main__":
    _main()
