"""Reads the residual blocks, and the attention between them, that four of the peers share."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sagan.peers.tensors import State, Tensors

ReadNorm = Callable[[Tensors, str, str], State]  # of the file, their name of the norm, and ours


@dataclass(frozen=True)
class Names:
    """What a peer calls the parts of a block and of an attention layer, by our names."""

    block: Mapping[str, str]  # conv1, conv2, shortcut
    norm: str  # the beginning of a norm's name, before its number
    attention: Mapping[str, str]  # query, key, value, output
    gamma: str = "gamma"


def read_blocks(
    tensors: Tensors,
    names: Names,
    blocks: Sequence[str],
    attention: Mapping[int, str],
    read_norm: ReadNorm | None = None,
) -> State:
    """Read blocks, and attention by the number of the block before it; only G's have norms."""
    state: State = {}
    for i, theirs in enumerate(blocks):
        for ours, name in names.block.items():
            if ours != "shortcut" or tensors.has(f"{theirs}.{name}."):
                state |= tensors.layer(f"{theirs}.{name}", f"blocks.{i}.{ours}")
        if read_norm is not None:
            for number in (1, 2):
                norm = f"blocks.{i}.norm{number}.norm"
                state |= read_norm(tensors, f"{theirs}.{names.norm}{number}", norm)
    for i, theirs in attention.items():
        state |= tensors.attention(theirs, names.attention, f"attention.{i}", gamma=names.gamma)
    return state


def in_one_list(
    tensors: Tensors, pattern: str, names: Names, *, before: Sequence[str] = ()
) -> tuple[list[str], dict[int, str]]:
    """Tell blocks from attention where one list, `blocks.{}.0`, numbers both; for `read_blocks`."""
    # `before` holds the names of blocks that come before the list
    blocks, attention = list(before), {}
    for i in range(tensors.count(f"{pattern}.")):
        name = pattern.format(i)
        if tensors.has(f"{name}.{names.gamma}"):
            attention[len(blocks) - 1] = name
        else:
            blocks.append(name)
    return blocks, attention
