"""Attention explained: maps at query points, and what happens without them."""

from sagan.explain.causal import gammas, intervene
from sagan.explain.figures import draw_attention
from sagan.explain.maps import QueryMaps, explain_image, query_points

__all__ = [
    "QueryMaps",
    "draw_attention",
    "explain_image",
    "gammas",
    "intervene",
    "query_points",
]
