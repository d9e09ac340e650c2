"""Another implementation's weights by name, and how they get our names.

A weight's matrix has the first dimension as its rows, as in every implementation read here.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

State = dict[str, Tensor]

_MIMICRY = ("weight", "sn_u", "sn_sigma")  # its own spectral norm, beside PyTorch's
_MAX_NAMES = 3  # in a message
_MAX_CHARACTERS = 100  # of each


@dataclass(frozen=True)
class Part:
    """One network as read: its configuration and its weights by our names."""

    network: Mapping[str, Any]  # the fields of `NetworkConfig` that its weights tell
    state: State


@dataclass
class Tensors:
    """The weights of one network. Each is taken once, so that none is left unread."""

    where: str  # the file, for messages
    left: dict[str, Tensor]  # by the other implementation's names
    notes: str = ""  # mmgeneration's configuration, as text
    taken: set[str] = field(default_factory=set)

    def has(self, start: str) -> bool:
        """Whether the file has a weight whose name is, or begins with, this."""
        return begins(self.left, start) or begins(self.taken, start)

    def count(self, pattern: str) -> int:
        """Count what a pattern such as `blocks.{}.0.` numbers, from 0 on."""
        number = 0
        while self.has(pattern.format(number)):
            number += 1
        return number

    def take(self, name: str) -> Tensor:
        """Take a weight as a finite float32."""
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
                f"{self.where}: {name} is not a dense tensor with its numbers in the file"
            )
        return tensor

    def matrix(self, name: str) -> Tensor:
        """Take a weight of at least two dimensions."""
        tensor = self.take(name)
        if tensor.ndim < 2:
            raise ValueError(f"{self.where}: {name} is {_shape(tensor)}, not a layer's weight")
        return tensor

    def drop(self, name: str) -> None:
        """Ignore a weight, if it is there."""
        if self.left.pop(name, None) is not None:
            self.taken.add(name)

    def spectral(self, name: str) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Take a layer's weight and, if spectrally normalised, u and v as evaluation uses them."""
        weight, u, v = self._vectors(name)
        if u is not None and v is not None and not torch.dot(u, weight.flatten(1) @ v):
            raise ValueError(f"{self.where}: {name} is spectrally normalised with a sigma of 0")
        return weight, u, v

    def _vectors(self, name: str) -> tuple[Tensor, Tensor | None, Tensor | None]:
        # PyTorch's spectral norm evaluates with the stored u and v. BigGAN-PyTorch's, heykeetae's
        # and mimicry's own first take one more power step from the stored u, as is done here.
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
                for i in range(1, self.count(f"{name}.u{{}}")):  # BigGAN-PyTorch: only reported
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
        """Take a layer, with its bias if it has one, under our name."""
        weight, u, v = self.spectral(name)
        bias = {"bias": self.take(f"{name}.bias")} if f"{name}.bias" in self.left else {}
        if u is None or v is None:
            return prefixed(ours, {"weight": weight, **bias})
        return prefixed(ours, {"u": u, "v": v} | prefixed("layer", {"weight": weight, **bias}))

    def table(self, name: str) -> Tensor:
        """Take a class table as evaluation uses it: divided by sigma if spectrally normalised."""
        weight, u, v = self.spectral(name)
        if weight.ndim != 2:
            raise ValueError(f"{self.where}: {name} is {_shape(weight)}, not a table")
        if u is None or v is None:
            return weight
        return weight / torch.dot(u, weight @ v)

    def statistics(self, name: str, stem: str = "running") -> State:
        """Take the batch-norm statistics `{name}.{stem}_mean` and `_var`, by our names."""
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
        """Take a batch norm with PyTorch's names, under our name."""
        gain = {key: self.take(f"{name}.{key}") for key in ("weight", "bias")}
        return prefixed(ours, gain | self.statistics(name))

    def attention(
        self, name: str, parts: Mapping[str, str], ours: str, *, gamma: str = "gamma"
    ) -> State:
        """Take an attention layer under our name; `parts` maps our names inside it to theirs."""
        gain = self.take(f"{name}.{gamma}")
        if gain.numel() != 1:
            raise ValueError(f"{self.where}: {name}.{gamma} is {_shape(gain)}, not one number")
        state: State = {"gamma": gain.reshape(1)}
        for part, theirs in parts.items():
            state |= self.layer(f"{name}.{theirs}", part)
        return prefixed(ours, state)

    def finish(self) -> None:
        """Raise ValueError if weights were left."""
        if self.left:
            raise ValueError(f"{self.where} holds weights that its kind does not have: {self}")

    def __str__(self) -> str:
        shown = [_printable(name) for name in sorted(self.left)[:_MAX_NAMES]]
        more = f" and {len(self.left) - _MAX_NAMES} more" if len(self.left) > _MAX_NAMES else ""
        return ", ".join(shown) + more


def begins(names: Collection[str], start: str) -> bool:
    """Whether a name is, or begins with, this."""
    return start in names or any(name.startswith(start) for name in names)


def prefixed(name: str, state: State) -> State:
    """Prefix names: `{name}.{key}`."""
    return {f"{name}.{key}": tensor for key, tensor in state.items()}


def conditional_norm(gain: Tensor, bias: Tensor, statistics: State, ours: str) -> State:
    """Make a conditional batch norm of tables `classes c`, used as 1 + gain."""
    tables = {"gain.weight": gain.contiguous(), "bias.weight": bias.contiguous()}
    return prefixed(ours, prefixed("norm", statistics) | tables)


def _printable(name: str) -> str:
    """Make a name from a file, which may hold anything, safe for one line of a terminal."""
    clean = "".join(c if c.isprintable() else "?" for c in name[:_MAX_CHARACTERS])
    return clean + "..." * (len(name) > _MAX_CHARACTERS)


def _unfit(where: str, name: str, vector: Tensor, weight: Tensor) -> str:
    return f"{where}: {name} is {_shape(vector)} for a weight of {_shape(weight)}"


def _shape(tensor: Tensor) -> str:
    return "x".join(str(size) for size in tensor.shape) or "a scalar"
