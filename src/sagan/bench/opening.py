"""Time from a program's start to its first image, each in a new process, by what is opened.

The baseline only imports PyTorch, so the others' ratios are PyTorch's share of them. The runs have
untrained networks and lie in a temporary folder; files are read from the system's cache.
"""

import functools
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch

from sagan.bench.child import output_of
from sagan.bench.harness import Candidate, Comparison, Scale, Skip, workplace
from sagan.config import DataConfig, RunConfig
from sagan.config.presets import preset
from sagan.exchange.onnx import export_onnx
from sagan.exchange.safetensors_file import export_weights
from sagan.models import build_generator
from sagan.runs.run import Run

_Form = Literal["run", "safetensors", "onnx"]

# preset, side in pixels, classes
_SIZES: dict[Scale, list[tuple[str, int, int]]] = {
    "tiny": [("digits", 8, 10)],
    "quick": [("digits", 8, 10)],
    "full": [("digits", 8, 10), ("small", 64, 10), ("paper", 128, 1000)],
}
_FIRST_IMAGE = "import sys, sagan; sagan.sample(sagan.load(sys.argv[1]), 1)"


def opening_case(scale: Scale) -> list[Comparison]:
    """A run and its exported files, opened in Python; and `sagan sample` on the run."""
    return [_comparison(*size, tiny=scale == "tiny") for size in _SIZES[scale]]


def _comparison(name: str, side: int, classes: int, *, tiny: bool) -> Comparison:
    def first_image(form: _Form) -> Callable[[], Callable[[], object]]:
        return lambda: _calling("-c", _FIRST_IMAGE, str(_made(name, side, classes, form)))

    def by_command() -> Callable[[], object]:
        run = _made(name, side, classes, "run")
        out = workplace() / "first.png"
        return _calling("-m", "sagan", "sample", str(run), "--num", "1", "--out", str(out))

    candidates = [
        Candidate(name="import torch alone", prepare=lambda: _calling("-c", "import torch")),
        Candidate(name="run", prepare=first_image("run")),
        Candidate(name="safetensors file", prepare=first_image("safetensors")),
        Candidate(name="ONNX file", prepare=first_image("onnx")),
        Candidate(name="sagan sample, run", prepare=by_command),
    ]
    return Comparison(
        label=f"the first image of {name} {side} px",
        candidates=candidates[1:2] if tiny else candidates,
        parameters={"preset": name, "side": side, "classes": classes},
    )


def _calling(*arguments: str) -> Callable[[], object]:
    """Run this Python with arguments, with PyTorch's number of threads here."""
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    what = " ".join(arguments)
    return lambda: output_of([sys.executable, *arguments], what, environment=threads)


@functools.cache
def _made(name: str, side: int, classes: int, form: _Form) -> Path:
    """Make a run of an untrained generator, or a file exported from it."""
    folder = workplace() / f"{name}-{side}"
    if form == "run":
        network, training = preset(name, side)
        network = replace(network, classes=classes)
        data = DataConfig(class_names=tuple(map(str, range(classes))))
        config = RunConfig(preset=name, network=network, training=training, data=data)
        run = Run(folder)
        run.write_config(config)
        run.save(1, {"ema": build_generator(network).state_dict()}, config=config, keep=1)
        return folder
    run_folder, out = _made(name, side, classes, "run"), folder / f"model.{form}"
    if form == "safetensors":
        export_weights(run_folder, out)
        return out
    try:
        export_onnx(run_folder, out)
    except ValueError as error:  # an extra is not installed
        raise Skip(str(error)) from None
    return out
