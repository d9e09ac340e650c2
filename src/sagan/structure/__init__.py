"""Does a generator join far parts of its pictures? Checkers of the procedural sets, and the score.

Nothing here knows a network: images come in, numbers go out. `docs/structure.md` explains them.
"""

from sagan.structure.score import StructureScore, score_structure
from sagan.structure.selftest import ErrorRates, error_rates

__all__ = ["ErrorRates", "StructureScore", "error_rates", "score_structure"]
