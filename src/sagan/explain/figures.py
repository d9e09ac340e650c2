"""Figures of attention: an image with coloured query points, and a map for each.

Dimensions: c channels, h w the image's sides.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from sagan.explain.maps import QueryMaps

_COLOURS = ("#e6194b", "#3cb44b", "#4363d8", "#f58231", "#911eb4", "#008080", "#9a6324", "#000075")


def draw_attention(
    path: Path, examples: Sequence[tuple[str, Tensor, Sequence[QueryMaps]]], *, title: str
) -> None:
    """Draw images and, at query points of each, where one network's attention looks.

    Every layer is a row: the image with the query points in colour, then one map a point, framed in
    the point's colour, with the point marked. Maps are drawn over the greyed image; dark is no
    attention, bright is the most of that map.

    Args:
        path: the PNG to write.
        examples: for each image a caption, the image (uint8 `c h w`) and its layers' maps; all with
            the same number of layers and points.
        title: above the figure.
    """
    from matplotlib.figure import Figure

    rows = [(caption, image, maps) for caption, image, layers in examples for maps in layers]
    columns = 1 + len(rows[0][2].points)
    figure = Figure(figsize=(1.9 * columns, 1.95 * len(rows) + 0.5), layout="constrained")
    figure.suptitle(title, fontsize=11)
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for row, (caption, image, maps) in zip(axes, rows, strict=True):
        _draw_queries(row[0], caption, image, maps)
        for axis, weights, point, colour in zip(
            row[1:], maps.maps, maps.points, _COLOURS, strict=False
        ):
            _draw_map(axis, image, weights, point, colour)
    figure.savefig(path, dpi=110)


def _draw_queries(axis: Any, caption: str, image: Tensor, maps: QueryMaps) -> None:
    _show(axis, image)
    attention = maps.attention
    side = f"{attention.height}×{attention.width}"
    axis.set_title(f"{caption}\n{side}, γ = {attention.gamma:+.3f}", fontsize=8)
    for (y, x), colour in zip(maps.points, _COLOURS, strict=False):
        _mark(axis, y, x, colour)


def _draw_map(
    axis: Any, image: Tensor, weights: Tensor, point: tuple[float, float], colour: str
) -> None:
    grey = image.float().mean(0, keepdim=True)
    _show(axis, grey)
    axis.imshow(
        weights.numpy(),
        cmap="magma",
        extent=(0, 1, 1, 0),
        alpha=0.8,
        vmin=0,
        interpolation="nearest",
    )
    _mark(axis, *point, colour)
    for spine in axis.spines.values():
        spine.set_color(colour)
        spine.set_linewidth(2.5)
    axis.set_title(f"peak {weights.max():.2f}", fontsize=7)


def _show(axis: Any, image: Tensor) -> None:
    pixels = image.permute(1, 2, 0).numpy()
    if pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    axis.imshow(pixels, cmap="gray", vmin=0, vmax=255, extent=(0, 1, 1, 0), interpolation="nearest")
    axis.set_xticks([])
    axis.set_yticks([])


def _mark(axis: Any, y: float, x: float, colour: str) -> None:
    axis.plot(x, y, "o", markersize=8, color=colour, markeredgecolor="white", markeredgewidth=1.5)
