"""Attention explained: maps, what changes without them, directions, and pages to explore it all.

Each name is imported on first use: the live page's server answers before torch is loaded.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sagan.explain.causal_check import Effects as Effects
    from sagan.explain.causal_check import Verdict as Verdict
    from sagan.explain.causal_check import judge as judge
    from sagan.explain.causal_check import measure_effects as measure_effects
    from sagan.explain.directions import Direction as Direction
    from sagan.explain.directions import pca_directions as pca_directions
    from sagan.explain.directions import sefa_directions as sefa_directions
    from sagan.explain.directions import walk as walk
    from sagan.explain.figures import draw_attention as draw_attention
    from sagan.explain.figures import draw_causal as draw_causal
    from sagan.explain.figures import draw_strips as draw_strips
    from sagan.explain.html_report import write_report as write_report
    from sagan.explain.interventions import gammas as gammas
    from sagan.explain.interventions import intervene as intervene
    from sagan.explain.maps import QueryMaps as QueryMaps
    from sagan.explain.maps import explain_latents as explain_latents
    from sagan.explain.maps import explain_picture as explain_picture
    from sagan.explain.maps import look_at as look_at
    from sagan.explain.maps import query_points as query_points
    from sagan.explain.pictures import ExplainedPicture as ExplainedPicture
    from sagan.explain.pictures import generated_pictures as generated_pictures
    from sagan.explain.pictures import real_picture as real_picture
    from sagan.explain.writing import Explanation as Explanation
    from sagan.explain.writing import explain_run as explain_run

_NAMES = {  # where each name comes from, as above
    "sagan.explain.causal_check": "Effects Verdict judge measure_effects",
    "sagan.explain.directions": "Direction pca_directions sefa_directions walk",
    "sagan.explain.figures": "draw_attention draw_causal draw_strips",
    "sagan.explain.html_report": "write_report",
    "sagan.explain.interventions": "gammas intervene",
    "sagan.explain.maps": "QueryMaps explain_latents explain_picture look_at query_points",
    "sagan.explain.pictures": "ExplainedPicture generated_pictures real_picture",
    "sagan.explain.writing": "Explanation explain_run",
}
_MODULES = {name: module for module, names in _NAMES.items() for name in names.split()}

__all__ = [*_MODULES]


if not TYPE_CHECKING:  # else type checkers would accept any name

    def __getattr__(name: str) -> Any:
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(importlib.import_module(_MODULES[name]), name)
        return value
