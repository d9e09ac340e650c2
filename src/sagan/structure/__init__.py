"""Does a generator join far parts of its pictures? Checkers of the procedural sets, and the score.

Nothing here knows a network: images come in, numbers go out. `docs/structure.md` explains them.
"""

from sagan.structure.error_rates import ErrorRates, error_rates
from sagan.structure.lift import StructureScore, score_structure

__all__ = ["ErrorRates", "StructureScore", "error_rates", "score_structure"]
