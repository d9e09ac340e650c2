"""Attention explained: maps, what happens without them, directions, and pages to explore it all.

Each name is imported on first use: the live page's server answers before torch is loaded.
"""

import importlib
from typing import TYPE_CHECKING, Any

_NAMES = {
    "Direction": "directions",
    "Effects": "causal_check",
    "ExplainedPicture": "pictures",
    "Explanation": "writing",
    "QueryMaps": "maps",
    "Verdict": "causal_check",
    "draw_attention": "figures",
    "draw_causal": "figures",
    "draw_strips": "figures",
    "explain_latents": "maps",
    "explain_picture": "maps",
    "explain_run": "writing",
    "gammas": "interventions",
    "generated_pictures": "pictures",
    "intervene": "interventions",
    "judge": "causal_check",
    "look_at": "maps",
    "measure_effects": "causal_check",
    "pca_directions": "directions",
    "query_points": "maps",
    "real_picture": "pictures",
    "sefa_directions": "directions",
    "walk": "directions",
    "write_report": "html_report",
}

__all__ = [
    "Direction",
    "Effects",
    "ExplainedPicture",
    "Explanation",
    "QueryMaps",
    "Verdict",
    "draw_attention",
    "draw_causal",
    "draw_strips",
    "explain_latents",
    "explain_picture",
    "explain_run",
    "gammas",
    "generated_pictures",
    "intervene",
    "judge",
    "look_at",
    "measure_effects",
    "pca_directions",
    "query_points",
    "real_picture",
    "sefa_directions",
    "walk",
    "write_report",
]

if TYPE_CHECKING:
    from sagan.explain.causal_check import Effects, Verdict, judge, measure_effects
    from sagan.explain.directions import Direction, pca_directions, sefa_directions, walk
    from sagan.explain.figures import draw_attention, draw_causal, draw_strips
    from sagan.explain.html_report import write_report
    from sagan.explain.interventions import gammas, intervene
    from sagan.explain.maps import (
        QueryMaps,
        explain_latents,
        explain_picture,
        look_at,
        query_points,
    )
    from sagan.explain.pictures import ExplainedPicture, generated_pictures, real_picture
    from sagan.explain.writing import Explanation, explain_run


def __getattr__(name: str) -> Any:
    if name not in _NAMES:
        raise AttributeError(f"module 'sagan.explain' has no attribute {name!r}")
    return getattr(importlib.import_module(f"sagan.explain.{_NAMES[name]}"), name)
