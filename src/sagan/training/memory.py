"""Check that training fits in the device's memory, and explain it when memory runs out.

A configuration is refused only if even the low end of the estimate exceeds the device's total
memory; one that exceeds the free memory gets a warning. Alternatives that would fit are found by
estimating smaller batches, images and attention maps.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import torch

from sagan.config import RESOLUTIONS_PX, NetworkConfig, RunConfig, TrainingConfig
from sagan.errors import TrainingFailure
from sagan.models.estimate import estimate_peak_bytes
from sagan.training.engine import Engine

# Real steps were measured to take between the estimate and a third more (see
# tests/models/test_estimate.py); the checks allow for a third less as well.
_OFF_BY = 4 / 3
# What is freed is kept there (`keep_freed_memory`) and fits the next tensor only in part: two steps
# at 64 px took 1.36 and 1.76 of the estimate.
_KEPT_ON_CPU = 1.5
_LEAST_MAP_PX = 8

# Messages of out-of-memory errors without their own type: the CPU allocator, CUDA libraries, MPS.
_SAID_WHEN_OUT = ("defaultcpuallocator", "out of memory", "alloc_failed", "bad_alloc")


class Memory(NamedTuple):
    """A device's memory in bytes."""

    free: int  # not used by any program now
    total: int


def device_memory(device: torch.device, root: Path = Path("/")) -> Memory | None:
    """Read a device's memory; None if the system does not report it.

    `mps` shares the system's. The total includes swap and is capped by a container's or job's
    limit. On Linux, `root` holds `proc` and `sys`.
    """
    if device.type == "cuda":
        return Memory(*torch.cuda.mem_get_info(device))
    facts = root / "proc/meminfo"
    if not facts.is_file():
        return None
    lines = (line.split(":") for line in facts.read_text(encoding="ascii").splitlines())
    sizes = {name: 1024 * int(value.split()[0]) for name, value in lines}
    total = min([sizes["MemTotal"] + sizes["SwapTotal"], *_group_limits(root)])
    return Memory(min(sizes["MemAvailable"], total), total)


def _group_limits(root: Path) -> Iterator[int]:
    """The limits in bytes of this process's control group and its parents."""
    groups = root / "proc/self/cgroup"
    if not groups.is_file():
        return
    own = [line[3:] for line in groups.read_text().splitlines() if line.startswith("0::")]
    top = root / "sys/fs/cgroup"
    for path in own:
        folder = top / path.strip("/")
        for place in (folder, *folder.parents):
            limit = place / "memory.max"
            if limit.is_file() and (text := limit.read_text().strip()).isdecimal():
                yield int(text)
            if place == top:
                break


@dataclass(frozen=True)
class Fit:
    """The memory that a configuration needs, and the memory available."""

    network: NetworkConfig
    training: TrainingConfig  # with the precision that is actually computed in
    device_type: str  # `cpu`, `cuda` or `mps`
    processes: int  # all, among which each batch is divided
    sharing: int  # processes that share one memory: on the CPU all of this machine's
    memory: Memory | None  # before training takes any

    @classmethod
    def of(cls, config: RunConfig, engine: Engine) -> "Fit":
        """For an engine's device; the engine need not be launched."""
        device = engine.device
        return cls(
            network=config.network,
            training=replace(config.training, precision=engine.precision),
            device_type=device.type,
            processes=engine.processes,
            sharing=1 if device.type == "cuda" else engine.processes_here,
            memory=device_memory(device),
        )

    @property
    def micro_batch_size(self) -> int:
        """Images in one process's micro-batch."""
        return max(1, self.training.batch_size // (self.processes * self.training.accumulate))

    def need_bytes(self) -> int:
        """Estimate the memory that training takes in all processes that share it."""
        micro_batch = replace(self.training, batch_size=self.micro_batch_size, accumulate=1)
        one = estimate_peak_bytes(self.network, micro_batch, device_type=self.device_type)
        return int(one * self.sharing * (_KEPT_ON_CPU if self.device_type == "cpu" else 1))

    def check(self) -> str:
        """Return a warning if training may exceed the free memory, else an empty string.

        Raises ValueError, naming what would fit, if it cannot fit in the total memory.
        """
        if self.memory is None:
            return ""
        need, (free, total) = self.need_bytes(), self.memory
        about = (
            f"about {_size(need)} of memory for {self.micro_batch_size} images at a time, and this "
            f"{self.device_type}"
        )
        if need > _OFF_BY * total:
            raise ValueError(
                f"training does not fit: it takes {about} has {_size(total)}; "
                f"{self.what_fits(free)}"
            )
        if need > free:
            return f"Training may run out of memory: it takes {about} has {_size(free)} free."
        return ""

    @contextmanager
    def explain_out_of_memory(self) -> Iterator[None]:
        """Turn an out-of-memory error into a one-line TrainingFailure that names what would fit."""
        try:
            yield
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            need = self.need_bytes()
            # The estimate was too low, or others took the memory: propose less than both.
            limit = min(need, self.memory.free) if self.memory else need
            raise TrainingFailure(
                f"out of memory on this {self.device_type} with {self.micro_batch_size} images at "
                f"a time (about {_size(need)} were expected); earlier checkpoints stand. As a new "
                f"run, {self.what_fits(limit)}"
            ) from None

    def what_fits(self, limit: int) -> str:
        """Name the largest batch, image and attention map that would fit in `limit` bytes."""
        found = [
            next((said for said, other in variants if other.fits(limit)), "")
            for variants in (self._batches(), self._resolutions(), self._attentions())
        ]
        if any(found):
            return f"these would fit: {', or '.join(filter(None, found))}"
        return (
            "no smaller batch, image or attention map alone would fit: combine several, or take "
            "narrower networks (--g-width, --d-width)"
        )

    def fits(self, limit: int) -> bool:
        """Whether even the high end of the estimate is below `limit` bytes."""
        return _OFF_BY * self.need_bytes() <= limit

    def _batches(self) -> Iterator[tuple[str, "Fit"]]:
        training = self.training
        share = training.batch_size // self.processes
        for parts in range(training.accumulate + 1, share + 1):
            if share % parts == 0:
                micro = training.batch_size // parts
                said = f"--accumulate {parts} (batch norm over {share // parts} images at a time)"
                smaller = replace(training, accumulate=parts)
                yield f"{said}, or --batch-size {micro}", replace(self, training=smaller)

    def _resolutions(self) -> Iterator[tuple[str, "Fit"]]:
        for side in sorted(RESOLUTIONS_PX, reverse=True):
            if side < self.network.resolution:
                yield from self._with(f"--resolution {side}", side, side // 2)

    def _attentions(self) -> Iterator[tuple[str, "Fit"]]:
        most = max((*self.network.g_attention, *self.network.d_attention), default=0) // 2
        while most >= _LEAST_MAP_PX:
            g, d = (
                ",".join(str(px) for px in _capped(sides, most)) or "none"
                for sides in (self.network.g_attention, self.network.d_attention)
            )
            said = f"--g-attention {g} --d-attention {d}"
            yield from self._with(said, self.network.resolution, most)
            most //= 2

    def _with(self, said: str, resolution: int, most_px: int) -> Iterator[tuple[str, "Fit"]]:
        """A variant at a resolution, with attention on maps of at most `most_px` a side."""
        try:
            network = replace(
                self.network,
                resolution=resolution,
                g_attention=_capped(self.network.g_attention, most_px),
                d_attention=_capped(self.network.d_attention, most_px),
            )
            other = replace(self, network=network)
            other.need_bytes()
        except ValueError:  # the family lacks this resolution or map
            return
        yield said, other


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error reports that memory ran out."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    said = str(error).lower()
    return isinstance(error, RuntimeError) and any(words in said for words in _SAID_WHEN_OUT)


def _capped(sides: tuple[int, ...], most_px: int) -> tuple[int, ...]:
    return tuple(sorted({min(side, most_px) for side in sides}))


def _size(amount: int) -> str:
    return f"{amount / 1e9:.3g} GB"
