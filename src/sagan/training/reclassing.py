"""Other classes for the networks that there are: tables remapped by the classes' names.

Dimensions: k classes, c channels.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

State = dict[str, Tensor]

_CLASS_NORM = r"(.*\.norm[12]\.norm)\."  # a ClassNorm's inner norm
_TABLE = re.compile(_CLASS_NORM + r"(gain|bias)\.weight")
_TABLE_STATISTIC = re.compile(_CLASS_NORM + r"norm\.(running_mean|running_var|num_batches_tracked)")
_PLAIN = re.compile(_CLASS_NORM + r"(weight|bias|running_mean|running_var|num_batches_tracked)")
_EMBEDDING = "embedding.layer.weight"


@dataclass(frozen=True)
class Classes:
    """Where the classes come from.

    Args:
        known: for each new class the label that it had, or None; empty when unconditional now.
        before: how many there were; 0 when unconditional.
    """

    known: tuple[int | None, ...]
    before: int

    @classmethod
    def by_name(cls, old: Sequence[str], new: Sequence[str]) -> "Classes":
        """Match classes by their names.

        Example:
            >>> Classes.by_name(["cat", "dog"], ["dog", "owl"])
            Classes(known=(1, None), before=2)
        """
        labels = {name: label for label, name in enumerate(old)}
        return cls(tuple(labels.get(name) for name in new), len(old))

    @property
    def same(self) -> bool:
        """Whether every table is as it was."""
        return self.known == tuple(range(self.before))

    @property
    def any_known(self) -> bool:
        """Whether any class was there before."""
        return any(label is not None for label in self.known)

    def rows(self, table: Tensor, unknown: Tensor) -> Tensor:
        """Take a table's rows `k ...` for the new classes, `unknown` for those that it lacks."""
        return torch.stack([unknown if i is None else table[i] for i in self.known])


def reclassed(state: State, classes: Classes) -> State:
    """Give a network's state its new classes: rows by name, the mean of all for a new one.

    A network that loses its classes normalises by their mean; one that gets some begins with all
    alike in the generator, and without an embedding in the discriminator.
    """
    if classes.same:
        return state
    result = {}
    for name, tensor in state.items():
        if classes.before and name.startswith("embedding."):
            continue
        table, statistic, plain = (p.fullmatch(name) for p in (_TABLE, _TABLE_STATISTIC, _PLAIN))
        if table and classes.known:
            tensor = classes.rows(tensor, tensor.mean(0))
        elif table:
            shift = 1 if table[2] == "gain" else 0
            name = f"{table[1]}.{'weight' if shift else 'bias'}"
            tensor = tensor.mean(0) + shift
        elif statistic and not classes.known:
            name = f"{statistic[1]}.{statistic[2]}"
        elif plain and not classes.before:
            name, tensor = _conditional(plain[1], plain[2], tensor, len(classes.known))
        result[name] = tensor
    if classes.known and _EMBEDDING in state:
        rows = classes.rows(state[_EMBEDDING], state[_EMBEDDING].mean(0))
        v = state["embedding.v"]  # of the columns, which are as they were
        u = torch.nn.functional.normalize(torch.mv(rows, v), dim=0)
        result |= {_EMBEDDING: rows, "embedding.u": u, "embedding.v": v}
    return result


def _conditional(norm: str, what: str, tensor: Tensor, classes: int) -> tuple[str, Tensor]:
    """Name and make what stands for a plain norm's tensor in one with classes."""
    if what == "weight":
        return f"{norm}.gain.weight", (tensor - 1).expand(classes, -1).clone()
    if what == "bias":
        return f"{norm}.bias.weight", tensor.expand(classes, -1).clone()
    return f"{norm}.norm.{what}", tensor


def reclassed_moments(moments: State, classes: Classes) -> State:
    """Give Adam's state its new classes: those of rows that stay; a new row has none before it.

    Its second moment begins at the mean of the others: at 0, and with the steps that the table has
    taken, its first update would be some 30 times too large.
    """
    if classes.same:
        return moments
    result = {}
    for name, tensor in moments.items():
        parameter, _, kind = name.rpartition(".")
        if _TABLE.fullmatch(parameter) or parameter == _EMBEDDING:
            if not classes.any_known:
                continue
            if kind != "step":
                known = [i for i in classes.known if i is not None]
                mean = tensor[known].mean(0)
                unknown = mean if kind == "exp_avg_sq" else torch.zeros_like(mean)
                tensor = classes.rows(tensor, unknown)
        elif _PLAIN.fullmatch(parameter) and not classes.before:
            continue
        result[name] = tensor
    return result
