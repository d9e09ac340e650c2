"""`sagan train`."""

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Group, Parameter

from sagan.cli.common import parse_augment, parse_probability, parse_sides
from sagan.cli.start import DEFAULT_DATA, DEFAULT_PRESET, start
from sagan.config import AttentionForm, Loss, Precision, Runtime
from sagan.config.presets import default_preset
from sagan.files import is_run_folder

if TYPE_CHECKING:
    from sagan.data import ImageDataset


# of the options in --help, in this order
_BASICS = Group("Basics", sort_key=1)
_PICTURES = Group("Pictures", sort_key=2)
_NETWORKS = Group("Networks", sort_key=3)
_OPTIMISATION = Group("Optimisation", sort_key=4)
_FOLLOWING = Group("Following a run", sort_key=5)
_MACHINE = Group("Machine", sort_key=6)


def train(
    run: str | None = None,
    /,
    *,
    data: Annotated[str | None, Parameter(group=_BASICS)] = None,
    background: Annotated[str | None, Parameter(group=_PICTURES)] = None,
    strict: Annotated[bool, Parameter(negative=(), group=_PICTURES)] = False,
    preset_name: Annotated[str | None, Parameter(name="--preset", group=_BASICS)] = None,
    init: Annotated[Path | None, Parameter(group=_BASICS)] = None,
    from_scratch: Annotated[bool, Parameter(negative=(), group=_BASICS)] = False,
    resolution: Annotated[int | None, Parameter(group=_BASICS)] = None,
    channels: Annotated[int | None, Parameter(group=_PICTURES)] = None,
    unconditional: Annotated[bool | None, Parameter(group=_PICTURES)] = None,
    images: Annotated[int | None, Parameter(group=_BASICS)] = None,
    batch_size: Annotated[int | None, Parameter(group=_BASICS)] = None,
    seed: Annotated[int | None, Parameter(group=_BASICS)] = None,
    loss: Annotated[Loss | None, Parameter(group=_OPTIMISATION)] = None,
    g_lr: Annotated[float | None, Parameter(group=_OPTIMISATION)] = None,
    d_lr: Annotated[float | None, Parameter(group=_OPTIMISATION)] = None,
    d_steps: Annotated[int | None, Parameter(group=_OPTIMISATION)] = None,
    accumulate: Annotated[int | None, Parameter(group=_OPTIMISATION)] = None,
    ema_decay: Annotated[float | None, Parameter(group=_OPTIMISATION)] = None,
    g_width: Annotated[int | None, Parameter(group=_NETWORKS)] = None,
    d_width: Annotated[int | None, Parameter(group=_NETWORKS)] = None,
    g_attention: Annotated[str | None, Parameter(group=_NETWORKS)] = None,
    d_attention: Annotated[str | None, Parameter(group=_NETWORKS)] = None,
    attention_form: Annotated[AttentionForm | None, Parameter(group=_NETWORKS)] = None,
    standing_batches: Annotated[int | None, Parameter(group=_OPTIMISATION)] = None,
    fake_labels: Annotated[Literal["uniform", "data"] | None, Parameter(group=_PICTURES)] = None,
    augment: Annotated[str | None, Parameter(group=_PICTURES)] = None,
    augment_p: Annotated[str | None, Parameter(group=_PICTURES)] = None,
    holdout: Annotated[float | None, Parameter(group=_PICTURES)] = None,
    mirror: Annotated[bool | None, Parameter(group=_PICTURES)] = None,
    freeze_d: Annotated[int | None, Parameter(group=_OPTIMISATION)] = None,
    precision: Annotated[Precision | None, Parameter(group=_OPTIMISATION)] = None,
    log_every: Annotated[int | None, Parameter(group=_FOLLOWING)] = None,
    snapshot_every: Annotated[int | None, Parameter(group=_FOLLOWING)] = None,
    keep: Annotated[int | None, Parameter(group=_FOLLOWING)] = None,
    evaluate_every: Annotated[int | None, Parameter(group=_FOLLOWING)] = None,
    evaluate_num: Annotated[int | None, Parameter(group=_FOLLOWING)] = None,
    metric: Annotated[str | None, Parameter(group=_FOLLOWING)] = None,
    rollback: Annotated[int, Parameter(group=_FOLLOWING)] = 0,
    tensorboard: Annotated[bool, Parameter(negative=(), group=_FOLLOWING)] = False,
    device: Annotated[Literal["auto", "cpu", "cuda", "mps"], Parameter(group=_BASICS)] = "auto",
    devices: Annotated[int, Parameter(group=_MACHINE)] = 1,
    compile: Annotated[bool, Parameter(negative=(), group=_MACHINE)] = False,
    channels_last: Annotated[bool, Parameter(group=_MACHINE)] = True,
) -> int:
    """Train a Self-Attention GAN, or go on with a run.

    Without options: a conditional one on the bundled handwritten digits.

    The same command again resumes; a larger --images extends a finished run;
    other differences are refused. Options that are left out come from the run,
    or from the preset for a new one.

    Parameters
    ----------
    run
        The run's folder; by default runs/DATA-PRESET.
    data
        Source of the images: digits (default), photographs, twins, quadrupeds, barcode, a folder, a
        zip or tar, an .npz, .npy or Parquet file, hub:NAME[:SPLIT], or a packed folder.
    background
        Colour laid under transparent pictures: a name or #rrggbb; white by default.
    strict
        Stop if a picture cannot be read, instead of leaving it out.
    preset_name
        The recipe: digits, article, paper, best, cifar or small; by default what suits the data.
    init
        Fine-tune: begin from the networks of this run, or checkpoint, and take its recipe.
    from_scratch
        Begin a run again: what it has is moved into its folder before-1 (2, ...), nothing removed.
    resolution
        Image side in pixels: 8, 16, 32, 64, 128 or 256; of own pictures by default as large as
        they are, up to 64.
    channels
        Image channels: 1 grey, 3 RGB, 4 RGBA; by default the data's own.
    unconditional
        Leave the classes of the data out.
    images
        Train until so many real images were shown to the discriminator.
    batch_size
        Images of one optimiser step, over all devices and micro-batches.
    seed
        Of everything random.
    loss
        The adversarial loss.
    g_lr
        The generator's learning rate.
    d_lr
        The discriminator's learning rate.
    d_steps
        Discriminator steps for each generator step.
    accumulate
        Micro-batches of one optimiser step; batch norm sees one at a time.
    ema_decay
        Decay of the averaged generator a step; 0 averages nothing.
    g_width
        The generator's base width.
    d_width
        The discriminator's base width.
    g_attention
        Feature-map sides with attention in the generator, as 16,32; or none.
    d_attention
        The same in the discriminator.
    attention_form
        The attention block's form.
    standing_batches
        Batches from which the saved generator's batch-norm statistics come; 0: running ones.
    fake_labels
        Classes of the fakes: each alike, or as often as in the data.
    augment
        DiffAugment for few images: any of color,translation,cutout; or none.
    augment_p
        The probability of each for each image, 0 to 1; or adaptive, against D's overfitting.
    holdout
        Share of the images never to train on; 0.1 with --augment-p adaptive, which needs some.
    mirror
        Show real images flipped left to right half of the time.
    freeze_d
        With --init: leave so many blocks of the discriminator, from the image on, as they are.
    precision
        Of the forward passes.
    log_every
        Images between log records.
    snapshot_every
        Images between snapshots: checkpoint, grid, attention numbers.
    keep
        Checkpoints to keep, besides the best.
    evaluate_every
        Images between evaluations, by which the best checkpoint is chosen; 0: none.
    evaluate_num
        Images generated for an evaluation.
    metric
        Of the evaluations: fd:pixel, fd:own, kid:pixel, cas, ... as in sagan evaluate.
    rollback
        How often to go back to the last good checkpoint after NaN, mode collapse or a blow-up.
    tensorboard
        Write the log for TensorBoard too, into the run's folder.
    device
        Where to compute.
    devices
        How many devices, or processes on the CPU.
    compile
        Run the networks through torch.compile.
    channels_last
        Keep feature maps in channels-last order.
    """
    for name, given in (("RUN", run), ("--data", data)):
        if given is not None and not given.strip():
            raise ValueError(f"{name} is empty: a shell variable that is not set?")
    folder = None if run is None else Path(run)
    network_options = {
        "channels": channels,
        "g_width": g_width,
        "d_width": d_width,
        "g_attention": parse_sides(g_attention),
        "d_attention": parse_sides(d_attention),
        "attention_form": attention_form,
    }
    training_options = {
        "images": images,
        "batch_size": batch_size,
        "seed": seed,
        "loss": loss,
        "g_lr": g_lr,
        "d_lr": d_lr,
        "d_steps": d_steps,
        "accumulate": accumulate,
        "ema_decay": ema_decay,
        "standing_batches": standing_batches,
        "fake_labels": fake_labels,
        "augment": parse_augment(augment),
        **parse_probability(augment_p),
        "holdout": holdout,
        "mirror": mirror,
        "freeze_d": freeze_d,
        "precision": precision,
        "log_every": log_every,
        "snapshot_every": snapshot_every,
        "keep": keep,
        "evaluate_every": evaluate_every,
        "evaluate_num": evaluate_num,
        "evaluate_metric": metric,
    }
    runtime = Runtime(
        device=device,
        devices=devices,
        compile=compile,
        channels_last=channels_last,
        rollback=rollback,
        tensorboard=tensorboard,
    )
    own = (data or DEFAULT_DATA) != DEFAULT_DATA
    reason = ""
    opened = None
    if folder is None and init is None and preset_name is None and data:
        folder = _run_of(data)
    if init is None and preset_name is None and not (folder and is_run_folder(folder)):
        if own and resolution is None:
            resolution = _native_resolution(data or DEFAULT_DATA)
        preset_name, reason, opened = choose_preset(
            data or DEFAULT_DATA, resolution, channels or 0, background or "white", strict
        )
    kind = f"from-{_run_name(init)}" if init else preset_name or DEFAULT_PRESET
    path = folder or Path("runs") / f"{_stem(data or DEFAULT_DATA)}-{kind}"
    if own and reason and "LOCAL_RANK" not in os.environ:  # not in processes started here
        print(f"Preset {preset_name} at {resolution} px: {reason}.", file=sys.stderr)
    return start(
        path,
        data=data,
        background=background,
        strict=strict,
        preset_name=preset_name,
        init=init,
        resolution=resolution,
        unconditional=unconditional,
        network_options=network_options,
        training_options=training_options,
        runtime=runtime,
        opened=opened,
        from_scratch=from_scratch,
    )


def choose_preset(
    data: str, resolution: int | None, channels: int, background: str, strict: bool
) -> tuple[str, str, "ImageDataset | None"]:
    """Choose a new run's preset by the number of its images, and give the reason.

    The images that were counted come with it, opened as a new run needs them.
    """
    from sagan.data import load_dataset

    if data == DEFAULT_DATA:
        return *default_preset(0, data), None
    assert resolution is not None  # of own pictures, chosen before
    dataset = load_dataset(
        data,
        resolution=resolution,
        channels=channels,
        background=background,
        strict=strict,
        progress=True,
    )
    return *default_preset(len(dataset), data), dataset


def _native_resolution(data: str) -> int:
    from sagan.data.load import native_resolution

    return native_resolution(data)


def _run_of(data: str) -> Path | None:
    """The run that the same command began before, found without opening the pictures."""
    from sagan.runs.run import Run

    for name in ("small", "best"):  # what `default_preset` chooses
        path = Path("runs") / f"{_stem(data)}-{name}"
        if is_run_folder(path) and Run(path).config().data.source == data:
            return path
    return None


def _run_name(path: Path) -> str:
    """The name of a run's folder, also where one of its checkpoints is named.

    Example:
        >>> _run_name(Path("runs/cats")), _run_name(Path("runs/cats/checkpoints/step-00000100"))
        ('cats', 'cats')
    """
    whole = path.resolve()
    return (whole.parents[1] if whole.parent.name == "checkpoints" else whole).name


def _stem(source: str) -> str:
    """A data source's name as part of a run folder's.

    Example:
        >>> _stem("digits"), _stem("pictures/cats.tar.gz"), _stem("hub:a/b:test")
        ('digits', 'cats', 'a_b_test')
    """
    if source.startswith("hub:"):
        return re.sub(r"[^\w.-]+", "_", source.removeprefix("hub:"))
    name = Path(source).resolve().name
    return name.split(".")[0] or name or "data"
