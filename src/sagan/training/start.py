"""Starting a run or continuing one: options, preset, data and what is there become one `RunConfig`.

`plan` decides; it reads and writes nothing. `train_run` finds what is there, opens the data and
trains.
"""

import os
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Unpack, cast

from sagan.config import READING_RULES, DataConfig, RunConfig
from sagan.config.channels import discriminator_blocks, generator_blocks
from sagan.config.growth import parse_growth, share_out, stages_of
from sagan.config.network import spatial_latent_dim
from sagan.config.presets import default_preset, growing, growth_stages, preset
from sagan.config.resized import resized
from sagan.data import ImageDataset, load_dataset
from sagan.data.load import native_resolution
from sagan.runs.place import locate
from sagan.runs.run import Run, find_checkpoint
from sagan.text import skipped
from sagan.training.finetune import init_from
from sagan.training.options import TrainOptions, network_options, runtime, training_options

if TYPE_CHECKING:
    from sagan.training.loop import TrainResult

DEFAULT_DATA = "digits"
_ADAPTIVE_HOLDOUT = 0.1


class DataFacts(NamedTuple):
    """What a configuration says about opened data."""

    channels: int
    class_names: tuple[str, ...]
    fingerprint: str


def plan(
    options: TrainOptions,
    *,
    old: RunConfig | None = None,
    init: RunConfig | None = None,
    data: DataFacts | None = None,
) -> RunConfig:
    """Settle what to train.

    Args:
        options: as given.
        old: configuration of the run to continue.
        init: of the checkpoint that a new run begins from, with its source as `init`.
        data: of the images. Opening them is slow: without, the plan is what the options alone
            say, good enough to refuse them.

    Raises:
        ValueError: the options contradict each other or what is there.

    Example:
        >>> plan({"preset": "paper", "resolution": 32, "seed": 7}).training.seed
        7
    """
    if {"time", "images"} <= options.keys():
        raise ValueError("--time and --images both say how long to train: give one of them")
    if "time" in options and ":" in options.get("grow", ""):
        raise ValueError("--time plans the images of each size: give --grow its sizes alone")
    if old is not None:
        base = _resumed(options, old)
    elif init is not None:
        base = _fine_tuned(options, init)
    else:
        base = _new(options)
    network, training = network_options(options), training_options(options)
    if network.get("latent", base.network.latent) != base.network.latent and old is None:
        if init is not None:
            raise ValueError("--latent cannot be chosen with --init: it is that run's")
        if network["latent"] == "spatial":
            network["latent_dim"] = spatial_latent_dim(base.network.resolution)
    if old is None and init is not None and "d_attention" in network:
        network["d_attention_blocks"] = ()  # where an imported network's attention stood
    if training.get("augment_target"):
        training.setdefault("holdout", base.training.holdout or _ADAPTIVE_HOLDOUT)
    config = replace(
        base,
        network=replace(base.network, **network),
        training=replace(base.training, **training),
    )
    stages_of(config)  # raises where no images are left for the last size
    if "evaluate_metric" in training and not config.training.evaluate_every:
        raise ValueError("--metric needs --evaluate-every: the images between evaluations")
    generator_blocks(config.network)  # raises where attention does not fit
    discriminator_blocks(config.network)
    return config if data is None else _with_data(config, options, old, data)


def _resumed(options: TrainOptions, old: RunConfig) -> RunConfig:
    """The run's own configuration; what options change in it is refused later, by name."""
    network, init, data = old.network, old.init, _data(options, old.data)
    if "grow" in options:
        kept = {stage.resolution: stage.images for stage in old.growth}
        sizes = {size: n or kept.get(size, 1) for size, n in parse_growth(options["grow"]).items()}
        if sizes != kept:
            old = replace(old, growth=growth_stages(sizes, old.training))
    if not old.data.source:  # imported: its pictures are new to it
        data = replace(data, rules=READING_RULES)
    if "init" in options:
        init = replace(init, source=str(options["init"]))
    if options.get("unconditional"):
        network, data = replace(network, classes=0), replace(data, class_names=())
    name = options.get("preset", old.preset)
    return replace(old, preset=name, network=network, data=data, init=init)


def _fine_tuned(options: TrainOptions, init: RunConfig) -> RunConfig:
    """The networks and data of the run to begin from, and its recipe or a preset's."""
    for name in {"g_width", "d_width"} & options.keys():
        raise ValueError(
            f"--{name.replace('_', '-')} cannot be chosen with --init: widths are those of "
            f"{init.init.source}"
        )
    training = replace(init.training, freeze_d=0)
    if "preset" in options:
        training = preset(options["preset"])[1]
    data = replace(_data(options, init.data), fingerprint="", rules=READING_RULES)
    if not data.source:
        raise ValueError(f"{init.init.source} was imported and has no data: name some with --data")
    total = options.get("images", training.images)
    sizes = share_out(parse_growth(options.get("grow", "none")), total)
    return replace(
        init,
        preset=options.get("preset", init.preset),
        network=resized(init.network, options.get("resolution", init.network.resolution)),
        training=replace(training, ema_start=0),
        data=data,
        growth=growth_stages(sizes, training),
    )


def _new(options: TrainOptions) -> RunConfig:
    """A preset."""
    if options.get("freeze_d"):
        raise ValueError("--freeze-d keeps what was trained before: it needs --init")
    name = options.get("preset", default_preset(0, DEFAULT_DATA)[0])
    network, training = preset(name, options.get("resolution"))
    data = _data(options, DataConfig(source=DEFAULT_DATA))
    base = RunConfig(preset=name, network=network, training=training, data=data)
    widths = {k: v for k, v in network_options(options).items() if k in ("g_width", "d_width")}
    total = options.get("images", training.images)
    return growing(base, options.get("grow"), total, **widths)


def _data(options: TrainOptions, base: DataConfig) -> DataConfig:
    return replace(
        base,
        source=options.get("data", base.source),
        background=options.get("background", base.background),
    )


def _with_data(
    config: RunConfig, options: TrainOptions, old: RunConfig | None, data: DataFacts
) -> RunConfig:
    """Take channels, classes and fingerprint from the data."""
    if "unconditional" in options:
        conditional = not options["unconditional"]
    else:
        conditional = old is None or old.network.classes > 0
    names = data.class_names if conditional and config.network.family != "dcgan" else ()
    fingerprint = data.fingerprint
    if old is not None and old.data.source:  # a run older than fingerprints takes any data
        fingerprint = old.data.fingerprint
    return replace(
        config,
        network=replace(config.network, channels=data.channels, classes=len(names)),
        data=replace(config.data, class_names=names, fingerprint=fingerprint),
    )


def train_run(
    path: str | os.PathLike[str] | None = None,
    *,
    progress: bool = True,
    **options: Unpack[TrainOptions],
) -> "TrainResult":
    """Train a run as `sagan train` does: begin it, continue it, or fine-tune from another.

    The same call again resumes; a larger `images` or `time` extends a finished run; other changes
    are refused.

    Args:
        path: the run's folder; by default `runs/DATA-PRESET`.
        progress: show it on stderr.
        options: those of `sagan train`, by name (`batch_size` for `--batch-size`); left out, they
            come from the run, or from the preset for a new one.

    Returns:
        The run's folder, how many images it has been trained on, and the exit code: 0 when done,
        130 after Ctrl-C, 143 after SIGTERM.

    Raises:
        ValueError: the options contradict each other, the run, the data or the machine.
        CheckpointError: there are checkpoints, but none is sound.
        TrainingFailure: training cannot continue; the earlier checkpoints stand.
        OSError: something could not be read or written.

    Example:
        >>> import tempfile
        >>> folder = tempfile.mkdtemp()
        >>> result = train_run(folder, data="digits", g_width=4, images=64, progress=False)
        >>> result.images
        64
    """
    from sagan.training.loop import train  # with the engine under it

    given = cast(TrainOptions, {k: v for k, v in options.items() if v is not None})
    for name, value in (("RUN", path), ("--data", given.get("data"))):
        if value is not None and not str(value).strip():
            raise ValueError(f"{name} is empty: a shell variable that is not set?")
    how = runtime(given)
    first = "LOCAL_RANK" not in os.environ  # not one that the engine started with this command

    def say(*lines: str) -> None:
        if progress and first:
            print(*lines, sep="\n", file=sys.stderr)

    # Which run? Its default name contains the preset, which may depend on the number of images.
    run, old = _begun_before(given) if path is None else _existing(Path(path))
    dataset = None
    if old is None and not given.keys() & {"init", "preset"}:
        given, dataset, reason = _with_default_preset(given, progress)
        if reason:
            say(f"Preset {given['preset']} at {given['resolution']} px: {reason}.")
    if run is None:
        run, old = _existing(Path("runs") / _default_name(given))
    init = _parent(given["init"]) if old is None and "init" in given else None

    # What is certain to be refused is refused before the data are opened, which can take long.
    config = plan(given, old=old, init=init)
    if old is not None:
        run.check_continues(config, old)
    if dataset is None or old is not None:
        own_channels = old is None and init is None and "channels" not in given
        dataset = _open(
            given,
            config.data,
            config.network.resolution,
            0 if own_channels else config.network.channels,
            progress,
        )
    if dataset.excluded:
        say(*skipped(dataset.excluded, "the run's data.json"))
    facts = DataFacts(dataset.images.shape[1], dataset.class_names, dataset.fingerprint)
    if old is not None:
        _check_unchanged(run, old, facts.fingerprint)
    config = plan(given, old=old, init=init, data=facts)
    if given.get("from_scratch") and first and old is not None:
        run.check_continues(config, old)  # before anything is moved
        if aside := run.set_aside():
            say(f"What the run had is now in {aside}.")
    chosen = old is not None or bool(given.keys() & {"images", "time"})
    return train(config, run, dataset, runtime=how, progress=progress, chosen=chosen)


def _existing(path: Path) -> tuple[Run, RunConfig | None]:
    """A run folder, and its configuration if there is one already."""
    locate(path).require("run", "folder", "nothing")
    run = Run(path)
    return run, run.config() if run.exists() else None


def _begun_before(options: TrainOptions) -> tuple[Run | None, RunConfig | None]:
    """The run that the same command began with a preset by default, found without its images."""
    if "data" in options and not options.keys() & {"init", "preset"}:
        for name in ("small", "best"):  # what `default_preset` chooses
            run, old = _existing(Path("runs") / _default_name({**options, "preset": name}))
            if old is not None and old.data.source == options["data"]:
                return run, old
    return None, None


def _default_name(options: TrainOptions) -> str:
    """The name of a run's folder: DATA-PRESET, or DATA-from-RUN.

    Example:
        >>> _default_name({"data": "pictures/cats.tar.gz", "preset": "small"})
        'cats-small'
        >>> _default_name({"data": "hub:a/b:test", "init": "runs/cats/checkpoints/step-00000100"})
        'a_b_test-from-cats'
    """
    source = options.get("data", DEFAULT_DATA)
    if source.startswith("hub:"):
        stem = re.sub(r"[^\w.-]+", "_", source.removeprefix("hub:"))
    else:
        name = Path(source).resolve().name
        stem = name.split(".")[0] or name or "data"
    if "init" not in options:
        return f"{stem}-{options['preset']}"
    init = Path(options["init"]).resolve()
    return f"{stem}-from-{(init.parents[1] if init.parent.name == 'checkpoints' else init).name}"


def _with_default_preset(
    options: TrainOptions, progress: bool
) -> tuple[TrainOptions, ImageDataset | None, str]:
    """Choose a new run's preset by the number of its images; those are opened for it.

    The reason is given for the user's own images only.
    """
    source = options.get("data", DEFAULT_DATA)
    if source == DEFAULT_DATA:
        return {**options, "preset": default_preset(0, source)[0]}, None, ""
    resolution = options.get("resolution") or native_resolution(source)
    data = _data(options, DataConfig())
    dataset = _open(options, data, resolution, options.get("channels", 0), progress)
    name, reason = default_preset(len(dataset), source)
    return {**options, "preset": name, "resolution": resolution}, dataset, reason


def _open(
    options: TrainOptions, data: DataConfig, resolution: int, channels: int, progress: bool
) -> ImageDataset:
    return load_dataset(
        data.source,
        resolution=resolution,
        channels=channels,
        background=data.background,
        rules=data.rules,
        strict=options.get("strict", False),
        progress=progress,
    )


def _parent(init: str | Path) -> RunConfig:
    """The configuration of the checkpoint to begin from, which is named in it."""
    return replace(find_checkpoint(init).config, init=init_from(str(init)))


def _check_unchanged(run: Run, old: RunConfig, fingerprint: str) -> None:
    before = old.data.fingerprint
    if before and before != fingerprint:
        raise ValueError(
            f"the data have changed since {run.path} was started (fingerprint {before[:12]} -> "
            f"{fingerprint[:12]}); put the same pictures back, or name another run folder"
        )
