"""Steps recorded as CUDA graphs: the host starts a whole step instead of each of its kernels.

A small network's step is a thousand kernels of a few microseconds, which Python and the driver
start more slowly than a GPU runs them. A recorded step does the same arithmetic on the same
addresses, so its inputs are copied into place and its results read before the next one.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from sagan.text import one_line
from sagan.training.memory import is_out_of_memory

Batches = Sequence[Any]  # NamedTuples of tensors, or None
Step = Callable[..., dict[str, Tensor]]  # of sequences of batches

# Steps that run as they are before one is recorded: libraries choose their algorithms in the first
EAGER_STEPS = 3
_REASON_CHARACTERS = 160


class Tape(Protocol):
    """What has been recorded."""

    def replay(self) -> None:
        """Do it again."""


Recorder = Callable[[Callable[[], None]], Tape]  # a function is done only when its tape is replayed


def cuda_recorder() -> Recorder:
    """A recorder of CUDA graphs that share memory: they must be replayed one after the other."""
    pool = torch.cuda.graph_pool_handle()

    def record(function: Callable[[], None]) -> Tape:
        graph = torch.cuda.CUDAGraph()
        # Another thread may be copying a checkpoint to the host meanwhile.
        with torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"):
            function()
        return graph

    return record


class _Recording(NamedTuple):
    tape: Tape
    inputs: list[Tensor]
    results: dict[str, Tensor]
    gradients: list[tuple[nn.Parameter, Tensor | None]]


class Replays:
    """Runs steps, recording each kind once: by name, shapes and number of micro-batches.

    If recording fails, steps go on as they are, and `trouble` says why.

    Args:
        networks: those whose gradients the steps set.
        record: makes a tape; by default one of CUDA graphs.
    """

    def __init__(self, networks: Sequence[nn.Module], record: Recorder | None = None) -> None:
        self.trouble, self._told = "", False
        self._parameters = [p for network in networks for p in network.parameters()]
        self._record = record or cuda_recorder()
        self._recordings: dict[Any, _Recording] = {}
        self._taken: Counter[Any] = Counter()

    def run(self, name: str, step: Step, *groups: Batches) -> dict[str, Tensor]:
        """Return `step(*groups)`; the next call of this name may overwrite the results."""
        if self.trouble:
            return step(*groups)
        given = list(_tensors(groups))
        kind = name, *_signature(groups)
        self._taken[kind] += 1
        if self._taken[kind] <= EAGER_STEPS:
            with _apart(given):
                return step(*groups)
        recording = self._recordings.get(kind)
        if recording is None:
            try:
                recording = self._recordings[kind] = self._recorded(step, groups)
            except RuntimeError as error:
                memory = "out of memory" if is_out_of_memory(error) else ""
                self.trouble = memory or one_line(error, _REASON_CHARACTERS)
                self._recordings.clear()
                return step(*groups)
        torch._foreach_copy_(recording.inputs, given)
        recording.tape.replay()
        for parameter, gradient in recording.gradients:
            parameter.grad = gradient
        return recording.results

    def news(self) -> str:
        """The trouble, once."""
        news, self._told = "" if self._told else self.trouble, bool(self.trouble)
        return news

    def _recorded(self, step: Step, groups: Sequence[Batches]) -> _Recording:
        results: dict[str, Tensor] = {}
        own = [
            [type(batch)(*(None if t is None else t.clone() for t in batch)) for batch in group]
            for group in groups
        ]
        before = [p.grad for p in self._parameters]
        tape = self._record(lambda: results.update(step(*own)))
        gradients = [
            (p, p.grad)
            for p, old in zip(self._parameters, before, strict=True)
            if p.grad is not old  # others are another step's
        ]
        return _Recording(tape, list(_tensors(own)), results, gradients)


def _tensors(groups: Sequence[Batches]) -> Iterator[Tensor]:
    return (t for group in groups for batch in group for t in batch if t is not None)


def _signature(groups: Sequence[Batches]) -> Iterator[Any]:
    for group in groups:
        yield len(group)
        for batch in group:
            yield from (None if t is None else (t.shape, t.stride(), t.dtype) for t in batch)


@contextmanager
def _apart(tensors: Sequence[Tensor]) -> Iterator[None]:
    """Work on another CUDA stream, on which a step must have run before it is recorded."""
    if not tensors or not tensors[0].is_cuda:
        yield
        return
    usual, other = torch.cuda.current_stream(), torch.cuda.Stream()
    other.wait_stream(usual)
    with torch.cuda.stream(other):
        yield
    usual.wait_stream(other)
