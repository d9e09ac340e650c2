"""Failing in all processes at once, where a number is no longer finite or else."""

from collections.abc import Mapping

from torch import Tensor

from sagan.errors import TrainingFailure
from sagan.training.diagnostics import not_finite
from sagan.training.engine import Engine


def fail_if(what: str, engine: Engine, because: str = "{}") -> None:
    """Raise TrainingFailure in all processes if there is something wrong in any."""
    if engine.any(bool(what)):
        raise TrainingFailure(because.format(what or "in another process, a number"))


def require_finite(
    tensors: Mapping[str, Mapping[str, Tensor]], engine: Engine, known: str = ""
) -> None:
    """Raise TrainingFailure in all processes if a tensor has a NaN or infinite value in any.

    `known` names a number that is known to be none.
    """
    fail_if(known or not_finite(tensors), engine, "{} is no longer finite")
