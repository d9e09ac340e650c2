"""Procedural data sets, each with a rule that joins far parts of a picture: `docs/structure.md`."""

from sagan.data.procedural.sets import PROCEDURAL, RESOLUTIONS_PX, procedural_source, render

__all__ = ["PROCEDURAL", "RESOLUTIONS_PX", "procedural_source", "render"]
