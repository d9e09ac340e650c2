"""The report: one HTML file with images and all their maps in it, for any browser, offline."""

import base64
import math
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from sagan.explain.bundle import Layer, pack_bundle
from sagan.explain.history import Course
from sagan.explain.maps import QueryMaps
from sagan.explain.page import assemble
from sagan.files import write_atomically

MAX_BYTES = 10_000_000
_TEXT_BYTES = 100_000  # room for title and history
_MAX_HISTORY_POINTS = 200


def write_report(
    path: Path,
    examples: Sequence[tuple[str, Tensor, Sequence[QueryMaps]]],
    *,
    title: str,
    about: str = "",  # a line below the title
    verdicts: Sequence[str] = (),  # the causal check's sentences
    history: Mapping[str, Mapping[str, Course]] | None = None,
    max_bytes: int = MAX_BYTES,
) -> None:
    """Write images with the maps of all their queries as one HTML file that loads nothing else."""
    # An example is a caption, an image (uint8 `c h w`) and its layers' maps; those without maps are
    # skipped. 16 images of 32 px with maps of 1024 queries and 256 keys in G and D fit whole. If
    # the maps do not fit into `max_bytes`, each keeps every second, fourth, ... query of each row
    # and column, and the page goes from one kept query to the next.
    examples = [example for example in examples if example[2]]
    if not examples:
        raise ValueError("there is no attention to report on")
    packed = _pack_within(examples, max_bytes)
    data: dict[str, Any] = {"mode": "report", "about": about, "verdicts": list(verdicts)}
    data["history"] = history_lines(history or {})
    page = assemble(data, title=title, bundles=packed).html.encode()
    if len(page) > max_bytes:
        raise ValueError(
            f"{len(examples)} images take {len(page):,} bytes, more than the report's "
            f"{max_bytes:,}: take fewer"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, page)


def _pack_within(
    examples: Sequence[tuple[str, Tensor, Sequence[QueryMaps]]], max_bytes: int
) -> list[str]:
    """Pack each example, with queries thinned until all of them fit."""
    empty = assemble({"mode": "report"}, title="").html
    room = max_bytes - len(empty.encode()) - _TEXT_BYTES
    limit: float = max(
        math.prod(maps.attention.shape[1:]) for _, _, all_maps in examples for maps in all_maps
    )
    while True:
        first = _compressed(examples[0], limit)
        if len(first) * len(examples) <= 1.1 * room or limit <= 1:  # the others may be smaller
            packed = [first, *(_compressed(example, limit) for example in examples[1:])]
            if sum(map(len, packed)) <= room or limit <= 1:
                return packed
        limit //= 4  # half the rows, half the columns


def _compressed(example: tuple[str, Tensor, Sequence[QueryMaps]], max_map_bytes: float) -> str:
    caption, image, all_maps = example
    bundle = pack_bundle(
        {"picture": image},
        [Layer(maps.network, maps.layer, maps.attention) for maps in all_maps],
        {"caption": caption, "points": list(all_maps[0].points)},
        max_map_bytes=max_map_bytes,
    )
    return base64.b64encode(zlib.compress(bundle, 6)).decode()


def history_lines(history: Mapping[str, Mapping[str, Course]]) -> list[dict[str, Any]]:
    """Each layer's gamma and entropy over training in the page's format, thinned for a plot."""
    return [
        {
            "key": name.partition(",")[0],
            **{number: _thinned(layer[number]) for number in ("gamma", "entropy")},
        }
        for name, layer in history.items()
    ]


def _thinned(course: Course) -> list[list[float]]:
    points = [[i, v] for i, v in zip(*course, strict=True) if math.isfinite(v)]
    step = max(1, math.ceil(len(points) / _MAX_HISTORY_POINTS))
    return [*points[:-1:step], *points[-1:]]
