"""Score what `beside.py` saved, all by `sagan evaluate`'s code, as a table; and draw grids.

python benchmarks/pictures/score.py results --data test.npz --real train.npz

Each NAME-Mm.npz gets NAME-Mm.json beside it, which is not made again. `real` are as many training
pictures in a peer's place; a set without a test split is scored against what it was trained on,
`--data train.npz`, and has none.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

_COLUMNS = ("fd:own", "kid:own", "precision:own", "recall:own", "coverage:own", "cas")
_ROWS, _ACROSS, _GAP, _LINE = 4, 8, 12, 14  # of a grid; px


def score(path: Path, data: Path) -> dict[str, Any]:
    """Score a file of images against these pictures, unless that was done."""
    result = path.with_suffix(".json")
    if not result.is_file():
        from sagan import evaluate_run

        with np.load(path) as arrays:
            labelled = "labels" in arrays
        metrics = "fd:own,kid:own,prdc:own" + (",cas" if labelled else "")
        evaluation = evaluate_run(path, data=str(data), metrics=metrics)
        found = {name: s.to_dict() for name, s in evaluation.scores.items()}
        result.write_text(json.dumps({"num": evaluation.facts["num"], **found}), encoding="utf-8")
    content: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
    return content


def rows(out: Path, data: Path, real: Path | None) -> list[dict[str, Any]]:
    """Score every mark of every peer, and training pictures in their place."""
    found: list[dict[str, Any]] = []
    if real:
        with np.load(real) as arrays:
            chosen = np.sort(np.random.default_rng(0).permutation(len(arrays["images"]))[:10_000])
            np.savez(out / "real.npz", **{k: arrays[k][chosen] for k in ("images", "labels")})
        found.append({"peer": "real", **_values(score(out / "real.npz", data))})
    for log in sorted(out.glob("*.jsonl")):
        for line in log.read_text(encoding="utf-8").splitlines():
            mark = json.loads(line)
            path = out / f"{log.stem}-{mark['minutes']:g}m.npz"
            found.append({**mark, "peer": log.stem, **_values(score(path, data))})
    return found


def _values(content: dict[str, Any]) -> dict[str, Any]:
    return {"num": content["num"]} | {c: content[c]["value"] for c in _COLUMNS if c in content}


def table(found: list[dict[str, Any]]) -> str:
    """The rows as Markdown, the shortest time first and the lowest distance."""
    head = "| min | what | steps | images | FD | KID | precision; recall | coverage | CAS |"
    lines = [head, "|---|---|---|---|---|---|---|---|---|"]
    for row in sorted(found, key=lambda row: (row.get("minutes", 0), row["fd:own"])):
        seen = [f"{row[k]:,}" if k in row else "" for k in ("steps", "images_shown")]
        pair = f"{row['precision:own']:.3f}; {row['recall:own']:.3f}"
        numbers = [f"{row['fd:own']:.2f}", f"{row['kid:own']:.4f}", pair]
        numbers += [f"{row['coverage:own']:.3f}", f"{row['cas']:.3f}" if "cas" in row else ""]
        minutes = f"{row['minutes']:g}" if "minutes" in row else ""
        lines.append(f"| {' | '.join([minutes, row['peer'], *seen, *numbers])} |")
    return "\n".join(lines)


def grid(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The first pictures, 4 x 8; spread over all where they come class by class."""
    some = images[np.linspace(0, len(images) - 1, _ROWS * _ACROSS).astype(int)]
    side, channels = some.shape[2:]
    cells = some.reshape(_ROWS, _ACROSS, side, side, channels).transpose(0, 2, 1, 3, 4)
    return cells.reshape(_ROWS * side, _ACROSS * side, channels)


def draw(files: dict[str, Path], path: Path, across: int = 2) -> None:
    """Draw a grid for each, with its name above."""
    cells = []
    for name, file in files.items():
        with np.load(file) as arrays:
            pixels = grid(arrays["images"])
        picture = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
        size = (picture.width + _GAP, picture.height + _GAP + _LINE)
        cell = Image.new(picture.mode, size, "white")
        cell.paste(picture, (0, _LINE))
        ImageDraw.Draw(cell).text((0, 1), name, fill="black")
        cells.append(cell)
    width, height = cells[0].size
    size = (across * width, -(-len(cells) // across) * height)
    sheet = Image.new(cells[0].mode, size, "white")
    for i, cell in enumerate(cells):
        sheet.paste(cell, (i % across * width, i // across * height))
    sheet.save(path, optimize=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path, help="folder of beside.py")
    parser.add_argument("--data", type=Path, required=True, help="test.npz, or train.npz")
    parser.add_argument("--real", type=Path, help="train.npz")
    parser.add_argument("--json", type=Path, help="where to keep the rows")
    parser.add_argument("--picture", type=Path, help="where to draw the grids")
    parser.add_argument("--picture-minutes", type=float, default=30)
    options = parser.parse_args()
    torch.set_num_threads(1)
    every = rows(options.out, options.data, options.real)
    print(table(every))
    if options.json:
        options.json.write_text(json.dumps(every, indent=1) + "\n", encoding="utf-8")
    if options.picture:
        m = options.picture_minutes
        best = sorted(every, key=lambda row: row["fd:own"])
        names = [row["peer"] for row in best if row.get("minutes") == m]
        files = {name: options.out / f"{name}-{m:g}m.npz" for name in names}
        real = options.out / "real.npz" if options.real else options.data
        draw({"real": real, **files}, options.picture)
