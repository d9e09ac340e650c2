"""Detect what goes wrong with a GAN from its log, and say so in plain sentences with advice.

The watch reads only log records, so replaying the log on resuming restores its state. Thresholds
were chosen on healthy runs of the bundled digits, and on the article's network with a small batch,
which fails within a hundred steps; see docs/training.md.
"""

import math
import sys
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sagan.config import Loss, RunConfig

_WINDOW = 10  # log records over which D must win
_WON = 0.1  # D's loss relative to an undecided D's
_ALIKE = 0.5  # share of near-duplicates, beyond that of real images, that counts as collapse
_CLASS_ALIKE = 0.8  # the same within one class, of which few samples are shown
_UNTRAINED_STEPS = 1_000  # until then, samples that never were diverse are not a collapse
_BLOW_UP = 4.0  # growth of a singular value since half as many steps; linear growth gives 2
_GAMMA_UNUSED = 0.01
_GAMMA_RECORDS = 3  # attention records over which gamma must stay unused
_GAMMA_REACH = 10.0  # Adam must have been able to move gamma this many times farther
_AGAINST_COLLAPSE = (
    "Go back with --rollback, lower both learning rates, or take a larger --batch-size"
)
_UNDECIDED: Mapping[Loss, float] = {"hinge": 2.0, "non-saturating": 2 * math.log(2)}

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Alarm:
    """Something wrong with a run."""

    name: str  # its kind
    said: str  # what is wrong
    advice: str
    serious: bool = False  # `--rollback` returns to an earlier checkpoint


class Watch:
    """Read a run's records as they come, and raise each kind of alarm once."""

    def __init__(self, config: RunConfig) -> None:
        self._config = config
        self._losses: deque[tuple[float, float]] = deque(maxlen=_WINDOW)
        self._gammas: dict[str, deque[float]] = {}
        self._sigmas: deque[tuple[int, Mapping[str, float]]] = deque()
        self._was_diverse = False
        self._told: set[str] = set()
        self.serious: tuple[Alarm, ...] = ()  # at the last check, whether told before or not

    def see(self, record: Record) -> list[Alarm]:
        """Take in a record; return the alarms that it raises for the first time."""
        found: list[Alarm] = []
        if record["kind"] == "train":
            found = list(self._winning(record))
        elif record["kind"] == "attention":
            found = list(self._unused(record))
        elif record["kind"] == "check":
            found = [*self._collapse(record), *self._blow_up(record)]
            self.serious = tuple(alarm for alarm in found if alarm.serious)
        new = [alarm for alarm in found if alarm.name not in self._told]
        self._told |= {alarm.name for alarm in new}
        return new

    def _winning(self, record: Record) -> Iterator[Alarm]:
        """D's loss stays near zero, so G gets no useful gradient."""
        # other terms in its loss would hide it
        d_loss = record.get("d_adversarial_loss", record["d_loss"])
        self._losses.append((d_loss, record["g_loss"]))
        undecided = _UNDECIDED.get(self._config.training.loss)
        if undecided is None or len(self._losses) < _WINDOW:
            return
        d_loss, g_loss = (sum(values) / _WINDOW for values in zip(*self._losses, strict=True))
        if d_loss < _WON * undecided:
            yield Alarm(
                "d-wins",
                f"D wins outright: its loss is {d_loss:.2g} on average over {_WINDOW} log records "
                f"({undecided:.2g} is undecided) and G's is {g_loss:.2g}, so G learns little",
                "Lower --d-lr, take a larger --batch-size, or, where images are few, --augment "
                "color,translation,cutout",
            )

    def _unused(self, record: Record) -> Iterator[Alarm]:
        """An attention layer's gamma stays at its initial 0."""
        training = self._config.training
        for layer in record["layers"]:
            name = f"{layer['network']} {layer['layer']}"
            gammas = self._gammas.setdefault(name, deque(maxlen=_GAMMA_RECORDS))
            gammas.append(abs(layer["gamma"]))
            is_g = layer["network"] == "G"
            lr = training.gamma_lr * (training.g_lr if is_g else training.d_lr)
            reach = lr * record["step"] * (1 if is_g else training.d_steps)
            young = len(gammas) < _GAMMA_RECORDS or reach < _GAMMA_REACH * _GAMMA_UNUSED
            if not young and max(gammas) < _GAMMA_UNUSED:
                yield Alarm(
                    f"unused attention: {name}",
                    f"the attention of {name} ({layer['size_px']} px) is hardly used: its gamma is "
                    f"{layer['gamma']:+.4f} after {record['step']:,} steps",
                    "If it stays there, attention at other sides (--g-attention, --d-attention) "
                    "may do more, and none would lose little",
                )

    def _collapse(self, record: Record) -> Iterator[Alarm]:
        """Samples from different latents are the same image."""
        real = record["near_duplicates_real"]
        alike = record["near_duplicates"]
        collapsed = alike > real + _ALIKE * (1 - real)
        young = record["step"] < _UNTRAINED_STEPS and not self._was_diverse
        self._was_diverse |= not collapsed
        if collapsed and not young:
            yield Alarm(
                "collapse",
                f"mode collapse: {alike:.0%} of the fixed samples have a near-duplicate "
                f"({real:.0%} of real images)",
                _AGAINST_COLLAPSE,
                serious=True,
            )
        if collapsed or young:
            return
        classes = [k for k, share in record["by_class"].items() if share >= _CLASS_ALIKE]
        if classes:
            names = self._config.data.class_names
            listed = ", ".join(names[int(k)] if names else k for k in classes[:5])
            yield Alarm(
                "class collapse",
                f"mode collapse within {'a class' if len(classes) == 1 else 'classes'} ({listed}): "
                "nearly all fixed samples of it are the same image",
                _AGAINST_COLLAPSE,
            )

    def _blow_up(self, record: Record) -> Iterator[Alarm]:
        """A weight's largest singular value grows faster than any power of time."""
        now, step = record["sigmas"], record["step"]
        self._sigmas.append((step, {sys.intern(name): value for name, value in now.items()}))
        while len(self._sigmas) > 1 and self._sigmas[1][0] <= step / 2:
            self._sigmas.popleft()  # the newest of half the age or less is compared with
        before = self._sigmas[0][1] if len(self._sigmas) > 1 else {}
        # max(..., 1): biases and embeddings that start at 0 may grow from it by any factor
        growth = {n: value / max(before[n], 1.0) for n, value in now.items() if n in before}
        worst = max(growth, key=lambda name: growth[name], default="")
        if worst and growth[worst] > _BLOW_UP:
            yield Alarm(
                "blow-up",
                f"the largest singular value of {worst} blows up: {now[worst]:.3g}, "
                f"{growth[worst]:.1f} times what it was",
                "Go back with --rollback, and lower its network's learning rate if it happens "
                "again",
                serious=True,
            )
