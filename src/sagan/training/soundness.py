"""Failing in all processes at once, where a number is no longer finite or else."""

from collections.abc import Mapping

import torch
from torch import Tensor

from sagan.errors import TrainingFailure
from sagan.training.diagnostics import not_finite
from sagan.training.engine import Engine
from sagan.training.state import TrainState, weights_and_gradients


class NumberCheck:
    """Sees within a step that a loss or weight is no longer finite; takes 0.2 % of a small step.

    On a device that works beside the host, a step is looked at after the next has been queued, so
    that neither waits. What is not finite in one process has reached the weights of all, so all see
    it after the same step.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._last: tuple[Tensor, torch.cuda.Event] | None = None

    def ok(self, state: TrainState) -> bool:
        """Take a step in, and say whether all was well."""
        weights = [p.detach() for m in state.modules.values() for p in m.parameters()]
        numbers = list(torch._foreach_norm(weights))
        if self._engine.world_size == 1:  # else the losses are only this process's
            numbers += state.log_sums.values()
        finite = torch.stack([number.float() for number in numbers]).isfinite().all()
        if not finite.is_cuda:
            return bool(finite)
        on_host = torch.empty((), dtype=torch.bool, pin_memory=True)
        on_host.copy_(finite, non_blocking=True)
        copied = torch.cuda.Event()
        copied.record()
        before, self._last = self._last, (on_host, copied)
        if before is None:
            return True
        before[1].synchronize()
        return bool(before[0])


def fail_if(what: str, engine: Engine, because: str = "{}") -> None:
    """Raise TrainingFailure in all processes if there is something wrong in any."""
    if engine.any(bool(what)):
        raise TrainingFailure(because.format(what or "in another process, a number"))


def require_finite_state(state: TrainState, engine: Engine) -> None:
    """The same of the losses since the last log record, the weights and the gradients."""
    losses = (name for name, value in state.log_sums.items() if not value.isfinite())
    require_finite(weights_and_gradients(state), engine, known=next(losses, ""))


def require_finite(
    tensors: Mapping[str, Mapping[str, Tensor]], engine: Engine, known: str = ""
) -> None:
    """Raise TrainingFailure in all processes if a tensor has a NaN or infinite value in any.

    `known` names a number that is known to be none.
    """
    fail_if(known or not_finite(tensors), engine, "{} is no longer finite")
