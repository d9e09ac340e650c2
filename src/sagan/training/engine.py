"""The distributed engine: the only file that names Lightning Fabric.

It starts processes, places modules, averages gradients over processes and sets the precision. It
also sets what holds for the whole process: the TF32 flags and, on the CPU, how memory is allocated.
"""

import logging
import os
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy
from lightning_fabric.strategies.launchers import subprocess_script
from torch import Tensor, nn

from sagan.config import Precision, Runtime
from sagan.devices import keep_freed_memory, pick_device, usable_cores
from sagan.errors import TrainingFailure
from sagan.training.ranks import PARENT, Children, Pulse, launched

# How long the others wait at most while the first process scores and saves (PyTorch's default of 30
# minutes is too short on a CPU). A process that hangs is noticed by its `Pulse`.
_PATIENCE = timedelta(hours=6)
# Messages of errors without their own type, where another process has ended
_SAID_WHEN_LOST = "closed by peer", "reset by peer", "broken pipe", "timed out waiting", "gloo/"


class Engine:
    """A thin face over Fabric.

    It starts the processes itself, or joins those that torchrun or SLURM started on one machine or
    several; their number is then the launcher's. Devices that are missing raise ValueError; a
    precision that the device cannot do becomes float32, as the attribute `precision` then says.
    """

    def __init__(self, runtime: Runtime, precision: Precision) -> None:
        device = pick_device(runtime.device)
        devices, machines = launched(os.environ) or (runtime.devices, 1)
        if device == "cuda" and torch.cuda.device_count() < devices:
            raise ValueError(
                f"{devices} CUDA devices were asked for, and {torch.cuda.device_count()} are here"
            )
        if device == "cpu" and not launched(os.environ) and devices > usable_cores():
            raise ValueError(
                f"{devices} processes were asked for, and this machine has {usable_cores()} cores "
                "for them"
            )
        if device == "mps" and devices > 1:
            raise ValueError("mps has one device; leave --devices out")
        if device == "cpu":
            keep_freed_memory()
        logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
        asked, precision = precision, usable_precision(precision, device)
        self.precision: Precision = precision
        self.fallback = ""  # a one-line note if the precision is not the one asked for
        if precision != asked != "auto":
            self.fallback = f"This {device} cannot compute in {asked}: using {precision}."
        self.processes, self.processes_here = devices * machines, devices  # known before `launch`
        self._children, self._timeout_sec, self._parent = Children(), runtime.timeout_sec, 0
        self._pulse: Pulse | None = None
        allow_tf32 = precision != "float32"  # PyTorch lets convolutions use it unless told
        torch.set_float32_matmul_precision("high" if allow_tf32 else "highest")
        torch.backends.cudnn.allow_tf32 = allow_tf32
        self._fabric = Fabric(
            accelerator=device,
            devices=devices,
            num_nodes=machines,
            strategy=DDPStrategy(timeout=_PATIENCE) if devices * machines > 1 else "auto",
            precision="bf16-mixed" if precision == "bf16" else "32-true",
        )

    def launch(self) -> None:
        """Start the other processes, or join those that an outer launcher started."""
        if self.processes > 1:  # it warns, in four lines, of a few kB: grey images' first weights
            warnings.filterwarnings("ignore", "Grad strides do not match bucket view", UserWarning)
        # Fabric's own observer kills this process without a word when another ends, even after
        # SIGTERM to all.
        subprocess_script._launch_process_observer = self._children.watch  # type: ignore[assignment]
        if "LOCAL_RANK" not in os.environ:
            os.environ[PARENT] = str(os.getpid())
        elif not launched(os.environ):
            self._parent = os.getppid()
        try:
            with self.explaining_lost():
                self._fabric.launch()
        finally:
            os.environ.pop(PARENT, None)

    @contextmanager
    def watching(self, folder: Path) -> Iterator[None]:
        """Inside, end with the others if one of them ends or hangs; with one process do nothing."""
        if self.world_size == 1:
            yield
            return
        self._pulse = Pulse(
            folder,
            self.rank,
            self.world_size,
            timeout_sec=self._timeout_sec,
            children=self._children,
            parent=self._parent,
        )
        with self._pulse.beating(), self.explaining_lost():
            yield

    @contextmanager
    def main_only(self) -> Iterator[None]:
        """Inside, the first process does something while the others wait, as long as it takes."""
        self._children.busy = self.rank == 0
        try:
            yield
        finally:
            self._children.busy = False

    @contextmanager
    def explaining_lost(self) -> Iterator[None]:
        """Turn the error that follows when another process has ended into a TrainingFailure."""
        try:
            yield
        except (RuntimeError, ConnectionError) as error:
            said = str(error).lower()
            known = any(words in said for words in _SAID_WHEN_LOST)
            if self.processes == 1 or not (known or isinstance(error, dist.DistError)):
                raise
            time.sleep(1)  # until it is known how it ended
            if self._parent:  # the first process says it, and ends this one
                time.sleep(10)
            lost = self._children.lost() or "another process has ended or cannot be reached"
            self._children.released = True
            self._children.kill()
            raise TrainingFailure(
                f"{lost}; the last checkpoint stands, and the same command resumes"
            ) from None

    def report_step(self, step: int) -> None:
        """Show the other processes how far this one is."""
        if self._pulse is not None:
            self._pulse.step = step

    def allow_exit(self) -> None:
        """Let the other processes end from now on."""
        self._children.released = True

    @property
    def device(self) -> torch.device:
        """The device of this process."""
        return self._fabric.device

    @property
    def rank(self) -> int:
        """This process's number among all machines'."""
        return self._fabric.global_rank

    @property
    def world_size(self) -> int:
        """The number of processes on all machines."""
        return self._fabric.world_size

    def setup(self, module: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[Any, Any]:
        """Wrap a network and its optimiser; call the wrapped network, never the inner one."""
        wrapped, its_optimizer = self._fabric.setup(module, optimizer)
        return wrapped, its_optimizer

    def backward(self, loss: Tensor) -> None:
        """Run the backward pass."""
        self._fabric.backward(loss)

    def no_sync(self, module: Any, *, enabled: bool = True) -> AbstractContextManager[None]:
        """Skip gradient averaging: for micro-batches before the last, or a frozen network."""
        if self.world_size == 1:
            enabled = False
        return self._fabric.no_backward_sync(module, enabled=enabled)

    def autocast(self) -> AbstractContextManager[None]:
        """Use the engine's precision inside, for networks that it has not wrapped."""
        return self._fabric.autocast()

    def unwrap(self, module: Any) -> nn.Module:
        """The network inside a wrapped one, for second derivatives, which the wrapper refuses.

        Call it inside `autocast`.
        """
        network: nn.Module = module.module
        return network

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process."""
        return self.any_each([flag])[0]

    def any_each(self, flags: Sequence[bool]) -> list[bool]:
        """Whether each flag is set in any process; in one message."""
        if self.world_size == 1:
            return list(flags)
        total = self.sum(torch.tensor(flags, dtype=torch.float32, device=self.device))
        return [value > 0 for value in total.tolist()]

    def sum(self, tensor: Tensor) -> Tensor:
        """Add a tensor up over all processes."""
        if self.world_size == 1:
            return tensor
        total = self._fabric.all_reduce(tensor.clone(), reduce_op="sum")  # it works in place
        assert isinstance(total, Tensor)
        return total

    def broadcast(self, value: float) -> float:
        """The first process's value, for all."""
        mine = torch.tensor(0.0 if self.rank else value, device=self.device)
        return self.sum(mine).item()

    def synchronize(self) -> None:
        """Wait until the device has done what it was given."""
        torch.zeros((), device=self.device).item()

    def barrier(self) -> None:
        """Wait for all processes."""
        self._fabric.barrier()


def usable_precision(precision: Precision, device_type: str) -> Precision:
    """The precision, or float32 if the device cannot do it; what `auto` is.

    tf32 needs CUDA with compute capability 8.0; bf16 on CUDA must not be emulated. A CPU can do
    bf16 anyway, but only with matrix units for it (AMX) is that faster.
    """
    if precision == "auto":
        units: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()  # since 2.12
        fast = device_type == "cuda" or (device_type == "cpu" and units.get("amx_bf16", False))
        return usable_precision("bf16", device_type) if fast else "float32"
    if precision == "tf32":
        there = device_type == "cuda" and torch.cuda.is_tf32_supported()
    elif precision == "bf16" and device_type == "cuda":
        there = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        there = True
    return precision if there else "float32"
