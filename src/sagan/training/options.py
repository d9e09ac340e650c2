"""The options of `sagan train` and `sagan.train_run`: names, types and texts. No torch here.

An option that is left out comes from the run, or from the preset for a new one. The texts are the
command line's help; each class is a part of it, with the switches that only turn something on in
classes of their own.
"""

from pathlib import Path
from typing import Any, Literal, TypedDict

from sagan.config import (
    AttentionForm,
    Crop,
    Latent,
    Loss,
    NetworkConfig,
    Precision,
    Runtime,
    TrainingConfig,
)
from sagan.config.duration import parse_duration
from sagan.config.presets import ADAPTIVE_TARGET


class Basics(TypedDict, total=False):
    """What to train on, what to begin from, and for how long."""

    data: str
    """Source of the images: digits (default), photographs, fashion, twins, quadrupeds, barcode, a folder, zip, tar, .npz, .npy, IDX or Parquet file, hub:NAME[:SPLIT], or a packed folder."""  # noqa: E501
    preset: str
    """Recipe: quick, article, ... (README); by default one that suits the device and the data."""
    init: str | Path
    """Fine-tune: begin from this run's or checkpoint's networks, with its recipe."""
    from_scratch: bool
    """Restart the run; what it holds is moved to before-1 (2, ...) inside its folder."""
    resolution: int
    """Image side: 8, 16, ... or 256 px; for your own images by default their size, up to 64."""
    grow: str
    """Train at smaller sizes first, as 8,16, or with images for each, as 8:64000,16:128000; none: at full size from the start."""  # noqa: E501
    images: int
    """Train until the discriminator has seen this many real images, at all sizes."""
    time: str
    """Train for this long instead, over all calls: 90s, 30m, 4h or 2d."""
    batch_size: int
    """Images per optimiser step, over all devices and micro-batches."""
    seed: int
    """Random seed."""
    device: Literal["auto", "cpu", "cuda", "mps"]
    """Where to compute; auto by default."""


class Reading(TypedDict, total=False):
    """How images are read."""

    background: str
    """Colour behind transparent images: a name or #rrggbb; white by default."""
    crop: Crop
    """How a picture becomes square: center, top, fit (all of it, on the background) or stretch."""
    strict: bool
    """Stop at an unreadable image instead of skipping it."""
    channels: int
    """Image channels: 1 grey, 3 RGB, 4 RGBA; by default the data's own, with --init the run's."""


class Pictures(TypedDict, total=False):
    """How images are shown, and their classes."""

    unconditional: bool
    """Ignore the classes of the data."""
    fake_labels: Literal["uniform", "data"]
    """Classes of generated images: all equally often, or as often as in the data."""
    augment: str
    """DiffAugment for few images: any of color,translation,cutout; or none."""
    augment_p: str | float
    """Probability of each of --augment per image, 0 to 1; or adaptive, against D's overfitting."""
    holdout: float
    """Share of the images never trained on; 0.1 with --augment-p adaptive, which needs some."""
    mirror: bool
    """Flip real images left to right half of the time."""


class Networks(TypedDict, total=False):
    """The two networks."""

    g_width: int
    """Base width of the generator."""
    d_width: int
    """Base width of the discriminator."""
    g_attention: str
    """Feature-map sides with attention in the generator, as 16,32; or none."""
    d_attention: str
    """The same for the discriminator."""
    attention_form: AttentionForm
    """Form of the attention block; residual and global-context stand in its place, to compare."""
    gamma_start: float
    """Initial value of the attention blocks' gamma."""
    paired_init: bool
    """Initialise all other layers exactly as in the network without attention."""
    latent: Latent
    """One vector per image, or a spatial map of noise, whose parts reach nearby pixels only."""
    class_input: bool
    """Give the generator's first layer the class too, not only its norms."""


class Optimisation(TypedDict, total=False):
    """How the networks learn."""

    loss: Loss
    """Adversarial loss."""
    g_lr: float
    """Learning rate of the generator."""
    d_lr: float
    """Learning rate of the discriminator."""
    beta2: float
    """Adam's second moment decay."""
    gamma_lr: float
    """Factor on the learning rate of the attention blocks' gamma."""
    d_steps: int
    """Discriminator steps per generator step."""
    accumulate: int
    """Micro-batches per optimiser step; batch norm sees one at a time."""
    diversity: float
    """Weight of the mode-seeking loss, which keeps images of different latents apart; 0: none."""
    mismatch: float
    """Weight of the mismatched-label loss: real images with a wrong label are fakes; 0: none."""
    lecam: float
    """Weight of the LeCam penalty on logits, against learning few images by heart; 0: none."""
    ema_decay: float
    """Decay of the averaged generator per step; 0: no averaging."""
    ema_start: int
    """Images after which averaging begins."""
    standing_batches: int
    """Batches for the saved generator's batch-norm statistics; 0: running statistics."""
    freeze_d: int
    """With --init: freeze the first N discriminator blocks, counted from the image."""
    precision: Precision
    """Numeric precision of the forward pass; auto is bf16 where that is faster, else float32."""


class Following(TypedDict, total=False):
    """What a run records, and what it does about trouble."""

    log_every: int
    """Images between log records."""
    snapshot_every: int
    """Images between snapshots: checkpoint, grid, attention numbers."""
    keep: int
    """Checkpoints to keep besides the best."""
    evaluate_every: int
    """Images between evaluations, which choose the best checkpoint; 0: none."""
    evaluate_num: int
    """Images generated per evaluation."""
    metric: str
    """Metric of the evaluations: fd:pixel, fd:own, kid:pixel, cas, ... as in sagan evaluate."""
    rollback: int
    """Times to return to the last good checkpoint after NaN, mode collapse or a blow-up; or 0."""
    tensorboard: bool
    """Also write the log for TensorBoard, into the run's folder."""


class Machine(TypedDict, total=False):
    """How to use the machine."""

    devices: int
    """Number of devices, or of processes on the CPU; 1 by default."""
    compile: bool
    """Run the networks through torch.compile."""
    timeout: str
    """How long processes wait for one that no longer answers, as 90s; 10m by default."""
    stop_signal: Literal["USR1", "USR2"]
    """Signal of a scheduler that saves and stops, as SIGTERM does; USR2 by default. The other saves only."""  # noqa: E501


class Execution(TypedDict, total=False):
    """What is on unless it is turned off."""

    channels_last: bool
    """Use the channels-last memory format, as by default."""
    cuda_graphs: bool
    """On one CUDA device, start whole steps as CUDA graphs, as by default."""


class TrainOptions(
    Basics,
    Reading,
    Pictures,
    Networks,
    Optimisation,
    Following,
    Machine,
    Execution,
    total=False,
):
    """All options."""


def network_options(options: TrainOptions) -> dict[str, Any]:
    """Those that are fields of the networks' configuration."""
    found = _fields_of(NetworkConfig, options)
    found.pop("init", None)  # the option's is a run, the field's a distribution of weights
    for name in found.keys() & {"g_attention", "d_attention"}:
        found[name] = parse_sides(found[name])
    return found


def training_options(options: TrainOptions) -> dict[str, Any]:
    """Those that are fields of the training's configuration."""
    found = _fields_of(TrainingConfig, options)
    if "time" in options:
        found["time_sec"] = parse_duration(options["time"])
    elif "images" in options:
        found["time_sec"] = 0.0  # from here on by images
    if "augment" in options:
        found["augment"] = parse_augment(options["augment"])
    if "augment_p" in options:
        found |= parse_probability(options["augment_p"])
    if "metric" in options:
        found["evaluate_metric"] = options["metric"]
    return found


def runtime(options: TrainOptions) -> Runtime:
    """Where and how to run."""
    found = _fields_of(Runtime, options)
    if "timeout" in options:
        found["timeout_sec"] = parse_duration(options["timeout"])
    return Runtime(**found)


def _fields_of(section: type, options: TrainOptions) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name in section.__annotations__}


def parse_sides(text: str) -> tuple[int, ...]:
    """Read feature-map sides: `16,32`, or `none`.

    Example:
        >>> parse_sides("16,32"), parse_sides("none")
        ((16, 32), ())
    """
    if text.strip().lower() == "none":
        return ()
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise ValueError(
            f"attention sides {text!r} are not whole numbers with commas, as 16,32; or none"
        ) from None


def parse_augment(text: str) -> tuple[str, ...]:
    """Read augmentation kinds: `color,cutout`, or `none`.

    Example:
        >>> parse_augment("color, cutout"), parse_augment("none")
        (('color', 'cutout'), ())
    """
    if text.strip().lower() == "none":
        return ()
    return tuple(part.strip().lower() for part in text.split(","))


def parse_probability(text: str | float) -> dict[str, float]:
    """Read an augmentation probability: a number, or `adaptive`, which follows D's overfitting.

    Example:
        >>> parse_probability("adaptive"), parse_probability(0.5)
        ({'augment_p': 0.0, 'augment_target': 0.5}, {'augment_p': 0.5, 'augment_target': 0.0})
    """
    if isinstance(text, str) and text.strip().lower() == "adaptive":
        return {"augment_p": 0.0, "augment_target": ADAPTIVE_TARGET}
    try:
        return {"augment_p": float(text), "augment_target": 0.0}
    except ValueError:
        raise ValueError(
            f"augmentation probability {text!r} is neither a number from 0 to 1 nor adaptive"
        ) from None
