"""Another implementation's weights by name, and their way into our names.

Dimensions: rows of a weight's matrix are its first dimension, as in every implementation read here.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

State = dict[str, Tensor]

_MIMICRY = ("weight", "sn_u", "sn_sigma")  # its own spectral norm, beside PyTorch's
_NAMED = 3  # of what is missing or left over, in a message
_LONGEST = 100  # characters of a name there


@dataclass(frozen=True)
class Part:
    """One network, read: what it is and what it weighs.

    Args:
        network: fields of `NetworkConfig` that its weights tell.
        state: its weights by our names.
    """

    network: Mapping[str, Any]
    state: State


@dataclass
class Tensors:
    """The weights of one network, each to be taken once, so that nothing is left unread.

    Args:
        where: the file's name, for messages.
        left: weights by the other implementation's names, less those taken.
        notes: what the file says of itself besides (mmgeneration's configuration).
    """

    where: str
    left: dict[str, Tensor]
    notes: str = ""
    taken: set[str] = field(default_factory=set)

    def has(self, start: str) -> bool:
        """Whether a weight of this name, or whose name begins so, was there."""
        return begins(self.left, start) or begins(self.taken, start)

    def count(self, pattern: str) -> int:
        """How many of a numbered thing there are: `blocks.{}.0.` from number 0 on."""
        number = 0
        while self.has(pattern.format(number)):
            number += 1
        return number

    def take(self, name: str) -> Tensor:
        """Give a weight in float32.

        Raises:
            ValueError: there is none of this name, or it is no finite float.
        """
        if name not in self.left:
            raise ValueError(f"{self.where} is not complete: it has no {name}")
        tensor = self._dense(name)
        if not tensor.is_floating_point():
            raise ValueError(f"{self.where}: {name} is {tensor.dtype}, not a dense float")
        if not tensor.numel():
            raise ValueError(f"{self.where}: {name} is empty")
        try:
            tensor = tensor.detach().float()
        except RuntimeError:  # no conversion from formats of less than a byte
            raise ValueError(f"{self.where}: {name} is {tensor.dtype}, not a dense float") from None
        if not tensor.isfinite().all():
            raise ValueError(f"{self.where}: {name} is not finite: its training had diverged")
        return tensor.contiguous()

    def _dense(self, name: str) -> Tensor:
        tensor = self.left.pop(name)
        self.taken.add(name)
        if tensor.is_nested or tensor.is_meta or tensor.layout != torch.strided:
            raise ValueError(
                f"{self.where}: {name} is no dense tensor with its numbers in the file"
            )
        return tensor

    def matrix(self, name: str) -> Tensor:
        """Give a weight of at least two dimensions."""
        tensor = self.take(name)
        if tensor.ndim < 2:
            raise ValueError(f"{self.where}: {name} is {_shape(tensor)}, not a layer's weight")
        return tensor

    def drop(self, name: str) -> None:
        """Leave a weight out on purpose, if it is there."""
        if self.left.pop(name, None) is not None:
            self.taken.add(name)

    def spectral(self, name: str) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Give a layer's weight and its vectors u and v as evaluation sees them; None without them.

        PyTorch's own spectral norm evaluates with the stored u and v. BigGAN-PyTorch's, heykeetae's
        and mimicry's own take one more power step from the stored u first, which is taken here.

        Raises:
            ValueError: one of them is missing or unfit, or sigma, which divides, is 0.
        """
        weight, u, v = self._vectors(name)
        if u is not None and v is not None and not torch.dot(u, weight.flatten(1) @ v):
            raise ValueError(f"{self.where}: {name} is spectrally normalised with a sigma of 0")
        return weight, u, v

    def _vectors(self, name: str) -> tuple[Tensor, Tensor | None, Tensor | None]:
        if f"{name}.weight_orig" in self.left:
            weight = self.matrix(f"{name}.weight_orig")
            u, v = self._vector(f"{name}.weight_u", weight), self.take(f"{name}.weight_v")
            if v.shape != weight.flatten(1).shape[1:]:
                raise ValueError(_unfit(self.where, f"{name}.weight_v", v, weight))
            return weight, u, v
        for names in (("weight_bar", "weight_u", "weight_v"), ("weight", "u0", "sv0"), _MIMICRY):
            weight_name, u_name, unread = (f"{name}.{part}" for part in names)
            if weight_name in self.left and u_name in self.left:
                weight = self.matrix(weight_name)
                self.drop(unread)
                for i in range(1, self.count(f"{name}.u{{}}")):  # BigGAN-PyTorch only reports these
                    self.drop(f"{name}.u{i}")
                    self.drop(f"{name}.sv{i}")
                return weight, *self._step(weight, self._vector(u_name, weight))
        return self.matrix(f"{name}.weight"), None, None

    def _vector(self, name: str, weight: Tensor) -> Tensor:
        u = self.take(name)
        if u.numel() != weight.shape[0]:
            raise ValueError(_unfit(self.where, name, u, weight))
        return u.flatten()

    def _step(self, weight: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
        matrix = weight.flatten(1).double()
        v = torch.nn.functional.normalize(matrix.t() @ u.double(), dim=0)
        u = torch.nn.functional.normalize(matrix @ v, dim=0)
        return u.float(), v.float()

    def layer(self, name: str, ours: str) -> State:
        """Give a layer under our name, with its bias if it has one."""
        weight, u, v = self.spectral(name)
        bias = {"bias": self.take(f"{name}.bias")} if f"{name}.bias" in self.left else {}
        if u is None or v is None:
            return prefixed(ours, {"weight": weight, **bias})
        return prefixed(ours, {"u": u, "v": v} | prefixed("layer", {"weight": weight, **bias}))

    def table(self, name: str) -> Tensor:
        """Give a class table as evaluation uses it: over sigma if it is spectrally normalised.

        Ours, of the conditional batch norm, never are.
        """
        weight, u, v = self.spectral(name)
        if weight.ndim != 2:
            raise ValueError(f"{self.where}: {name} is {_shape(weight)}, not a table")
        if u is None or v is None:
            return weight
        return weight / torch.dot(u, weight @ v)

    def statistics(self, name: str, stem: str = "running") -> State:
        """Give batch-norm statistics by our names: `{name}.{stem}_mean` and `_var`."""
        counter = f"{name}.num_batches_tracked"
        variances = self.take(f"{name}.{stem}_var")
        if (variances < 0).any():
            raise ValueError(f"{self.where}: {name}.{stem}_var has negative variances")
        return {
            "running_mean": self.take(f"{name}.{stem}_mean"),
            "running_var": variances,
            "num_batches_tracked": (
                self._dense(counter).long() if counter in self.left else torch.tensor(0)
            ),
        }

    def batch_norm(self, name: str, ours: str) -> State:
        """Give a batch norm with gain and bias in PyTorch's names, under our name."""
        gain = {key: self.take(f"{name}.{key}") for key in ("weight", "bias")}
        return prefixed(ours, gain | self.statistics(name))

    def attention(self, names: Mapping[str, str], gamma: str) -> State:
        """Give an attention block by our names, from ours -> theirs of its convolutions."""
        gain = self.take(gamma)
        if gain.numel() != 1:
            raise ValueError(f"{self.where}: {gamma} is {_shape(gain)}, not one number")
        state: State = {"gamma": gain.reshape(1)}
        for name, theirs in names.items():
            state |= self.layer(theirs, name)
        return state

    def finish(self) -> None:
        """Refuse weights that were not taken.

        Raises:
            ValueError: there are some.
        """
        if self.left:
            raise ValueError(f"{self.where} holds weights that its kind does not have: {self}")

    def __str__(self) -> str:
        shown = [_printable(name) for name in sorted(self.left)[:_NAMED]]
        more = f" and {len(self.left) - _NAMED} more" if len(self.left) > _NAMED else ""
        return ", ".join(shown) + more


def begins(names: Collection[str], start: str) -> bool:
    """Whether a name, or some name's beginning, is this."""
    return start in names or any(name.startswith(start) for name in names)


def prefixed(name: str, state: State) -> State:
    """Put names under another: `{name}.{key}`.

    Example:
        >>> list(prefixed("blocks.0", {"u": torch.ones(1)}))
        ['blocks.0.u']
    """
    return {f"{name}.{key}": tensor for key, tensor in state.items()}


def conditional_norm(gain: Tensor, bias: Tensor, statistics: State, ours: str) -> State:
    """Give a conditional batch norm under our name, from tables `classes c` used as 1 + gain."""
    tables = {"gain.weight": gain.contiguous(), "bias.weight": bias.contiguous()}
    return prefixed(ours, prefixed("norm", statistics) | tables)


def _printable(name: str) -> str:
    """A name from a file, in which there may be anything, fit for a terminal's line."""
    clean = "".join(c if c.isprintable() else "?" for c in name[:_LONGEST])
    return clean + "..." * (len(name) > _LONGEST)


def _unfit(where: str, name: str, vector: Tensor, weight: Tensor) -> str:
    return f"{where}: {name} is {_shape(vector)} for a weight of {_shape(weight)}"


def _shape(tensor: Tensor) -> str:
    return "x".join(str(size) for size in tensor.shape) or "a scalar"
