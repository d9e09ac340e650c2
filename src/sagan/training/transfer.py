"""Fine-tuning: a new run's first checkpoint, out of another run's networks and optimisers.

Blocks go where their map has the side that it had (see `sagan.models.resized`), and are kept where
every shape is equal. Tables of classes are remapped by the classes' names. What is left is fresh.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from sagan.checkpoint import Checkpoint
from sagan.config import InitConfig, RunConfig
from sagan.models import Generator, build_discriminator, build_generator
from sagan.models.channels import discriminator_stages
from sagan.nn.blocks import DiscriminatorBlock, GeneratorBlock
from sagan.nn.norm import ConditionalBatchNorm
from sagan.nn.spectral import SpectralNorm, power_iteration
from sagan.run import Run, find_checkpoint
from sagan.runlog import append_records
from sagan.sampling import standing_statistics
from sagan.training.reclassing import Classes, State, reclassed, reclassed_moments

_FILES = ("generator", "discriminator", "ema", "g_optimizer", "d_optimizer")
_ADAM = ("exp_avg", "exp_avg_sq", "step")
_STATISTICS_BATCHES, _STATISTICS_BATCH_SIZE = 8, 16
_BRANCH = 0.1  # how strong the residual branch of an added block of G is at first
_MOST_NAMES = 8  # said in a line


@dataclass(frozen=True)
class Part:
    """How one network came over.

    Args:
        name: `G` or `D`.
        kept, fresh: modules of the new network.
        left: modules of the old one without a place.
        share: of the new network's parameters that are not fresh.
    """

    name: str
    kept: tuple[str, ...]
    fresh: tuple[str, ...]
    left: tuple[str, ...]
    share: float

    def said(self) -> str:
        """Say it in a line."""
        parts = [f"{self.share:.1%} of its weights kept ({', '.join(self.kept) or 'none'})"]
        if self.fresh:
            parts.append(f"fresh: {', '.join(self.fresh)}")
        if self.left:
            parts.append(f"left behind: {', '.join(self.left)}")
        return f"{self.name}: {'; '.join(parts)}"


def init_from(path: str) -> InitConfig:
    """Name a run's checkpoint (`best`, else `latest`), or a checkpoint folder, to begin from.

    Raises:
        ValueError: there is none.
        CheckpointError: it is damaged.
    """
    return InitConfig(source=path, sha256=find_checkpoint(path).manifest["sha256"])


def begin(run: Run, config: RunConfig) -> list[str]:
    """Write the first checkpoint of a run that begins from another's, where it has none that reads.

    Returns:
        What was kept, remapped and fresh, a line each; nothing where there was nothing to do.

    Raises:
        ValueError: the checkpoint to begin from is gone, or has become another.
        CheckpointError: it is damaged.
        OSError: the new one could not be written.
    """
    if not config.init.source or run.newest_sound_checkpoint()[0] is not None:
        return []
    source = find_checkpoint(config.init.source)
    if source.manifest["sha256"] != config.init.sha256:
        raise ValueError(
            f"{config.init.source} was trained on since {run.path} was to begin from it; name the "
            "checkpoint's folder itself, and another run folder"
        )
    tensors, parts, classes = transferred(source, config)
    facts: dict[str, Any] = {
        "source": config.init.source,
        "source_step": source.step,
        "parts": [vars(part) for part in parts],
        "known_classes": len(classes.known) - classes.known.count(None),
    }
    append_records(run.log_path, {"kind": "init", "step": 0, "images": 0, **facts})
    run.save(0, tensors, config=config, keep=1, facts={"images": 0, "init": facts})
    images = source.manifest.get("images", 0)
    lines = [f"Beginning from {source.path} ({images:,} images)", *(part.said() for part in parts)]
    return lines + _said_of_classes(classes, config.data.class_names)


def transferred(
    source: Checkpoint, config: RunConfig
) -> tuple[dict[str, State], list[Part], Classes]:
    """Fit a checkpoint's networks and optimisers into another configuration's.

    Args:
        source: where from; without a discriminator, the new one is fresh.
        config: of the new run; its sizes are best those of `sagan.models.resized`.

    Returns:
        What a checkpoint holds, by file; how G and D came over; and the classes.

    Raises:
        ValueError: the networks are of another family.
        CheckpointError: the checkpoint is damaged.
    """
    old = source.config
    if old.network.family != config.network.family:
        raise ValueError(f"{source.path} holds networks of the {old.network.family} family")
    names = [c.data.class_names[: c.network.classes] for c in (old, config)]
    classes = Classes.by_name(*names)
    generator = build_generator(config.network, seed=config.training.seed)
    discriminator = build_discriminator(config.network, seed=config.training.seed)
    added = len(discriminator_stages(config.network)) - len(discriminator_stages(old.network))
    files = {name: _read(source, name) for name in _FILES}
    g_names, g_part = _fit("G", generator, files["generator"], classes, 0)
    d_names, d_part = _fit("D", discriminator, files["discriminator"], classes, added)
    for network, part in ((generator, g_part), (discriminator, d_part)):
        for module in part.fresh:
            _pass_through(network.get_submodule(module))
    tensors = {}
    for name, network, fitting in (
        ("generator", generator, g_names),
        ("ema", generator, g_names),
        ("discriminator", discriminator, d_names),
    ):
        weights = _renamed(reclassed(files[name], classes), fitting)
        fresh = _copied(network)
        if network is generator and g_part.fresh:
            fresh = _with_statistics(generator, {**fresh, **weights}, config)
        tensors[name] = {**fresh, **weights}
    for name, network, fitting in (
        ("g_optimizer", generator, g_names),
        ("d_optimizer", discriminator, d_names),
    ):
        moments = reclassed_moments(files[name], classes)
        parameters = {key for key, _ in network.named_parameters()} & fitting.keys()
        wanted = {f"{new}.{k}": f"{fitting[new]}.{k}" for new in parameters for k in _ADAM}
        tensors[name] = _renamed(moments, {n: o for n, o in wanted.items() if o in moments})
    for letter, network, average in (("g", generator, ["ema"]), ("d", discriminator, [])):
        raw = "generator" if letter == "g" else "discriminator"
        shrunk = _excess(network, tensors[raw])
        for weight, excess in shrunk.items():
            for name in (raw, *average):
                tensors[name][weight] = tensors[name][weight] / excess
            moments = tensors[f"{letter}_optimizer"]
            for key, factor in (("exp_avg", excess), ("exp_avg_sq", excess**2)):
                if f"{weight}.{key}" in moments:
                    moments[f"{weight}.{key}"] = moments[f"{weight}.{key}"] * factor
    return tensors, [g_part, d_part], classes


def _excess(network: nn.Module, state: Mapping[str, Tensor]) -> dict[str, float]:
    fresh = dict(network.named_parameters())
    return {
        f"{name}.layer.weight": (
            state[f"{name}.layer.weight"].norm() / fresh[f"{name}.layer.weight"].norm()
        ).item()
        for name, module in network.named_modules()
        if isinstance(module, SpectralNorm)
    }


def _read(source: Checkpoint, name: str) -> State:
    return source.tensors(name) if source.has(name) else {}


def _fit(
    letter: str, network: nn.Module, old: State, classes: Classes, added: int
) -> tuple[dict[str, str], Part]:
    """Find the old name for each of a network's tensors that has one, module by module."""
    new, modules = network.state_dict(), map(_module, old)
    old = reclassed(old, classes)
    by_module: dict[str, list[str]] = {}
    for name in new:
        by_module.setdefault(_module(name), []).append(name)
    names: dict[str, str] = {}
    kept: list[str] = []
    used: set[str] = set()
    for module, members in by_module.items():
        before = _module_before(module, added)
        found = {name: before + name.removeprefix(module) for name in members}
        if all(o in old and old[o].shape == new[n].shape for n, o in found.items()):
            names |= found
            kept.append(module)
            used.add(before)
    sizes = {name: p.numel() for name, p in network.named_parameters()}
    share = sum(sizes[name] for name in names if name in sizes) / sum(sizes.values())
    fresh = tuple(module for module in by_module if module not in kept)
    left = tuple(dict.fromkeys(module for module in modules if module not in used))
    return names, Part(letter, tuple(kept), fresh, left, share)


def _pass_through(block: nn.Module) -> None:
    """Let a fresh block that changes no width begin by handing its input on, bar its map's size."""
    if not isinstance(block, GeneratorBlock | DiscriminatorBlock) or block.shortcut is None:
        return
    shortcut = block.shortcut
    conv = shortcut.layer if isinstance(shortcut, SpectralNorm) else shortcut
    assert isinstance(conv, nn.Conv2d)
    if conv.in_channels != conv.out_channels:
        return
    assert conv.bias is not None
    nn.init.dirac_(conv.weight)
    nn.init.zeros_(conv.bias)
    power_iteration(shortcut, steps=1)
    if isinstance(block, GeneratorBlock):
        norm = block.norm2.norm
        if isinstance(norm, ConditionalBatchNorm):
            nn.init.constant_(norm.gain.weight, _BRANCH - 1)
        else:
            nn.init.constant_(norm.weight, _BRANCH)


def _module(name: str) -> str:
    """The part of a network that is kept or made whole: a block, an attention layer, a layer."""
    first, second, *_ = name.split(".")
    return f"{first}.{second}" if second.isdecimal() else first


def _module_before(module: str, added: int) -> str:
    """Where a module stood in a network that has got so many blocks more at its image end."""
    kind, _, number = module.partition(".")
    if not number or not added:
        return module
    if kind == "blocks" and number == "0" and added > 0:
        return module  # the one that sees images is of a kind of its own
    return f"{kind}.{int(number) - added}"


def _renamed(state: Mapping[str, Tensor], names: Mapping[str, str]) -> State:
    return {new: state[old] for new, old in names.items()}


def _copied(network: nn.Module) -> State:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def _with_statistics(generator: Generator, state: State, config: RunConfig) -> State:
    """Work out the batch-norm statistics, of which those of fresh modules are wanted."""
    generator.load_state_dict(state)
    standing_statistics(
        generator,
        config.network,
        batches=_STATISTICS_BATCHES,
        batch_size=_STATISTICS_BATCH_SIZE,
        seed=config.training.seed,
    )
    return _copied(generator)


def _said_of_classes(classes: Classes, names: Sequence[str]) -> list[str]:
    if classes.same:
        return []
    if not classes.known:
        return [f"Classes: the {classes.before} there were are left out; their mean is kept"]
    pairs = list(zip(names, classes.known, strict=True))
    known = [name for name, label in pairs if label is not None]
    new = [name for name, label in pairs if label is None]
    said = [f"by name {_few(known)}"] if known else []
    if new:
        start = "at the mean of those there were" if classes.before else "all alike"
        said.append(f"new, {start}: {_few(new)}")
    return [f"Classes: {'; '.join(said)}"]


def _few(names: Sequence[str]) -> str:
    """Name some, and say how many there are.

    Example:
        >>> _few([str(i) for i in range(100)])
        '0, 1, 2, 3, 4, 5, 6, 7, ... (100)'
    """
    more = ["..."] if len(names) > _MOST_NAMES else []
    return f"{', '.join([*names[:_MOST_NAMES], *more])} ({len(names)})"
