"""Starting a run or continuing one: find what is there, open the data, train."""

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Unpack, cast

from sagan.config import DataConfig, RunConfig
from sagan.config.checks import require_not_blank
from sagan.config.defaults import (
    DEFAULT_PRESETS,
    default_preset,
    default_px,
    default_time,
    fitting_batch,
)
from sagan.config.duration import parse_duration
from sagan.config.presets import preset
from sagan.data import ImageDataset, load_dataset
from sagan.data.decode import ENDINGS
from sagan.data.load import native_resolution
from sagan.data.packed import is_packed
from sagan.data.sources.open_source import HUB, NAMED, is_known_source
from sagan.devices import pick_device
from sagan.runs.place import locate
from sagan.runs.run import Run
from sagan.text import listed, skipped
from sagan.training.finetune import check_frozen, open_parent, parent_from
from sagan.training.options import TrainOptions, runtime
from sagan.training.planning import DEFAULT_DATA, DataFacts, data_options, plan
from sagan.training.ranks import is_first_process

if TYPE_CHECKING:
    from sagan.training.loop import TrainResult


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
        130 after Ctrl-C, 143 after SIGTERM, 128 and its number after another signal.

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
    require_not_blank("RUN", path)
    require_not_blank("--data", given.get("data"))
    how = runtime(given)

    def say(*lines: str) -> None:
        if progress and is_first_process(os.environ):
            print(*lines, sep="\n", file=sys.stderr)

    # Which run? Its default name contains the preset, which may depend on the number of images.
    run, old = _begun_before(given) if path is None else _existing(Path(path))
    dataset = None
    if old is None and not given.keys() & {"init", "preset"}:
        given, dataset, reason = _with_default_plan(given, progress)
        if reason:
            say(f"Preset {given['preset']} at {given['resolution']} px: {reason}.")
    if run is None:
        run, old = _existing(Path("runs") / _default_name(given))
    init = parent_from(str(given["init"])) if old is None and "init" in given else None

    # What is certain to be refused is refused before the data are opened, which can take long.
    config = plan(given, old=old, init=init)
    if old is not None:
        run.check_continues(config, old)
    else:
        check_frozen(config)
        _check_place(run, Path(config.data.source))
    if old is not None and "data" not in given and not is_known_source(config.data.source):
        raise ValueError(
            f"the pictures of {run.path} are not at {config.data.source} any more: say with --data "
            "where they are"
        )
    if dataset is None or old is not None:
        channels = config.network.channels
        colour_lost = init is not None and channels == 1 and "data" in given
        own_channels = old is None and (init is None or colour_lost) and "channels" not in given
        dataset = _open(
            given,
            config.data,
            config.network.resolution,
            0 if own_channels else channels,
            progress,
        )
        if init is not None and own_channels and dataset.images.shape[1] > channels:
            raise ValueError(
                f"{config.data.source} is in colour and {given['init']} is grey: give --channels 1 "
                "to train on it in grey, or begin without --init"
            )
    if dataset.excluded:
        say(*skipped(dataset.excluded, "the run's data.json"))
    facts = DataFacts(dataset.images.shape[1], dataset.class_names, dataset.fingerprint)
    if old is not None:
        _check_unchanged(run, old, config.data.source, facts.fingerprint)
    config = plan(given, old=old, init=init, data=facts)
    again = bool(given.get("from_scratch")) and old is not None
    if again and config.init.source:
        open_parent(run, config)  # before anything is moved
    chosen = old is not None or bool(given.keys() & {"images", "time"})
    return train(
        config,
        run,
        dataset,
        runtime=how,
        progress=progress,
        length_given=chosen,
        from_scratch=again,
    )


def _check_place(run: Run, pictures: Path) -> None:
    """Refuse a new run among other things, or its pictures: its samples are pictures too."""
    if pictures.is_dir() and run.path.resolve().is_relative_to(pictures.resolve()):
        raise ValueError(
            f"{run.path} would lie in the folder of the pictures, {pictures}, and be read with "
            "them next time: name a run folder outside it"
        )
    endings = {f".{ending}" for known in ENDINGS.values() for ending in known.split()}
    inside = sorted(run.path.iterdir()) if run.path.is_dir() else []
    others = [
        path.name
        for path in inside
        if not path.name.startswith((".", "samples", "checkpoints", "before-"))
        and (path.is_dir() or path.suffix.lower() in endings)
    ]
    if others:
        raise ValueError(
            f"{run.path} is a folder of other things ({listed(others)}): name a new run folder"
        )


def _existing(path: Path) -> tuple[Run, RunConfig | None]:
    """A run folder, and its configuration if there is one already."""
    locate(path).require("run", "folder", "nothing")
    run = Run(path)
    return run, run.config() if run.exists() else None


def _begun_before(options: TrainOptions) -> tuple[Run | None, RunConfig | None]:
    """The run that the same command began with a preset by default, found without its images."""
    others = options.get("data", DEFAULT_DATA) != DEFAULT_DATA  # digits have a preset of their own
    if others and not options.keys() & {"init", "preset"}:
        for name in DEFAULT_PRESETS:
            run, old = _existing(Path("runs") / _default_name({**options, "preset": name}))
            if old is not None and _place(old.data.source) == _place(options["data"]):
                return run, old
    return None, None


def _place(source: str) -> str:
    named = source in NAMED or source.startswith(HUB)
    return source if named else str(Path(source).resolve())


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


def _with_default_plan(
    options: TrainOptions, progress: bool
) -> tuple[TrainOptions, ImageDataset | None, str]:
    """Choose preset, size and time for a new run of these images and this device.

    The images are opened for it. The reason is given for the user's own images only.
    """
    source = options.get("data", DEFAULT_DATA)
    if source == DEFAULT_DATA:
        return {**options, "preset": DEFAULT_DATA}, None, ""
    device = pick_device(options.get("device", "auto"))
    preset("quick", options.get("resolution"))  # an unknown size is refused before all is read
    options, until = {**options}, ""
    if not options.keys() & {"time", "images"} and ":" not in options.get("grow", ""):
        options["time"] = default_time(device)
        until = f"; for {options['time']}, as --time does not say how long"
    if "resolution" not in options:
        time_sec = parse_duration(options["time"]) if "time" in options else None
        native_px = native_resolution(source)
        packed = source not in NAMED and not source.startswith(HUB) and is_packed(Path(source))
        options["resolution"] = native_px if packed else default_px(native_px, device, time_sec)
        if options["resolution"] < native_px:
            until += f"; --resolution {native_px} is the images' own"
    dataset = _open(
        options,
        data_options(options, DataConfig()),
        options["resolution"],
        options.get("channels", 0),
        progress,
    )
    options["preset"], reason = default_preset(len(dataset), source, device)
    training = plan(options).training
    batch_size = fitting_batch(training, len(dataset))
    if "batch_size" not in options and batch_size < training.batch_size:
        options["batch_size"] = batch_size
        num = len(dataset) - training.held_out(len(dataset))
        until += f"; batch {batch_size}, as there are {num} images"
    return options, dataset, reason + until


def _open(
    options: TrainOptions, data: DataConfig, resolution: int, channels: int, progress: bool
) -> ImageDataset:
    return load_dataset(
        data.source,
        resolution=resolution,
        channels=channels,
        background=data.background,
        crop=data.crop,
        rules=data.rules,
        strict=options.get("strict", False),
        progress=progress,
    )


def _check_unchanged(run: Run, old: RunConfig, source: str, fingerprint: str) -> None:
    before = old.data.fingerprint
    if before and before != fingerprint:
        if source != old.data.source:
            raise run.started_otherwise([f"data.source: {old.data.source} -> {source}"])
        raise ValueError(
            f"the data have changed since {run.path} was started (fingerprint {before[:12]} -> "
            f"{fingerprint[:12]}); put the same pictures back, or name another run folder"
        )
