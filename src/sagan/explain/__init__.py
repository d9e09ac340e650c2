"""Attention explained: maps at query points, and what happens without them."""

from sagan.explain.causal import attention_off
from sagan.explain.figures import draw_attention
from sagan.explain.maps import QueryMaps, explain_image, query_points

__all__ = ["QueryMaps", "attention_off", "draw_attention", "explain_image", "query_points"]
