"""Draw what each line of the attention block does to a real feature map, for docs/attention.md.

    python examples/attention_walk.py runs/demo --out docs/images

The feature map is the one that enters the discriminator's first attention layer when it looks at a
generated image.
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

import sagan
from sagan.explain.figures import lay_over, show
from sagan.images import to_uint8
from sagan.randomness import sample_latents

RED, BLUE = "#e6194b", "#1f6feb"  # the query i, the key j
DPI = 90


class Walk(NamedTuple):
    """Every step of one block on one feature map, named as in the article; N = h * w."""

    picture: Tensor  # uint8 c H W
    x: Tensor  # C h w
    query: Tensor  # N C/8
    key: Tensor  # C/8 M
    energy: Tensor  # N M
    attention: Tensor  # N M
    value: Tensor  # C' M
    out: Tensor  # C' N, or after the output convolution C N
    gamma: float
    i: int  # the query that is followed
    j: int  # the key that it attends to most
    channel: int  # the one that is shown where only one is


@torch.no_grad()
def walk(run: Path, seed: int, label: int, at: tuple[int, int]) -> Walk:
    """Follow a generated picture through D's first attention layer, for the query at (y, x)."""
    generator, discriminator = sagan.load(run), sagan.load_discriminator(run)
    config = generator.config
    labels = torch.tensor([label]) if config.classes else None
    picture = generator(sample_latents([seed], config.latent_dim), labels)
    layer = next(iter(discriminator.attention.values()))
    caught: list[Tensor] = []
    handle = layer.register_forward_hook(lambda _layer, inputs, _output: caught.append(inputs[0]))
    discriminator(picture, labels)
    handle.remove()
    x = caught[0]
    query, key, value = (t[0] for t in layer.project(x))
    energy = query @ key.T
    attention = energy.softmax(1)
    out = (attention @ value).T
    h, w = x.shape[2:]
    if layer.output is not None:
        out = layer.output(out.view(1, -1, h, w))[0].flatten(1)
    i = at[0] * w + at[1]
    channel = int(out.var(1).argmax())
    j = int(attention[i].argmax())
    steps = query, key.T, energy, attention, value.T, out
    return Walk(to_uint8(picture[0]), x[0], *steps, layer.gamma.item(), i, j, channel)


def sheet(width, height):
    """Start a figure of a size in inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.get_layout_engine().set(h_pad=0.1)
    return figure


def signed(axis, values, title, *, bound=None, cmap="RdBu_r"):
    """Draw a map or matrix: red above 0, blue below, white at 0."""
    bound = bound or float(values.abs().max())
    axis.imshow(values.numpy(), cmap=cmap, vmin=-bound, vmax=bound, interpolation="nearest")
    axis.set_xticks([])
    axis.set_yticks([])
    axis.set_title(title, fontsize=9)


def box(axis, y, x, height, width, colour):
    """Frame cells of a drawn map or matrix."""
    frame = Rectangle((x - 0.5, y - 0.5), width, height, fill=False, edgecolor=colour, linewidth=2)
    frame.set_clip_on(False)
    axis.add_patch(frame)


def mark(axis, position, w, colour):
    """Frame the cell of a position in 0 to N - 1 on a map of width w."""
    box(axis, position // w, position % w, 1, 1, colour)


def tiles(part, maps, names, steps, *, marked, per_row=4):
    """Draw channels as maps, in rows."""
    axes = part.subplots(-(-len(maps) // per_row), per_row, squeeze=False).ravel()
    bound = float(maps.abs().max())
    for axis in axes:
        axis.set_axis_off()
    for axis, values, name in zip(axes, maps, names, strict=False):
        axis.set_axis_on()
        signed(axis, values, name, bound=bound)
        for position, colour in marked:
            mark(axis, position, values.shape[1], colour)
    part.suptitle(steps, fontsize=10)


def shape(rows, columns, of):
    """Name a matrix with its shape."""
    return f"{of}: {rows} × {columns}"


def draw_input(s: Walk, path: Path) -> None:
    """The picture, four channels of its feature map, and one of them laid out as a row."""
    h, w = s.x.shape[1:]
    figure = sheet(10, 3.4)
    top, bottom = figure.subfigures(2, 1, height_ratios=[2.2, 1])
    strongest = s.x.flatten(1).var(1).argsort(descending=True)[:4].tolist()
    axes = top.subplots(1, 5)
    show(axes[0], s.picture)
    axes[0].set_title("the picture", fontsize=9)
    place = ((s.i % w) / w, (s.i // w) / h)
    frame = Rectangle(place, 1 / w, 1 / h, fill=False, edgecolor=RED, linewidth=2)
    axes[0].add_patch(frame)
    for axis, channel in zip(axes[1:], strongest, strict=True):
        signed(axis, s.x[channel], f"x, channel {channel}: {h} × {w}")
        mark(axis, s.i, w, RED)
    row = bottom.subplots()
    signed(row, s.x[strongest[0]].flatten()[None], "")
    row.set_aspect(1.6)
    box(row, 0, s.i, 1, 1, RED)
    for start in range(0, h * w, w):
        row.axvline(start - 0.5, color="black", linewidth=0.6)
    row.set_title(
        f"view(..., N): the {h} rows of channel {strongest[0]} one after another, N = {h * w} long"
    )
    row.title.set_fontsize(9)
    row.set_xlabel(f"pixel (y, x) is number y × {w} + x; the red one is i = {s.i}", fontsize=8)
    figure.savefig(path, dpi=DPI)


def draw_query(s: Walk, path: Path) -> None:
    """The query's channels as maps, and as the matrix with a row a pixel."""
    h, w = s.x.shape[1:]
    figure = sheet(8, 4.4)
    left, right = figure.subfigures(1, 2, width_ratios=[1.5, 1])
    e = s.query.shape[1]
    names = [f"channel {k}" for k in range(e)]
    title = f"query_conv(x): {e} channels of {h} × {w}"
    tiles(left, s.query.T.view(e, h, w), names, title, marked=[(s.i, RED)], per_row=2)
    axis = right.subplots()
    signed(axis, s.query, shape(len(s.query), e, "proj_query, N × C"))
    axis.set_aspect(0.18)
    box(axis, s.i, 0, 1, e, RED)
    axis.set_ylabel(f"row i = {s.i}: all channels of one pixel", color=RED, fontsize=8)
    axis.set_xlabel("column: one channel, all pixels", fontsize=8)
    figure.savefig(path, dpi=DPI)


def draw_wide(s: Walk, path: Path, matrix: Tensor, side: tuple[int, int], titles, shown) -> None:
    """Channels as maps, above the matrix with a column a pixel."""
    figure = sheet(9, 4.2)
    top, bottom = figure.subfigures(2, 1, height_ratios=[1, 1])
    names = [f"channel {k}" for k in shown]
    maps = matrix[shown].view(len(shown), *side)
    tiles(top, maps, names, titles[0], marked=[(s.j, BLUE)], per_row=len(shown))
    axis = bottom.subplots()
    signed(axis, matrix, shape(*matrix.shape, titles[1]))
    axis.set_aspect("auto")
    box(axis, 0, s.j, len(matrix), 1, BLUE)
    axis.set_xlabel(f"column j = {s.j}: all channels of one pixel", color=BLUE, fontsize=8)
    axis.set_ylabel("row: one channel", fontsize=8)
    figure.savefig(path, dpi=DPI)


def draw_energy(s: Walk, path: Path, side: tuple[int, int]) -> None:
    """All energies, and the row of one query laid out as a map again."""
    n, m = s.energy.shape
    figure = sheet(9, 4.6)
    left, right = figure.subplots(1, 2, width_ratios=[1.25, 1])
    signed(left, s.energy, shape(n, m, "energy, N × N"))
    box(left, s.i, 0, 1, m, RED)
    box(left, 0, s.j, n, 1, BLUE)
    left.set_ylabel(f"query i: who asks (red: {s.i})", color=RED, fontsize=8)
    left.set_xlabel(f"key j: who is asked (blue: {s.j})", color=BLUE, fontsize=8)
    row = s.energy[s.i].view(side)
    signed(right, row, f"row i = {s.i}, laid out as {side[0]} × {side[1]} pixels again")
    for position in range(m):
        y, x = divmod(position, side[1])
        strong = abs(row[y, x]) > 0.6 * row.abs().max()
        colour = "white" if strong else "black"
        right.text(x, y, f"{row[y, x]:.1f}", ha="center", va="center", fontsize=6, color=colour)
    mark(right, s.i * m // n if n != m else s.i, side[1], RED)
    mark(right, s.j, side[1], BLUE)
    right.set_xlabel(f"blue: query[{s.i}] · key[{s.j}] = {s.energy[s.i, s.j]:.2f}", fontsize=8)
    figure.savefig(path, dpi=DPI)


def draw_softmax(s: Walk, path: Path, side: tuple[int, int]) -> None:
    """The whole map, and one row of it over the picture."""
    n, m = s.attention.shape
    h, w = s.x.shape[1:]
    figure = sheet(9, 4.6)
    left, right = figure.subplots(1, 2, width_ratios=[1.25, 1])
    left.imshow(s.attention.sqrt().numpy(), cmap="magma", vmin=0, interpolation="nearest")
    left.set_xticks([])
    left.set_yticks([])
    left.set_title(shape(n, m, "attention, N × N (brightness: root of the weight)"), fontsize=9)
    box(left, s.i, 0, 1, m, RED)
    left.set_ylabel("each row sums to 1", fontsize=8)
    show(right, (s.picture.float() * 0.55).to(torch.uint8))
    lay_over(right, s.attention[s.i].view(side))
    y, x = divmod(s.i, w)
    frame = Rectangle((x / w, y / h), 1 / w, 1 / h, fill=False, edgecolor=RED, linewidth=2.5)
    right.add_patch(frame)
    for position in range(m):
        ky, kx = divmod(position, side[1])
        weight = float(s.attention[s.i, position])
        if weight >= 0.01:
            at = ((kx + 0.5) / side[1], (ky + 0.5) / side[0])
            colour = "black" if weight > 0.4 * s.attention[s.i].max() else "white"
            right.text(*at, f"{weight:.2f}", ha="center", va="center", fontsize=7, color=colour)
    right.set_title(f"row i = {s.i} over the picture: where the red pixel looks", fontsize=9)
    right.set_xlabel("the weights of at least 0.01", fontsize=8)
    figure.savefig(path, dpi=DPI)


def draw_out(s: Walk, path: Path, side: tuple[int, int]) -> None:
    """One entry of out as a sum of products, and the channel that it is in."""
    h, w = s.x.shape[1:]
    value, weights = s.value[s.channel].view(side), s.attention[s.i].view(side)
    figure = sheet(10, 3.2)
    axes = figure.subplots(1, 4)
    bound = float(value.abs().max())
    signed(axes[0], value, f"value, channel {s.channel}", bound=bound)
    axes[1].imshow(weights.numpy(), cmap="magma", vmin=0, interpolation="nearest")
    axes[1].set_xticks([])
    axes[1].set_yticks([])
    axes[1].set_title(f"× attention, row i = {s.i}", fontsize=9)
    product = value * weights
    signed(axes[2], product, f"= each pixel's share; their sum: {product.sum():.2f}")
    signed(axes[3], s.out[s.channel].view(h, w), f"out, channel {s.channel}", bound=bound)
    mark(axes[3], s.i, w, RED)
    axes[3].set_xlabel(f"the red entry: {s.out[s.channel, s.i]:.2f}", color=RED, fontsize=8)
    figure.savefig(path, dpi=DPI)


def draw_gamma(s: Walk, path: Path) -> None:
    """The residual connection, on one channel."""
    h, w = s.x.shape[1:]
    x, out = s.x[s.channel], s.out[s.channel].view(h, w)
    figure = sheet(10, 2.9)
    axes = figure.subplots(1, 4)
    signed(axes[0], out, f"out, channel {s.channel}")
    bound = float(max(x.abs().max(), (s.gamma * out + x).abs().max()))
    signed(axes[1], s.gamma * out, f"gamma × out, gamma = {s.gamma:+.3f}", bound=bound)
    signed(axes[2], x, "+ x, what came in", bound=bound)
    signed(axes[3], s.gamma * out + x, "= what goes on", bound=bound)
    figure.savefig(path, dpi=DPI)


def main() -> None:
    """Read the command line and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--label", type=int, default=5, help="the class, where there are any")
    parser.add_argument("--query", type=int, nargs=2, default=(6, 3), metavar=("Y", "X"))
    given = parser.parse_args()
    s = walk(given.run, given.seed, given.label, tuple(given.query))
    stride = round((s.x[0].numel() / s.key.shape[1]) ** 0.5)
    side = (s.x.shape[1] // stride, s.x.shape[2] // stride)  # of the keys
    given.out.mkdir(parents=True, exist_ok=True)
    e, c = len(s.key), len(s.value)
    files = {
        name: given.out / f"attention-{i}-{name}.png"
        for i, name in enumerate(("input", "query", "key", "energy", "softmax", "value", "out"))
    }
    draw_input(s, files["input"])
    draw_query(s, files["query"])
    titles = (f"key_conv(x): {e} channels of {side[0]} × {side[1]}", "proj_key, C × N")
    draw_wide(s, files["key"], s.key, side, titles, list(range(min(e, 8))))
    draw_energy(s, files["energy"], side)
    draw_softmax(s, files["softmax"], side)
    titles = (f"value_conv(x): 8 of {c} channels", "proj_value, C × N")
    strongest = s.value.var(1).argsort(descending=True)[:8].sort().values.tolist()
    draw_wide(s, files["value"], s.value, side, titles, strongest)
    draw_out(s, files["out"], side)
    draw_gamma(s, given.out / "attention-7-gamma.png")


if __name__ == "__main__":
    main()
