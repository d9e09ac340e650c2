"""Starting a run, or going on with one: options, preset and data joined into one configuration."""

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sagan.cli.common import refuse_shared, say_what_is_left_out
from sagan.config import READING_RULES, DataConfig, RunConfig, Runtime
from sagan.config.presets import preset
from sagan.files import refuse_file

if TYPE_CHECKING:
    from sagan.data import ImageDataset
    from sagan.runs.run import Run

DEFAULT_PRESET = "digits"
DEFAULT_DATA = "digits"
_ADAPTIVE_HOLDOUT = 0.1


def start(
    path: Path,
    *,
    data: str | None = None,
    background: str | None = None,
    strict: bool = False,
    preset_name: str | None = None,
    init: Path | None = None,
    resolution: int | None = None,
    unconditional: bool | None = None,
    network_options: dict[str, Any] | None = None,
    training_options: dict[str, Any] | None = None,
    runtime: Runtime | None = None,
    opened: "ImageDataset | None" = None,
    from_scratch: bool = False,
) -> int:
    """Join options, preset, data and an existing run into one configuration, and train it.

    `opened` are the images, if they were opened already with a new run's options.
    """
    from sagan.config.channels import discriminator_stages, generator_stages
    from sagan.data import load_dataset
    from sagan.runs.run import Run
    from sagan.training import train as train_run

    refuse_file(path)
    run = Run(path)
    network_given = _given({**(network_options or {}), "resolution": resolution})
    training_given = _given(training_options or {})
    if run.exists():
        opened = None  # it may have another resolution or background
        old = run.config()
        base = replace(
            old,
            preset=preset_name or old.preset,
            data=replace(
                old.data,
                source=data or old.data.source,
                background=background or old.data.background,
                rules=old.data.rules if old.data.source else READING_RULES,
            ),
            init=replace(old.init, source=str(init)) if init else old.init,
        )
        network_given.setdefault("channels", old.network.channels)
        conditional = old.network.classes > 0 if unconditional is None else not unconditional
    elif init is not None:
        base = _base_from(init, preset_name, resolution, network_given)
        source = replace(base.data, background=background or base.data.background)
        base = replace(base, data=replace(source, source=data or source.source))
        if not base.data.source:
            raise ValueError(f"{init} was imported and has no data: name some with --data")
        network_given.setdefault("channels", base.network.channels)
        conditional = base.network.family != "dcgan" and not unconditional
    else:
        if training_given.get("freeze_d"):
            raise ValueError("--freeze-d keeps what was trained before: it needs --init")
        name = preset_name or DEFAULT_PRESET
        network, training = preset(name, resolution)
        source = DataConfig(source=data or DEFAULT_DATA, background=background or "white")
        base = RunConfig(preset=name, network=network, training=training, data=source)
        conditional = network.family != "dcgan" and not unconditional
    if training_given.get("augment_target"):
        training_given.setdefault("holdout", base.training.holdout or _ADAPTIVE_HOLDOUT)
    config = replace(
        base,
        network=replace(base.network, **network_given),
        training=replace(base.training, **training_given),
    )
    if "evaluate_metric" in training_given and not config.training.evaluate_every:
        raise ValueError("--metric needs --evaluate-every: the images between evaluations")
    run.check_continues(config)
    generator_stages(config.network)  # that attention fits, before anything slow
    discriminator_stages(config.network)
    dataset = opened or load_dataset(
        config.data.source,
        resolution=config.network.resolution,
        channels=network_given.get("channels", 0),
        background=config.data.background,
        rules=config.data.rules,
        strict=strict,
        progress=True,
    )
    say_what_is_left_out(dataset.excluded, "the run's data.json")
    fingerprint = _check_unchanged(run, dataset.fingerprint)
    names = dataset.class_names if conditional else ()
    config = replace(
        config,
        network=replace(config.network, channels=dataset.images.shape[1], classes=len(names)),
        data=replace(config.data, class_names=names, fingerprint=fingerprint),
    )
    run.check_continues(config)
    if from_scratch and "LOCAL_RANK" not in os.environ:  # once, not in the processes started here
        aside = run.set_aside() if run.exists() else None
        if aside is not None:
            print(f"What the run had is now in {aside}.", file=sys.stderr)
    result = train_run(config, run, dataset, runtime=runtime)
    if result.rank == 0:
        _say_how_it_ended(path, result.images, result.exit_code)
    return result.exit_code


def _base_from(
    init: Path, preset_name: str | None, resolution: int | None, network_given: dict[str, Any]
) -> RunConfig:
    """The configuration of a run that begins from another's networks, before its own options."""
    from sagan.config.resized import resized
    from sagan.runs.run import find_checkpoint
    from sagan.training import init_from

    refuse_shared(init)
    for name in ("g_width", "d_width"):
        if name in network_given:
            option = name.replace("_", "-")
            raise ValueError(f"--{option} cannot be chosen with --init: widths are those of {init}")
    if "d_attention" in network_given:  # an imported network may say which blocks it stands behind
        network_given["d_attention_blocks"] = ()
    old = find_checkpoint(init).config
    training = preset(preset_name)[1] if preset_name else replace(old.training, freeze_d=0)
    return replace(
        old,
        preset=preset_name or old.preset,
        network=resized(old.network, resolution or old.network.resolution),
        training=replace(training, ema_start=0),
        data=replace(old.data, fingerprint="", rules=READING_RULES),
        init=init_from(str(init)),
    )


def _check_unchanged(run: "Run", fingerprint: str) -> str:
    """Refuse to go on with other data, and give the run's fingerprint.

    A run older than fingerprints takes any data; one just imported has none yet.
    """
    kept = run.config().data if run.exists() else DataConfig(source="")
    old = kept.fingerprint
    if old and old != fingerprint:
        raise ValueError(
            f"the data have changed since {run.path} was started (fingerprint {old[:12]} -> "
            f"{fingerprint[:12]}); put the same pictures back, or name another run folder"
        )
    return old if kept.source else fingerprint


def _say_how_it_ended(path: Path, images: int, exit_code: int) -> None:
    if exit_code:
        line = f"Stopped at {images:,} images and saved; the same command goes on."
    else:
        line = f"{path}: trained on {images:,} images."
    print(line, file=sys.stderr)


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in options.items() if value is not None}
