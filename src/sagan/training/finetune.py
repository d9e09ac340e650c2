"""Fine-tuning: make a new run's first checkpoint from another run's networks and optimisers.

Blocks move to where their feature map has the same side (see `sagan.config.resized`), and are kept
if every shape is equal. Class tables are remapped by class name. Everything else is fresh.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from torch import nn

from sagan.config import InitConfig, RunConfig
from sagan.config.channels import discriminator_blocks
from sagan.config.growth import stage_config
from sagan.models import Discriminator, Generator, build_discriminator, build_generator
from sagan.models.standing import standing_statistics
from sagan.nn.blocks import DiscriminatorBlock, GeneratorBlock
from sagan.nn.norm import ConditionalBatchNorm
from sagan.nn.spectral import SpectralNorm, power_iteration
from sagan.runs.checkpoint import Checkpoint
from sagan.runs.log import append_records
from sagan.runs.run import Run, find_checkpoint
from sagan.text import listed
from sagan.training.finetune_classes import Classes, State, reclassed, reclassed_moments

_FILES = ("generator", "ema", "discriminator", "g_optimizer", "d_optimizer")
_STATISTICS_BATCHES, _STATISTICS_BATCH_SIZE = 8, 16
_BRANCH = 0.1  # initial strength of the residual branch of a block added to G
_MOST_NAMES = 8  # listed in a line


@dataclass(frozen=True)
class Transfer:
    """What one network kept of the old run's."""

    name: str  # `G` or `D`
    kept: tuple[str, ...]  # modules of the new network
    fresh: tuple[str, ...]
    left: tuple[str, ...]  # modules of the old network without a place
    share: float  # of the new network's parameters, those kept

    def described(self) -> str:
        """All of it in a line."""
        parts = [f"{self.share:.1%} of its weights kept ({', '.join(self.kept) or 'none'})"]
        if self.fresh:
            parts.append(f"fresh: {', '.join(self.fresh)}")
        if self.left:
            parts.append(f"left behind: {', '.join(self.left)}")
        return f"{self.name}: {'; '.join(parts)}"


def init_from(path: str) -> InitConfig:
    """The configuration to start from a run's checkpoint (`best`, else `latest`), or a folder's.

    Raises:
        ValueError: there is no checkpoint.
        CheckpointError: it is damaged.
    """
    return parent_from(path).init


def parent_from(path: str) -> RunConfig:
    """The configuration of a checkpoint to start from, as the `init` of which it is named."""
    checkpoint = find_checkpoint(path, verify_files=None)
    init = InitConfig(source=path, sha256=checkpoint.manifest["sha256"])
    return replace(checkpoint.config, init=init)


def open_parent(run: Run, config: RunConfig) -> Checkpoint:
    """The checkpoint that a run starts from; ValueError if it is gone or has changed."""
    source = find_checkpoint(config.init.source, verify_files=None)
    if source.manifest["sha256"] != config.init.sha256:
        raise ValueError(
            f"{config.init.source} was trained further since {run.path} was to start from it; name "
            "the checkpoint's folder itself, and another run folder"
        )
    return source


def check_frozen(config: RunConfig) -> None:
    """Raise ValueError if what is to be frozen would be fresh: it would never learn."""
    blocks = config.training.freeze_d
    if not blocks or not config.init.source:
        return
    if config.growth:
        raise ValueError(
            "--freeze-d freezes the blocks nearest the image, and these are new at each size of a "
            "run that grows: leave out --grow or --freeze-d"
        )
    _, (_, d), _ = transferred(find_checkpoint(config.init.source, verify_files=None), config)
    there = range(min(blocks, len(discriminator_blocks(config.network))))  # more is refused later
    names = [f"{kind}.{i}" for i in there for kind in ("blocks", "attention")]
    fresh = [name for name in names if name in d.fresh]
    if fresh:
        raise ValueError(
            f"--freeze-d {blocks} would freeze {listed(fresh)}, new in this run: "
            f"{config.init.source} has nothing there to keep"
        )


def begin(run: Run, config: RunConfig) -> list[str]:
    """Write the first checkpoint of a run that starts from another's, unless it has a sound one.

    Returns what was kept, remapped and fresh, a line each. A source checkpoint that is gone or has
    changed raises ValueError; a damaged one CheckpointError.
    """
    if not config.init.source or run.checkpoint_to_resume()[0] is not None:
        return []
    source = open_parent(run, config)
    tensors, parts, classes = transferred(source, stage_config(config, 0))
    facts: dict[str, Any] = {
        "source": config.init.source,
        "source_step": source.step,
        "parts": [vars(part) for part in parts],
        "known_classes": len(classes.known) - classes.known.count(None),
    }
    append_records(run.log_path, {"kind": "init", "step": 0, "images": 0, **facts})
    run.save(0, tensors, config=config, keep=1, facts={"images": 0, "init": facts})
    images = source.manifest.get("images", 0)
    return [
        f"Beginning from {source.path} ({images:,} images)",
        *(part.described() for part in parts),
        *_describe_classes(classes, config.data.class_names),
    ]


def transferred(
    source: Checkpoint, config: RunConfig
) -> tuple[dict[str, State], list[Transfer], Classes]:
    """Fit a checkpoint's networks and optimisers to another configuration of the same family.

    Returns the new checkpoint's tensors by file, how G and D came over, and the classes. Without a
    discriminator in the source, the new one is fresh. Most is kept if the sizes are those of
    `sagan.config.resized`.
    """
    old = source.config
    if old.network.family != config.network.family:
        raise ValueError(f"{source.path} holds networks of the {old.network.family} family")
    names = [c.data.class_names[: c.network.classes] for c in (old, config)]
    classes = Classes.by_name(*names)
    added = len(discriminator_blocks(config.network)) - len(discriminator_blocks(old.network))
    files = {name: source.tensors(name) if source.has(name) else {} for name in _FILES}
    seed = config.training.seed
    generator = build_generator(config.network, seed=seed)
    discriminator = build_discriminator(config.network, seed=seed)
    g = _Fitting.of("G", generator, files["generator"], classes, 0)
    d = _Fitting.of("D", discriminator, files["discriminator"], classes, added)
    tensors = {name: g.state(files[name]) for name in ("generator", "ema")}
    if g.part.fresh:
        for name, state in tensors.items():
            tensors[name] = _with_fresh_statistics(g, state, config)
    tensors["discriminator"] = d.state(files["discriminator"])
    tensors["g_optimizer"] = g.moments(files["g_optimizer"])
    tensors["d_optimizer"] = d.moments(files["d_optimizer"])
    return tensors, [g.part, d.part], classes


@dataclass(frozen=True)
class _Fitting:
    """Which of an old network's tensors become which of a new one's."""

    network: Generator | Discriminator  # the new one, fresh
    classes: Classes
    names: Mapping[str, str]  # of each tensor kept: the new name, and the old one
    excess: Mapping[
        str, float
    ]  # norm of each kept spectrally normalised weight, over a fresh one's
    part: Transfer

    @classmethod
    def of(
        cls,
        letter: Literal["G", "D"],
        network: Generator | Discriminator,
        old: State,
        classes: Classes,
        added: int,
    ) -> "_Fitting":
        """Fit module by module; `added` blocks at the image end shift the blocks' numbers."""
        fresh = network.state_dict()
        modules = dict.fromkeys(map(_module, old))
        old = reclassed(old, classes, fresh)
        by_module: dict[str, list[str]] = {}
        for name in fresh:
            by_module.setdefault(_module(name), []).append(name)
        names: dict[str, str] = {}
        kept: dict[str, str] = {}
        for module, members in by_module.items():
            before = _module_before(module, added)
            found = {name: before + name.removeprefix(module) for name in members}
            if all(o in old and old[o].shape == fresh[n].shape for n, o in found.items()):
                names |= found
                kept[module] = before
            else:
                _pass_through(network.get_submodule(module))
        sizes = {name: p.numel() for name, p in network.named_parameters()}
        part = Transfer(
            name=letter,
            kept=tuple(kept),
            fresh=tuple(module for module in by_module if module not in kept),
            left=tuple(module for module in modules if module not in kept.values()),
            share=sum(sizes[name] for name in names if name in sizes) / sum(sizes.values()),
        )
        normalised = {
            f"{name}.layer.weight"
            for name, module in network.named_modules()
            if isinstance(module, SpectralNorm)
        }
        excess = {
            name: (old[names[name]].norm() / fresh[name].norm()).item()
            for name in normalised & names.keys()
        }
        return cls(network, classes, names, excess, part)

    def state(self, old: State) -> State:
        """Fit the old network's weights and buffers, raw or averaged; the rest is fresh."""
        # A spectrally normalised layer computes the same whatever its weight's norm, but learns
        # more slowly the larger it is: norms are brought back to a fresh layer's.
        fresh = self.network.state_dict()
        old = reclassed(old, self.classes, fresh)
        state = {name: tensor.clone() for name, tensor in fresh.items()}
        state |= {name: old[before] for name, before in self.names.items()}
        state |= {name: state[name] / excess for name, excess in self.excess.items()}
        return state

    def moments(self, old: State) -> State:
        """Fit Adam's state; fresh parameters have none."""
        old = reclassed_moments(old, self.classes)
        moments = {}
        for name, _ in self.network.named_parameters():
            if name in self.names:
                excess = self.excess.get(name, 1.0)
                for kind, factor in (("exp_avg", excess), ("exp_avg_sq", excess**2), ("step", 1)):
                    before = f"{self.names[name]}.{kind}"
                    if before in old:
                        moments[f"{name}.{kind}"] = old[before] * factor
        return moments


def _pass_through(block: nn.Module) -> None:
    """Start a fresh block that keeps the width as the identity, apart from resizing its map."""
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
    """The unit that is kept or fresh as a whole: a block, an attention layer or another layer."""
    first, second, *_ = name.split(".")
    return f"{first}.{second}" if second.isdecimal() else first


def _module_before(module: str, added: int) -> str:
    """A module's old name, if the network has gained `added` blocks at its image end."""
    kind, _, number = module.partition(".")
    if not number or not added:
        return module
    if kind == "blocks" and number == "0" and added > 0:
        return module  # the block that sees images has a form of its own
    return f"{kind}.{int(number) - added}"


def _with_fresh_statistics(fitting: _Fitting, state: State, config: RunConfig) -> State:
    """Recompute the batch-norm statistics of fresh modules; the others stay."""
    generator = fitting.network
    generator.load_state_dict(state)
    standing_statistics(
        generator,
        config.network,
        batches=_STATISTICS_BATCHES,
        batch_size=_STATISTICS_BATCH_SIZE,
        seed=config.training.seed,
    )
    fresh = {name: tensor.clone() for name, tensor in generator.state_dict().items()}
    return {**fresh, **{name: state[name] for name in fitting.names}}


def _describe_classes(classes: Classes, names: Sequence[str]) -> list[str]:
    if classes.same:
        return []
    if not classes.known:
        return [f"Classes: the {classes.before} old ones are dropped; their mean is kept"]
    pairs = list(zip(names, classes.known, strict=True))
    known = [name for name, label in pairs if label is not None]
    new = [name for name, label in pairs if label is None]
    said = [f"by name {_few(known)}"] if known else []
    if new:
        said.append(f"new: {_few(new)}")
    return [f"Classes: {'; '.join(said)}"]


def _few(names: Sequence[str]) -> str:
    return f"{listed(names, _MOST_NAMES)} ({len(names)})"
