"""Attention explained: maps, what happens without them, directions, and pages to explore it all.

Each name is imported on first use: the live page's server answers before torch is there.
"""

import importlib
from typing import TYPE_CHECKING, Any

_NAMES = {
    "Direction": "directions",
    "Effects": "effects",
    "QueryMaps": "maps",
    "Subject": "subjects",
    "Verdict": "effects",
    "draw_attention": "figures",
    "draw_causal": "figures",
    "draw_strips": "figures",
    "explain_image": "maps",
    "explain_subject": "maps",
    "gammas": "causal",
    "generated_subjects": "subjects",
    "intervene": "causal",
    "judge": "effects",
    "look_at": "maps",
    "measure_effects": "effects",
    "pca_directions": "directions",
    "query_points": "maps",
    "real_subject": "subjects",
    "sefa_directions": "directions",
    "walk": "directions",
    "write_report": "report",
}

__all__ = [
    "Direction",
    "Effects",
    "QueryMaps",
    "Subject",
    "Verdict",
    "draw_attention",
    "draw_causal",
    "draw_strips",
    "explain_image",
    "explain_subject",
    "gammas",
    "generated_subjects",
    "intervene",
    "judge",
    "look_at",
    "measure_effects",
    "pca_directions",
    "query_points",
    "real_subject",
    "sefa_directions",
    "walk",
    "write_report",
]

if TYPE_CHECKING:
    from sagan.explain.causal import gammas, intervene
    from sagan.explain.directions import Direction, pca_directions, sefa_directions, walk
    from sagan.explain.effects import Effects, Verdict, judge, measure_effects
    from sagan.explain.figures import draw_attention, draw_causal, draw_strips
    from sagan.explain.maps import (
        QueryMaps,
        explain_image,
        explain_subject,
        look_at,
        query_points,
    )
    from sagan.explain.report import write_report
    from sagan.explain.subjects import Subject, generated_subjects, real_subject


def __getattr__(name: str) -> Any:
    if name not in _NAMES:
        raise AttributeError(f"module 'sagan.explain' has no attribute {name!r}")
    return getattr(importlib.import_module(f"sagan.explain.{_NAMES[name]}"), name)
