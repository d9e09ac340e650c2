"""Recognise the errors of torch.compile, and find out whether it works in this process."""

import copy

import torch
from torch import nn

from sagan.training.engine import Engine
from sagan.training.step import GeneratorBatch

_COMPILERS = ("torch._dynamo", "torch._functorch", "torch._inductor", "triton")
_REASON_CHARACTERS = 160


def is_compiler_error(error: BaseException) -> bool:
    """Whether the compiler raised an error, rather than the program that it compiled.

    Example:
        >>> from torch._dynamo.exc import Unsupported
        >>> is_compiler_error(Unsupported("a call")), is_compiler_error(OSError("no disk"))
        (True, False)
    """
    return any(kind.__module__.startswith(_COMPILERS) for kind in type(error).__mro__)


def reason(error: BaseException) -> str:
    """A compiler's error in one line, unwrapped."""
    error = getattr(error, "inner_exception", error)
    return f"{type(error).__name__}: {' '.join(str(error).split())[:_REASON_CHARACTERS]}"


def try_compiling(
    generator: nn.Module, discriminator: nn.Module, batch: GeneratorBatch, engine: Engine
) -> str:
    """Compile and run copies of both networks, forward and backward, without other processes.

    Returns why the compiler failed, or an empty string.
    """
    try:
        G, D = (torch.compile(copy.deepcopy(network)) for network in (generator, discriminator))
        with engine.autocast():
            loss = D(G(batch.latents, batch.labels), batch.labels).sum()
        loss.backward()
    except Exception as error:
        if not is_compiler_error(error):
            raise
        return reason(error)
    return ""
