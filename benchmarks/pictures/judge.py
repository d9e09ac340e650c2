"""Can a person say what generated pictures are? A sheet of them, the answers apart, and a count.

python benchmarks/pictures/judge.py draw runs/emoji sheet.png
python benchmarks/pictures/judge.py count sheet.png said.txt

The pictures are of seeds 0 upwards, of classes drawn at random, and numbered along rows. Whoever
judges looks at sheet.png, and not at sheet.json, and writes a class a line, in the pictures' order.
"""

import argparse
import json
from collections import Counter
from pathlib import Path

import torch

from sagan.exchange.open_exported import open_generator
from sagan.images import image_grid
from sagan.randomness import sample_latents
from sagan.sampling import generate

_COLUMNS, _SCALE, _GUTTER = 10, 2, 3


def draw(run: Path, sheet: Path, num: int, order: int) -> None:
    """Draw pictures of hidden classes as a sheet, and write the classes beside it."""
    opened = open_generator(run)
    network, data = opened.config.network, opened.config.data
    if not network.classes:
        raise SystemExit(f"{run} has no classes to name")
    names = [data.name_of(k) for k in range(network.classes)]
    draws = torch.Generator().manual_seed(order)
    labels = torch.randint(network.classes, (num,), generator=draws)
    with torch.no_grad():
        latents = sample_latents(range(num), network.latent_dim)
        images = torch.cat(list(generate(opened.generator, latents, labels)))
    image_grid(images, _COLUMNS, scale=_SCALE, gutter=_GUTTER).save(sheet)
    hidden = {"classes": names, "answers": [names[k] for k in labels.tolist()]}
    sheet.with_suffix(".json").write_text(json.dumps(hidden), encoding="utf-8")
    print(f"{sheet}: {num} pictures, each of one of", ", ".join(names))


def count(sheet: Path, said: Path) -> str:
    """How many pictures were put into the right class, of each class and of all."""
    hidden = json.loads(sheet.with_suffix(".json").read_text(encoding="utf-8"))
    answers = hidden["answers"]
    words = [line.strip() for line in said.read_text(encoding="utf-8").splitlines()]
    if len(words) != len(answers):
        raise SystemExit(f"{said} has {len(words)} classes for {len(answers)} pictures")
    if unknown := set(words) - {*hidden["classes"]}:
        raise SystemExit(f"{said} has {', '.join(sorted(unknown))}, which is no class")
    there = Counter(answers)
    right = Counter(a for a, word in zip(answers, words, strict=True) if a == word)
    lines = [f"{name} {right[name]} of {n}" for name, n in sorted(there.items())]
    return "\n".join([*lines, f"all {right.total()} of {len(answers)}"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("draw")
    command.add_argument("run", type=Path)
    command.add_argument("sheet", type=Path, help=".png; the answers go into a .json beside it")
    command.add_argument("--num", type=int, default=90)
    command.add_argument("--order", type=int, default=0, help="seed of the classes' order")
    command = commands.add_parser("count")
    command.add_argument("sheet", type=Path)
    command.add_argument("said", type=Path, help="a class a line")
    options = parser.parse_args()
    if options.command == "draw":
        draw(options.run, options.sheet, options.num, options.order)
    else:
        print(count(options.sheet, options.said))
