"""Remap class-conditional tables to a new set of classes, by name.

Dimensions: k classes, c channels.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

State = dict[str, Tensor]

_CLASS_NORM = r"(.*\.norm[12]\.norm)\."  # a ClassNorm's inner norm
_INPUT = "class_input.weight"
_TABLE = re.compile(_CLASS_NORM + r"(gain|bias)\.weight|" + re.escape(_INPUT))
_TABLE_STATISTIC = re.compile(_CLASS_NORM + r"norm\.(running_mean|running_var|num_batches_tracked)")
_PLAIN = re.compile(_CLASS_NORM + r"(weight|bias|running_mean|running_var|num_batches_tracked)")
EMBEDDING = "embedding.layer.weight"


@dataclass(frozen=True)
class Classes:
    """Where each new class comes from."""

    known: tuple[int | None, ...]  # each new class's old label, or None; empty if unconditional now
    before: int  # the number of old classes; 0 if unconditional

    @classmethod
    def by_name(cls, old: Sequence[str], new: Sequence[str]) -> "Classes":
        """Match classes by name.

        Example:
            >>> Classes.by_name(["cat", "dog"], ["dog", "owl"])
            Classes(known=(1, None), before=2)
        """
        labels = {name: label for label, name in enumerate(old)}
        return cls(tuple(labels.get(name) for name in new), len(old))

    @property
    def same(self) -> bool:
        """Whether every table stays as it is."""
        return self.known == tuple(range(self.before))

    @property
    def any_known(self) -> bool:
        """Whether any class is an old one."""
        return any(label is not None for label in self.known)

    def rows(self, table: Tensor, new: Tensor) -> Tensor:
        """A table's rows for known classes, and those of `new` for the others."""
        pairs = zip(self.known, new, strict=True)
        return torch.stack([row if label is None else table[label] for label, row in pairs])


def reclassed(state: State, classes: Classes, fresh: State) -> State:
    """Remap a network's state to new classes; new names get the rows of `fresh`, a new network's.

    A network that loses its classes keeps their mean. One that gains classes starts with all of
    them alike in the generator, and with a fresh embedding in the discriminator.
    """
    if classes.same:
        return state
    result = {}
    for name, tensor in state.items():
        if classes.before and name.startswith("embedding."):
            continue
        table, statistic, plain = (p.fullmatch(name) for p in (_TABLE, _TABLE_STATISTIC, _PLAIN))
        if table and classes.known:
            if name not in fresh or fresh[name].shape[1:] != tensor.shape[1:]:
                continue  # of a block without a place in the new network
            tensor = classes.rows(tensor, fresh[name])
        elif name == _INPUT:
            continue
        elif table:
            shift = 1 if table[2] == "gain" else 0
            name = f"{table[1]}.{'weight' if shift else 'bias'}"
            tensor = tensor.mean(0) + shift
        elif statistic and not classes.known:
            name = f"{statistic[1]}.{statistic[2]}"
        elif plain and not classes.before:
            name, tensor = _conditional(plain[1], plain[2], tensor, len(classes.known))
        result[name] = tensor
    if _INPUT in state and not classes.known:
        result |= _seed_of_all(state, state[_INPUT].mean(0))
    if classes.known and EMBEDDING in state:
        result |= _embedding(state, classes, fresh[EMBEDDING])
    return result


def _seed_of_all(state: State, shift: Tensor) -> State:
    """What the 4x4 seed starts from, shifted by a map that no class adds any more."""
    names = {"linear.layer.bias", "linear.bias", "noise.constant"} & state.keys()
    return {name: state[name] + shift.view_as(state[name]) for name in names}


def _embedding(state: State, classes: Classes, fresh: Tensor) -> State:
    """Remap the discriminator's embedding; new rows are scaled to the old rows' norm."""
    table, v = state[EMBEDDING], state["embedding.v"]  # v belongs to the columns, which stay
    if fresh.shape[1:] != table.shape[1:]:
        return {}
    size = table.norm(dim=1).mean() / fresh.norm(dim=1).mean()
    rows = classes.rows(table, fresh * size)
    u = torch.nn.functional.normalize(torch.mv(rows, v), dim=0)
    return {EMBEDDING: rows, "embedding.u": u, "embedding.v": v}


def _conditional(norm: str, what: str, tensor: Tensor, classes: int) -> tuple[str, Tensor]:
    """The name and tensor of a conditional norm that replace a plain norm's."""
    if what == "weight":
        return f"{norm}.gain.weight", (tensor - 1).expand(classes, -1).clone()
    if what == "bias":
        return f"{norm}.bias.weight", tensor.expand(classes, -1).clone()
    return f"{norm}.norm.{what}", tensor


def reclassed_moments(moments: State, classes: Classes) -> State:
    """Remap Adam's state to new classes; a new row starts without momentum.

    Its second moment is the mean of the others': at 0, with the table's step count, its first
    update would be some 30 times too large.
    """
    if classes.same:
        return moments
    result = {}
    for name, tensor in moments.items():
        parameter, _, kind = name.rpartition(".")
        if _TABLE.fullmatch(parameter) or parameter == EMBEDDING:
            if not classes.any_known:
                continue
            if kind != "step":
                known = [i for i in classes.known if i is not None]
                mean = tensor[known].mean(0)
                new = mean if kind == "exp_avg_sq" else torch.zeros_like(mean)
                tensor = classes.rows(tensor, new.expand(len(classes.known), -1))
        elif _PLAIN.fullmatch(parameter) and not classes.before:
            continue
        result[name] = tensor
    return result
