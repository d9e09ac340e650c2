"""Training steps on this machine's device: rates, memory and kernels on a GPU, less on a CPU.

`best` at 128, 64 and 32 px in each precision: plain, recorded as CUDA graphs, compiled as well, and
recorded in two steps. Takes about ten minutes on a GPU: past a time limit the rest is skipped,
which the result says.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, get_args

import torch
from torch.profiler import ProfilerActivity, profile

from sagan.bench.harness import Candidate, Comparison, Scale, Skip
from sagan.bench.steps import training_step
from sagan.config import NetworkConfig, Precision, Runtime, TrainingConfig
from sagan.config.presets import preset
from sagan.devices import pick_device
from sagan.models.estimate import estimate
from sagan.nn.resampled_conv import unfused
from sagan.text import one_line
from sagan.training.engine import usable_precision
from sagan.training.memory import is_out_of_memory

_BUDGET_SEC = 480  # on a GPU; nothing is started after it
_TOP_KERNELS = 10
_CLASSES = 1000
_TINY_WIDTH = 8

# device, scale -> (side in pixels, batch); on a GPU the largest first, as time may run out
_SIZES: dict[tuple[str, Scale], list[tuple[int, int]]] = {
    ("cuda", "tiny"): [(32, 4)],
    ("cuda", "quick"): [(128, 64)],
    ("cuda", "full"): [(128, 256), (64, 256), (32, 256)],
    ("cpu", "tiny"): [(32, 2)],
    ("cpu", "quick"): [(32, 8)],
    ("cpu", "full"): [(32, 8), (64, 4), (128, 2)],
}


def device_case(scale: Scale) -> list[Comparison]:
    """Training steps of `best`, in several forms, by side and precision."""
    device = "cuda" if pick_device("auto") == "cuda" else "cpu"
    sizes = _SIZES[device, scale]
    deadline = time.monotonic() + _BUDGET_SEC if device == "cuda" else float("inf")
    return [
        _comparison(side, batch, precision, device, deadline, scale == "tiny")
        for side, batch in sizes
        for precision in sorted(set(get_args(Precision)) - {"auto"})  # bf16 first
    ]


def _comparison(
    side: int, batch: int, precision: Precision, device: str, deadline: float, tiny: bool
) -> Comparison:
    network, training = preset("best", side)
    network = replace(network, classes=_CLASSES)
    if tiny:
        network = replace(network, classes=10, g_width=_TINY_WIDTH, d_width=_TINY_WIDTH)
    training = replace(training, batch_size=batch, d_steps=1, accumulate=1, precision=precision)

    def prepare(
        *, cuda_graphs: bool = True, compiled: bool = False
    ) -> Callable[[], Callable[[], object]]:
        runtime = Runtime(device=device, compile=compiled, cuda_graphs=cuda_graphs)
        return lambda: _step(network, training, runtime, deadline)

    recorded = [Candidate(name="recorded", prepare=prepare())] if device == "cuda" else []
    note = {} if device == "cuda" else {"note": "not measured on a GPU"}
    return Comparison(
        label=f"best {side} px b={batch} {precision} on {device}",
        candidates=[
            Candidate(name="plain", prepare=prepare(cuda_graphs=False)),
            *recorded,
            Candidate(name="compiled", prepare=prepare(compiled=True)),
            Candidate(name="two-step", prepare=lambda: _in_two_steps(prepare()())),
        ],
        parameters={"side": side, "batch": batch, "precision": precision, "device": device, **note},
        items=batch,
        flop=batch * estimate(network, training, device_type=device).train_flop,
        memory=device == "cpu" and not tiny,
        device=device,
        precision=precision,
        look=profiled,
    )


def _in_two_steps(call: Callable[[], object]) -> Callable[[], object]:
    """The same step with doubling, or halving, and convolution one after the other."""

    def two_step_call() -> object:
        with unfused():
            return call()

    return two_step_call


def _step(
    network: NetworkConfig, training: TrainingConfig, runtime: Runtime, deadline: float
) -> Callable[[], object]:
    """A training step that has run once, or `Skip` with the reason why it cannot."""
    if usable_precision(training.precision, runtime.device) != training.precision:
        raise Skip(f"this {runtime.device} cannot compute in {training.precision}")
    if runtime.compile and runtime.device == "cpu":
        raise Skip("compiling is measured on a GPU only: on a CPU it takes minutes")
    if runtime.compile and training.precision != "bf16":
        raise Skip("compiling takes long and is measured in bf16 only")
    if time.monotonic() > deadline:
        raise Skip(f"the time limit of {_BUDGET_SEC} s was reached")
    try:
        call = training_step(network, training, runtime)
        call()
    except Exception as error:
        if is_out_of_memory(error):
            raise Skip("out of memory") from None
        if not runtime.compile:
            raise
        reason = f"{type(error).__name__}: {one_line(error, 160)}"
        raise Skip(f"torch.compile failed ({reason})") from None
    return call


def profiled(call: Callable[[], object]) -> dict[str, Any]:
    """Profile one call: the fused attention operators that ran, and the most expensive kernels."""
    activities = [ProfilerActivity.CPU]
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        activities.append(ProfilerActivity.CUDA)
    with profile(activities=activities) as profiler:
        call()
    events = profiler.key_averages()
    times = [
        (event.self_device_time_total if on_gpu else event.self_cpu_time_total, event)
        for event in events
        if not on_gpu or event.device_type.name == "CUDA"
    ]
    times.sort(key=lambda pair: -pair[0])
    total = sum(spent for spent, _ in times) or 1
    return {
        # PyTorch's fused operators; none if plain or recomputed products did the work
        "attention": sorted(
            {e.key for e in events if e.key.startswith("aten::_scaled_dot_product_")}
        ),
        "kernels": [
            {"name": e.key, "calls": e.count, "ms": us / 1e3, "share": us / total}
            for us, e in times[:_TOP_KERNELS]
        ],
    }


def summary(results: Sequence[dict[str, Any]]) -> str:
    """Format all comparisons as one table, and the kernels of the last one that ran."""
    lines = [f"{'':<36}{'':<10}{'images/s':>10}{'MFU':>7}{'peak GB':>9}  attention"]
    for result in results:
        attention = result.get("profile", {}).get("attention") or ["plain or recomputed products"]
        for c in result["candidates"]:
            head = f"{result['label']:<36}{c['name']:<10}"
            if "skipped" in c:
                lines.append(f"{head}  skipped: {c['skipped']}")
                continue
            peak = f"{c['peak_bytes'] / 1e9:.2f}" if c.get("peak_bytes") else "-"
            lines.append(
                f"{head}{c['items_per_sec']:>10.1f}{100 * c['mfu']:>6.1f}%{peak:>9}  "
                + ", ".join(name.removeprefix("aten::_") for name in attention)
            )
    last = next((r for r in reversed(results) if "profile" in r), None)
    if last is not None:
        lines.append(f"the most expensive kernels of a step, {last['label']}:")
        lines += [
            f"  {100 * k['share']:>5.1f} %  {k['ms']:>9.2f} ms  {k['calls']:>5} x  {k['name']:.90}"
            for k in last["profile"]["kernels"]
        ]
    if any(result["parameters"].get("device") == "cpu" for result in results):
        lines.append("not measured on a GPU")
    return "\n".join(lines)
