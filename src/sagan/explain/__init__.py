"""Attention explained: maps at query points, what happens without them, and pages to explore both.

Each name is imported on first use, so that the live page's server can start before torch is there.
"""

import importlib
from typing import TYPE_CHECKING, Any

_NAMES = {
    "QueryMaps": "maps",
    "draw_attention": "figures",
    "explain_image": "maps",
    "gammas": "causal",
    "intervene": "causal",
    "query_points": "maps",
    "write_report": "report",
}

__all__ = [
    "QueryMaps",
    "draw_attention",
    "explain_image",
    "gammas",
    "intervene",
    "query_points",
    "write_report",
]

if TYPE_CHECKING:
    from sagan.explain.causal import gammas, intervene
    from sagan.explain.figures import draw_attention
    from sagan.explain.maps import QueryMaps, explain_image, query_points
    from sagan.explain.report import write_report


def __getattr__(name: str) -> Any:
    if name not in _NAMES:
        raise AttributeError(f"module 'sagan.explain' has no attribute {name!r}")
    return getattr(importlib.import_module(f"sagan.explain.{_NAMES[name]}"), name)
