"""Attention explained: maps at query points, what happens without them, and latent directions."""

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
from sagan.explain.subjects import Subject, generated_subjects, real_subject

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
]
