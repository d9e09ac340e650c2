"""What to train: options, preset, an old run and facts about the data become one `RunConfig`.

Nothing is read or written.
"""

from dataclasses import replace
from typing import NamedTuple

from sagan.config import READING_RULES, DataConfig, RunConfig, TrainingConfig
from sagan.config.channels import discriminator_blocks, generator_blocks
from sagan.config.growth import parse_growth, share_out, stages_of
from sagan.config.network import spatial_latent_dim
from sagan.config.presets import ADAPTIVE_HOLDOUT, growing, growth_stages, preset
from sagan.config.resized import resized
from sagan.training.options import TrainOptions, network_options, training_options

DEFAULT_DATA = "digits"


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
        training.setdefault("holdout", base.training.holdout or ADAPTIVE_HOLDOUT)
    elif base.training.augment_target and ("augment_p" in options or training.get("augment") == ()):
        # it adapts no more, so that nothing need be held out
        training = {"augment_p": 1.0, "augment_target": 0.0, "holdout": 0.0, **training}
    config = replace(
        base,
        network=replace(base.network, **network),
        training=replace(base.training, **training),
    )
    by_time = "time" in options or (old is None and config.training.time_sec > 0)
    if by_time and ":" in options.get("grow", ""):
        raise ValueError(
            "a run by --time plans the images of each size: give --grow its sizes alone, or say "
            "--images"
        )
    if old is None:  # one that goes on may have other sizes' ends by now, if it went by time
        stages_of(config)  # raises where no images are left for the last size
    if "augment_p" in options and not config.training.augment:
        raise ValueError("--augment-p needs --augment: the kinds of augmentation")
    if "evaluate_metric" in training and not config.training.evaluate_every:
        raise ValueError("--metric needs --evaluate-every: the images between evaluations")
    if old is None:  # of one that goes on, other networks are refused by name
        generator_blocks(config.network)  # raises where attention does not fit
        discriminator_blocks(config.network)
    return config if data is None else _with_data(config, options, old, data)


def _resumed(options: TrainOptions, old: RunConfig) -> RunConfig:
    """The run's own configuration; what options change in it is refused later, by name."""
    network, init, data = old.network, old.init, data_options(options, old.data)
    if "grow" in options:
        kept = {stage.resolution: stage.images for stage in old.growth}
        sizes = {
            size: kept.get(size, 1) if n is None else n
            for size, n in parse_growth(options["grow"]).items()
        }
        if sizes != kept:
            old = replace(old, growth=growth_stages(sizes, old.training))
    if "resolution" in options:  # smaller ones alone can be grown through
        below = (stage for stage in old.growth if stage.resolution < options["resolution"])
        old = replace(old, growth=tuple(below))
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
    training = _with_batch_and_rates(training, options)
    data = replace(data_options(options, init.data), fingerprint="", rules=READING_RULES)
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
    name = options.get("preset", DEFAULT_DATA)
    network, training = preset(name, options.get("resolution"))
    training = _with_batch_and_rates(training, options)
    data = data_options(options, DataConfig(source=DEFAULT_DATA))
    base = RunConfig(preset=name, network=network, training=training, data=data)
    widths = {k: v for k, v in network_options(options).items() if k in ("g_width", "d_width")}
    total = options.get("images", training.images)
    return growing(base, options.get("grow"), total, **widths)


def _with_batch_and_rates(training: TrainingConfig, options: TrainOptions) -> TrainingConfig:
    """The given batch and learning rates: stages of growth depend on them."""
    return replace(
        training,
        batch_size=options.get("batch_size", training.batch_size),
        g_lr=options.get("g_lr", training.g_lr),
        d_lr=options.get("d_lr", training.d_lr),
    )


def data_options(options: TrainOptions, base: DataConfig) -> DataConfig:
    """The data configuration with the options of reading in it."""
    return replace(
        base,
        source=options.get("data", base.source),
        background=options.get("background", base.background),
        crop=options.get("crop", base.crop),
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
