"""Writes generators as ONNX files and runs such files; no other file names ONNX.

Dimensions: b batch, c channels, h w the image's sides, z latent length, n queries, m keys.
"""

import json
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn

import torch
from torch import Tensor, nn

from sagan.config import NetworkConfig
from sagan.errors import ExportError
from sagan.exchange.truncation import truncated
from sagan.files import write_atomically
from sagan.models import Generator, fold
from sagan.models.resnet import check_labels
from sagan.nn import SelfAttention
from sagan.nn.attention import AttentionMap, record_attention
from sagan.randomness import sample_latents
from sagan.runs.open_run import load_run_generator
from sagan.sharing.facts import Facts
from sagan.sharing.seal import UNSEALED, check_seal, seal
from sagan.text import one_line, warn_once

MAX_DIFFERENCE = 1e-4  # from PyTorch's images in [-1, 1]; measured ones are below 1e-6
_PARITY_BATCHES = (1, 2, 7)
_OPSET = 20  # newer ones have nothing for these networks, and fewer runtimes read them
_TRUNCATION = "truncation"
_TRIED_TRUNCATION = 0.7
_TRACED_BATCH = 3  # the exporter takes sizes of 0 and 1 for constants
_MAX_FILE_BYTES = 2**31 - 2**20  # protobuf's limit, less a MiB for everything but weights
_MAX_MAP_BYTES = 2**28  # of a layer's maps at once: ONNX Runtime makes them whole, and two copies


@dataclass(frozen=True)
class Exported:
    """A file that was written."""

    path: Path
    n_bytes: int
    differences: dict[int, float]  # the largest from PyTorch's images and maps, by batch size


class OnnxGenerator:
    """A generator that ONNX Runtime runs on the CPU; called as any other."""

    def __init__(self, content: bytes, where: object, *, trusted: bool = False) -> None:
        self._trusted = trusted  # to make images; one just exported is yet to be compared
        try:
            import onnxruntime as runtime
        except ImportError:
            _refuse_without_extra()
        runtime.disable_telemetry_events()  # which its builds for Windows send
        options = runtime.SessionOptions()
        options.log_severity_level = 3  # errors
        options.intra_op_num_threads = torch.get_num_threads()
        # Threads that spin between calls take the cores from PyTorch, and were not faster here.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            session = runtime.InferenceSession(content, options, ["CPUExecutionProvider"])
        except Exception as error:  # its errors have no common base class
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ValueError(f"{where} is not an ONNX model that can be run: {reason}") from None
        self._session = session
        self.facts = Facts.from_strings(session.get_modelmeta().custom_metadata_map, where)
        self._map_names = [o.name for o in session.get_outputs() if o.name != "images"]

    @property
    def config(self) -> NetworkConfig:
        """The network's configuration."""
        return self.facts.config.network

    def __call__(
        self, latents: Tensor, labels: Tensor | None = None, *, truncation: float = 0.0
    ) -> Tensor:
        """Generate images: float32 `b c h w` in [-1, 1], on the CPU.

        Args:
            latents: float `b z`.
            labels: int64 `b`; None when unconditional. Class weights are refused.
            truncation: t, to map the latents into [-t, t] first (`sagan.exchange.truncation`); 0
                takes them as they are, perhaps drawn truncated.
        """
        return self._run(["images"], latents, labels, truncation)[0]

    def attention(self, latents: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        """Give the attention maps `b n m` by layer, named as in `sagan.nn.record_attention`."""
        if not self._map_names:
            raise ValueError("this file has no attention maps: export with --attention")
        maps = self._run(self._map_names, latents, labels)
        return dict(zip(self._map_names, maps, strict=True))

    def _run(
        self, names: list[str], latents: Tensor, labels: Tensor | None, truncation: float = 0.0
    ) -> list[Tensor]:
        check_labels(labels, self.config.classes)
        z = self.config.latent_dim
        if latents.ndim != 2 or latents.shape[1] != z:
            raise ValueError(f"latents must be b x {z}, not {tuple(latents.shape)}")
        feed = {"latents": latents.float().numpy(force=True)}
        if labels is not None:
            if labels.is_floating_point():
                raise ValueError("an ONNX file takes class numbers; to mix classes, use the run")
            outside = labels[(labels < 0) | (labels >= self.config.classes)]
            if len(outside):  # ONNX would count negative ones from the end
                last = self.config.classes - 1
                raise ValueError(f"class {outside[0].item()} is not in 0 to {last}")
            feed["labels"] = labels.long().numpy(force=True)
        at_once = _images_at_once(self.config)
        scalars = self._truncation(truncation) if truncation else {}
        parts = [
            self._session.run(names, scalars | {k: v[i : i + at_once] for k, v in feed.items()})
            for i in range(0, max(1, len(latents)), at_once)
        ]
        made = [torch.cat(list(map(torch.from_numpy, part))) for part in zip(*parts, strict=True)]
        if self._trusted and not all(torch.isfinite(values).all() for values in made):
            raise ValueError("the file makes images that are not finite: its weights are damaged")
        return made

    def _truncation(self, truncation: float) -> dict[str, Any]:
        if not 0 < truncation < float("inf"):
            raise ValueError(f"truncation must be 0 (none) or more, not {truncation}")
        if _TRUNCATION not in {i.name for i in self._session.get_overridable_initializers()}:
            raise ValueError("this file takes no truncation: export it again")
        return {_TRUNCATION: torch.tensor(truncation, dtype=torch.float32).numpy()}


def _images_at_once(config: NetworkConfig) -> int:
    """Count the images whose attention maps fit into the memory that one call may take."""
    queries = max((side**2 for side in config.g_maps), default=0)
    keys = queries // 4 if config.attention_form == "paper" else queries
    return max(1, _MAX_MAP_BYTES // max(1, 4 * queries * keys))


def open_onnx(path: str | os.PathLike[str]) -> OnnxGenerator:
    """Open an ONNX file that `export_onnx` wrote."""
    size = Path(path).stat().st_size
    if size >= 2**31:
        raise ValueError(f"{path} has {size:,} bytes, more than an ONNX file can")
    unsealed = check_seal(path, path)
    generator = OnnxGenerator(Path(path).read_bytes(), path, trusted=True)
    if unsealed:
        warn_once(unsealed)
    return generator


def export_onnx(
    run: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    weights: Literal["ema", "raw"] = "ema",
    attention: bool = False,
) -> Exported:
    """Write a run's or checkpoint's generator as an ONNX file, if it gives the same images.

    Inputs: `latents` (float32 `b z`); with classes, `labels` (int64 `b`); optionally `truncation`
    (float32 scalar, by default 0, see `sagan.exchange.truncation`). Output: `images` (float32
    `b c h w` in [-1, 1]); with `attention`, also the maps (`b n m`), named by layer and computed
    only when asked for. The batch size is free.

    Raises:
        ValueError: maps are asked for, and the generator has none.
        ExportError: images differ from PyTorch's by more than 1e-4, or ONNX Runtime makes none;
            nothing is written.
    """
    network = load_run_generator(run, weights=weights)
    if attention and not network.config.g_maps:
        raise ValueError(f"{run} has no attention maps in its generator: leave --attention out")
    assert network.facts is not None
    content = onnx_bytes(network, network.facts.published(), attention=attention)
    exported = OnnxGenerator(content, out)
    try:
        differences = {b: _difference(network, exported, b) for b in _PARITY_BATCHES}
    except Exception as error:  # ONNX Runtime's have no common base class
        if not type(error).__module__.startswith("onnxruntime"):
            raise
        reason = one_line(error, 200)
        raise ExportError(
            f"ONNX Runtime cannot run what was exported, so {out} was not written: {reason}"
        ) from None
    worst = max(differences.values(), key=lambda d: d if d == d else float("inf"))
    if not worst <= MAX_DIFFERENCE:
        raise ExportError(
            f"ONNX Runtime's images differ from PyTorch's by {worst:.2g}, more than "
            f"{MAX_DIFFERENCE:g}: {out} was not written"
        )
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    write_atomically(Path(out), content)
    return Exported(Path(out), len(content), differences)


def onnx_bytes(generator: Generator, facts: Facts, *, attention: bool = False) -> bytes:
    """Fold a generator and export it as the content of an ONNX file."""
    try:
        import onnx
        import onnxscript  # noqa: F401 - torch's exporter needs it, and says so in many lines
    except ImportError:
        _refuse_without_extra()
    n_bytes = sum(tensor.nbytes for tensor in generator.state_dict().values())
    if n_bytes > _MAX_FILE_BYTES:
        raise ValueError(
            f"the weights take {n_bytes / 2**30:.1f} GiB, and an ONNX file holds at most 2: export "
            "them as safetensors"
        )
    folded = fold(generator)
    maps = _recorded(folded) if attention else {}
    latents, labels = _inputs(generator.config, _TRACED_BATCH)
    batch = {0: torch.export.Dim("batch")}
    arguments = {"latents": (latents, batch), _TRUNCATION: (torch.tensor(0.5), None)}
    if labels is not None:
        arguments["labels"] = labels, batch
    with _quiet_exporter():
        program = torch.onnx.export(
            _Graph(folded, maps=attention).eval(),
            tuple(tensor for tensor, _ in arguments.values()),
            input_names=list(arguments),
            output_names=["images", *maps],
            dynamic_shapes=tuple(shape for _, shape in arguments.values()),
            opset_version=_OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    for node in model.graph.node:  # drop the exporter's stack traces, with this machine's paths
        del node.metadata_props[:]
    del model.graph.metadata_props[:]
    default = onnx.helper.make_tensor(_TRUNCATION, onnx.TensorProto.FLOAT, [], [0.0])
    model.graph.initializer.append(default)  # an initialiser makes the input optional
    strings = {**facts.to_strings(), **_map_strings(maps), **UNSEALED}
    onnx.helper.set_model_props(model, strings)
    onnx.checker.check_model(model)
    return seal(model.SerializeToString())


class _Graph(nn.Module):
    """The graph to export: truncation, the generator, and optionally its attention maps."""

    def __init__(self, generator: Generator, *, maps: bool) -> None:
        super().__init__()
        self.generator = generator
        self.maps = maps

    def forward(
        self, latents: Tensor, truncation: Tensor, labels: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        maps: list[Tensor] = []

        def record(layer: SelfAttention, inputs: tuple[Tensor, ...], _output: Tensor) -> Tensor:
            output, weights = layer.reference(*inputs)  # computes the map once for both
            maps.append(weights)
            return output

        layers = [m for m in self.modules() if isinstance(m, SelfAttention) and self.maps]
        handles = [layer.register_forward_hook(record) for layer in layers]
        images = self.generator(truncated(latents, truncation), labels)
        for handle in handles:
            handle.remove()
        return images, *maps


def _recorded(generator: Generator) -> dict[str, AttentionMap]:
    with torch.no_grad(), record_attention(generator) as maps:
        generator(*_inputs(generator.config, 1))
    return maps


def _map_strings(maps: dict[str, AttentionMap]) -> dict[str, str]:
    """Say how to read the maps: query n is at row n // width, column n % width; keys likewise."""
    if not maps:
        return {}
    shapes: dict[str, Any] = {
        name: {"height": m.height, "width": m.width, "key_stride": m.key_stride, "gamma": m.gamma}
        for name, m in maps.items()
    }
    return {"sagan.attention": json.dumps(shapes)}


@torch.no_grad()
def _difference(network: Generator, exported: OnnxGenerator, batch: int) -> float:
    """Find the largest difference of images and maps; nan if either has one."""
    inputs = _inputs(network.config, batch)
    with record_attention(network) as maps:
        images = network(*inputs)
    found = [(images - exported(*inputs)).abs().max()]
    less = network(truncated(inputs[0], torch.tensor(_TRIED_TRUNCATION)), inputs[1])
    found.append((less - exported(*inputs, truncation=_TRIED_TRUNCATION)).abs().max())
    if exported._map_names:
        theirs = exported.attention(*inputs)
        found += [(maps[name].weights - theirs[name]).abs().max() for name in maps]
    return torch.stack(found).max().item()


def _inputs(config: NetworkConfig, batch: int) -> tuple[Tensor, Tensor | None]:
    """Make latents, and labels from the first class to the last."""
    labels = torch.linspace(0, config.classes - 1, batch).long() if config.classes else None
    return sample_latents(range(batch), config.latent_dim), labels


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Silence the exporter's warnings about its own code and a library that is not needed."""
    registration = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = registration.level
    registration.setLevel(logging.ERROR)  # "torchvision is not installed"
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)`", FutureWarning)
            warnings.filterwarnings("ignore", "# The axis name: batch will not be used")
            yield
    finally:
        registration.setLevel(level)


def _refuse_without_extra() -> NoReturn:
    raise ValueError("ONNX needs packages that are not installed: pip install 'sagan[onnx]'")
