"""Figures: attention maps at coloured query points, what interventions change, and strips.

Dimensions: c channels, h w the image's sides.
"""

from collections.abc import Sequence
from pathlib import Path
from textwrap import wrap
from typing import Any

import torch
from torch import Tensor

from sagan.explain.causal_check import Effects
from sagan.explain.maps import QueryMaps
from sagan.explain.strips import Strip, StripGroup
from sagan.files import write_atomically
from sagan.images import figure_png

COLOURS = ("#e6194b", "#3cb44b", "#4363d8", "#f58231", "#911eb4", "#008080", "#9a6324", "#000075")
_TITLES = {  # of the interventions
    "gamma-0": "without attention (gamma 0)",
    "uniform": "uniform maps",
    "hidden-most": "hidden: what the query attends to most",
    "hidden-others": "hidden: as many other keys",
    "hidden-region": "hidden: the region",
}
_DPI = 110
_DIMMED = 0.55  # a picture's brightness under a map
_FULL_COLOUR = 64.0  # the difference in grey levels that is drawn in full colour
_LINE_CHARACTERS = 170  # where the verdicts wrap
_STRIP_STEP = 1.08  # from one picture of a strip to the next, in picture widths


def draw_attention(
    path: Path, examples: Sequence[tuple[str, Tensor, Sequence[QueryMaps]]], *, title: str
) -> None:
    """Draw where one network's attention looks from each image's query points, as a PNG."""
    # An example is a caption, an image (uint8 `c h w`) and its layers' maps; all have the same
    # number of layers and points. Every layer is a row: the image with the query points in colour,
    # then one map for each, framed in its colour. Maps lie over the greyed image: no colour is no
    # attention, bright yellow is the map's peak. A pooled key covers all of its pixels.
    write_atomically(path, figure_png(attention_figure(examples, title=title), dpi=_DPI))


def attention_figure(
    examples: Sequence[tuple[str, Tensor, Sequence[QueryMaps]]], *, title: str
) -> Any:
    """Make the figure that `draw_attention` saves."""
    from matplotlib.figure import Figure

    rows = [(caption, image, maps) for caption, image, layers in examples for maps in layers]
    columns = 1 + len(rows[0][2].points)
    figure = Figure(figsize=(1.9 * columns, 2.2 * len(rows) + 0.5), layout="constrained")
    figure.suptitle(title, fontsize=11)
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for row, (caption, image, maps) in zip(axes, rows, strict=True):
        _draw_queries(row[0], caption, image, maps)
        for axis, weights, point, colour in zip(
            row[1:], maps.maps, maps.points, COLOURS, strict=False
        ):
            _draw_map(axis, image, weights, point, colour)
    return figure


def _draw_queries(axis: Any, caption: str, image: Tensor, maps: QueryMaps) -> None:
    show(axis, image)
    attention = maps.attention
    side = f"{attention.height}×{attention.width}"
    axis.set_title(f"{caption}\n{side}, γ = {attention.gamma:+.3f}", fontsize=8)
    for point, colour in zip(maps.points, COLOURS, strict=False):
        _mark(axis, point, colour)


def _draw_map(
    axis: Any, image: Tensor, weights: Tensor, point: tuple[float, float], colour: str
) -> None:
    show(axis, (image.float().mean(0, keepdim=True) * _DIMMED).to(torch.uint8))
    lay_over(axis, weights)
    _mark(axis, point, colour)
    _frame(axis, colour, 2.5)
    peak = weights.max().item()
    axis.set_title(f"peak {peak:.2g}, {peak * weights.numel():.2g}× uniform", fontsize=7)


def lay_over(axis: Any, weights: Tensor) -> None:
    """Lay a map `kh kw` over the picture that an axis shows, more opaque for more attention."""
    share = (weights / weights.max()).numpy()
    axis.imshow(
        0.4 + 0.6 * share,  # the bright part of the colours; the faint part is left to alpha
        cmap="plasma",
        extent=(0, 1, 1, 0),
        alpha=share**0.5,
        vmin=0,
        vmax=1,
        interpolation="nearest",
    )


def show(axis: Any, image: Tensor, *, left: float = 0.0) -> None:
    """Show an image, uint8 `c h w`, over the unit square, y down, or over one further right."""
    pixels = image.permute(1, 2, 0).numpy()
    if pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    extent = (left, left + 1, 1, 0)
    axis.imshow(pixels, cmap="gray", vmin=0, vmax=255, extent=extent, interpolation="nearest")
    axis.set_xticks([])
    axis.set_yticks([])


def _mark(axis: Any, point: tuple[float, float], colour: str, size: float = 8) -> None:
    y, x = point
    axis.plot(
        x, y, "o", markersize=size, color=colour, markeredgecolor="white", markeredgewidth=1.5
    )


def _frame(axis: Any, colour: str, width: float) -> None:
    for spine in axis.spines.values():
        spine.set_color(colour)
        spine.set_linewidth(width)


def draw_causal(
    path: Path, checked: Sequence[tuple[str, Sequence[Effects]]], sentences: Sequence[str]
) -> None:
    """Draw what each intervention changes, G's pictures and D's logits, above the sentences."""
    from matplotlib.figure import Figure

    g = [(caption, e) for caption, found in checked for e in found if e.network == "G"]
    d = [(caption, e) for caption, found in checked for e in found if e.network == "D"]
    heights = [1.75 * len(g) + 0.6] * bool(g) + [0.42 * len(d) + 1.5] * bool(d)
    figure = Figure(figsize=(13, sum(heights) + 0.6), layout="constrained")
    figure.suptitle("What changes when attention is changed", fontsize=12)
    lines = [line for sentence in sentences for line in wrap(sentence, _LINE_CHARACTERS)]
    figure.supxlabel("\n".join(lines), fontsize=9)
    parts = iter(figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0])
    if g:
        _draw_pictures(next(parts), g)
    if d:
        _draw_logits(next(parts).subplots(), d)
    write_atomically(path, figure_png(figure, dpi=_DPI))


def _draw_pictures(part: Any, effects: Sequence[tuple[str, Effects]]) -> None:
    names = list(effects[0][1].changes)
    axes = part.subplots(len(effects), 1 + 2 * len(names), squeeze=False)
    for axis, name in zip(axes[0, 1::2], names, strict=True):
        axis.set_title(_TITLES[name], fontsize=8, loc="left")
    for row, (caption, e) in zip(axes, effects, strict=True):
        show(row[0], e.before)
        _mark(row[0], e.query, COLOURS[0], 6)
        row[0].set_title(caption, fontsize=8)
        row[0].set_xlabel(f"another seed: {e.reference:.1f}", fontsize=7)
        for i, change in enumerate(e.changes.values()):
            picture, difference = row[1 + 2 * i : 3 + 2 * i]
            show(picture, change.after)
            if change.hidden is not None:
                _hatch(picture, change.hidden)
                _mark(picture, e.query, COLOURS[0], 6)
            _show_difference(difference, (change.after.float() - e.before.float()).mean(0))
            note = f"{change.amount:.1f} = {change.relative:.0%}\nat queries {change.at_query:.1f}"
            difference.set_xlabel(note, fontsize=7)
    part.suptitle(
        "Generator: the picture, and its difference (red brighter, blue darker). Below: the mean "
        "absolute difference in grey levels of 255, and as a share of another seed's",
        fontsize=9,
    )


def _show_difference(axis: Any, difference: Tensor) -> None:
    bound, extent = _FULL_COLOUR, (0, 1, 1, 0)
    axis.imshow(difference.numpy(), cmap="RdBu_r", vmin=-bound, vmax=bound, extent=extent)
    axis.set_xticks([])
    axis.set_yticks([])


def _hatch(axis: Any, hidden: Tensor) -> None:
    from matplotlib.patches import Rectangle

    h, w = hidden.shape
    for y, x in hidden.nonzero().tolist():
        cell = Rectangle((x / w, y / h), 1 / w, 1 / h, hatch="////", fill=False, edgecolor="orange")
        cell.set_linewidth(0)
        axis.add_patch(cell)


def _draw_logits(axis: Any, effects: Sequence[tuple[str, Effects]]) -> None:
    for row, (_, e) in enumerate(effects):
        before = e.before.item()
        band = axis.barh(row, 2 * e.reference, left=before - e.reference, color="0.88", height=0.8)
        axis.plot([before] * 2, [row - 0.4, row + 0.4], color="black", linewidth=2)
        for i, (name, change) in enumerate(e.changes.items()):
            offset = 0.15 * (i - (len(e.changes) - 1) / 2)
            label = _TITLES[name] if row == 0 else None
            after = change.after.item()
            axis.plot([before, after], [row + offset] * 2, color=COLOURS[i], linewidth=1)
            axis.plot(after, row + offset, "o", color=COLOURS[i], markersize=5, label=label)
        if row == 0:
            band.set_label("± what another seed changes")
    axis.set_yticks(range(len(effects)), [caption for caption, _ in effects], fontsize=8)
    axis.invert_yaxis()
    axis.tick_params(axis="x", labelsize=8)
    axis.grid(axis="x", alpha=0.25)
    axis.set_title("Discriminator: its logit (black) and where each change moves it", fontsize=9)
    axis.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)


def draw_strips(path: Path, groups: Sequence[StripGroup]) -> None:
    """Draw strips of pictures, group under group; all strips have the same length."""
    from matplotlib.figure import Figure

    columns = len(groups[0].strips[0].images)
    heights = [0.95 * len(group.strips) + 0.5 for group in groups]
    figure = Figure(figsize=(columns + 2.0, sum(heights)), layout="constrained")
    parts = figure.subfigures(len(groups), 1, height_ratios=heights, squeeze=False)[:, 0]
    for part, group in zip(parts, groups, strict=True):
        part.suptitle(group.title, fontsize=10)
        axes = part.subplots(len(group.strips), 1, squeeze=False)[:, 0]
        for axis, strip in zip(axes, group.strips, strict=True):
            _draw_strip(axis, strip)
        centres = [i * _STRIP_STEP + 0.5 for i in range(len(group.columns))]
        axes[0].set_xticks(centres, group.columns, fontsize=7)
        axes[0].tick_params(top=True, labeltop=True, bottom=False, labelbottom=False, length=0)
    write_atomically(path, figure_png(figure, dpi=_DPI))


def _draw_strip(axis: Any, strip: Strip) -> None:
    """Draw all pictures of a strip in one axis: many axes are slow to draw."""
    for i, image in enumerate(strip.images):
        show(axis, image, left=i * _STRIP_STEP)
    axis.set_xlim(0, (len(strip.images) - 1) * _STRIP_STEP + 1)
    axis.set_frame_on(False)
    axis.set_ylabel(strip.title, fontsize=8, rotation=0, ha="right", va="center")
    axis.text(1.01, 0.5, strip.note, fontsize=7, va="center", transform=axis.transAxes)
