"""What a run is: frozen dataclasses, checked when created, kept as JSON in the run.

Everything that changes the result is here. Where and how fast it runs (device, compile, ...) is
`Runtime`, which a resumed run may choose anew.
"""

import math
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal, get_args

from sagan.config.checks import require, require_at_least, require_at_most, require_choice
from sagan.config.network import RESOLUTIONS_PX, NetworkConfig

Loss = Literal["hinge", "wgan-gp", "non-saturating"]
Precision = Literal["float32", "tf32", "bf16", "auto"]
AugmentKind = Literal["color", "translation", "cutout"]
Crop = Literal["center", "top", "fit", "stretch"]
_MOST = {  # what more could only be a slip
    "images": 10**15,
    "batch_size": 2**20,
    "d_steps": 1_000,
    "standing_batches": 1_000_000,
    "evaluate_num": 10_000_000,
}
READING_RULES = 3  # docs/data.md tells the versions; another number packs again


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How the networks are trained. Amounts are counted in real images shown to the discriminator.

    Args:
        images: how many to train on; in a run by time, how many its first plan expects.
        time_sec: seconds to train for, over all calls; 0 goes by `images`.
        batch_size: images per optimiser step, over all devices and accumulated micro-batches.
        loss: adversarial loss.
        gradient_penalty: its weight in `wgan-gp`.
        diversity: weight of the mode-seeking loss (`sagan.training.losses`); 0 leaves it out.
        mismatch: weight in the discriminator's loss of real images under another class's label,
            which it is to take for fakes; 0 leaves it out, and without classes there is none.
        lecam: weight of the LeCam penalty (`sagan.training.losses`) in the discriminator's loss;
            0 leaves it out.
        g_lr, d_lr, beta1, beta2: Adam's; two learning rates are TTUR.
        gamma_lr: factor on the learning rate of every attention block's gamma.
        d_steps: discriminator steps per generator step.
        accumulate: micro-batches per optimiser step (batch norm sees one at a time).
        ema_decay, ema_start: decay of the averaged generator per generator step, and the images
            after which averaging begins; decay 0 keeps a plain copy.
        precision: `float32`, `tf32`, `bf16`, or `auto`: bf16 where the device has matrix units for
            it, else float32.
        standing_batches: batches from which the saved generator's batch-norm statistics are
            recomputed; 0 keeps the running statistics.
        fake_labels: `uniform`, or `data` for the data's class frequencies.
        augment: kinds of augmentation before the discriminator, see `sagan.training.augment`.
        augment_p: probability of each kind per image; the initial value if it adapts.
        augment_target: the discriminator's overfitting (see `sagan.training.augment.adapted`) that
            an adaptive probability aims at; 0 keeps it fixed.
        augment_ramp: images over which an adaptive probability can go from 0 to 1.
        holdout: share of the images never trained on; adaptive augmentation needs some.
        mirror: flip each real image left to right half of the time.
        freeze_d: discriminator blocks, counted from the image, that are not trained, nor is the
            attention after them; for fine-tuning on few images (Mo et al. 2020, "FreezeD").
        seed: for weights, order, latents, labels and split.
        log_every, snapshot_every: images between log records, and between snapshots (checkpoint,
            grid, attention numbers, health).
        keep: how many of the newest checkpoints to keep besides the best.
        evaluate_every: images between evaluations, each of which makes a snapshot; 0 for none.
        evaluate_metric: metric that chooses the best checkpoint, as `sagan evaluate` names it.
        evaluate_num: images generated per evaluation.

    Raises:
        ValueError: a value is out of range; the message names it and what is allowed.

    Example:
        >>> TrainingConfig(loss="wgan-gp", d_steps=5).gradient_penalty
        10.0
    """

    images: int = 96_000
    time_sec: float = 0.0
    batch_size: int = 64
    loss: Loss = "hinge"
    gradient_penalty: float = 10.0
    diversity: float = 0.0
    mismatch: float = 0.0
    lecam: float = 0.0
    g_lr: float = 1e-4
    d_lr: float = 4e-4
    beta1: float = 0.0
    beta2: float = 0.999
    gamma_lr: float = 1.0
    d_steps: int = 1
    accumulate: int = 1
    ema_decay: float = 0.999
    ema_start: int = 0
    precision: Precision = "float32"
    standing_batches: int = 0
    fake_labels: Literal["uniform", "data"] = "uniform"
    augment: tuple[str, ...] = ()
    augment_p: float = 1.0
    augment_target: float = 0.0
    augment_ramp: int = 100_000
    holdout: float = 0.0
    mirror: bool = False
    freeze_d: int = 0
    seed: int = 0
    log_every: int = 1_280
    snapshot_every: int = 12_800
    keep: int = 3
    evaluate_every: int = 0
    evaluate_metric: str = "fd:pixel"
    evaluate_num: int = 1_000

    def __post_init__(self) -> None:
        require_choice("loss", self.loss, get_args(Loss))
        require_choice("precision", self.precision, get_args(Precision))
        require_choice("fake_labels", self.fake_labels, ("uniform", "data"))
        for name in ("images", "batch_size", "d_steps", "accumulate", "augment_ramp", "keep"):
            require_at_least(name, getattr(self, name), 1)
        for name in ("log_every", "snapshot_every", "evaluate_num"):
            require_at_least(name, getattr(self, name), 1)
        for name in ("seed", "ema_start", "standing_batches", "evaluate_every", "freeze_d"):
            require_at_least(name, getattr(self, name), 0)
        for name in ("gradient_penalty", "diversity", "mismatch", "lecam"):
            require_at_least(name, getattr(self, name), 0)
        for name, most in _MOST.items():
            require_at_most(name, getattr(self, name), most)
        require(0 <= self.time_sec < math.inf, f"time_sec must be 0 or more, not {self.time_sec}")
        for name in ("g_lr", "d_lr", "gamma_lr"):
            value = getattr(self, name)
            require(0 < value < math.inf, f"{name} must be positive, not {value}")
        for name in ("beta1", "beta2", "ema_decay"):
            value = getattr(self, name)
            require(0 <= value < 1, f"{name} must be in [0, 1), not {value}")
        require(
            self.batch_size % self.accumulate == 0,
            f"batch_size {self.batch_size} does not divide into {self.accumulate} micro-batches",
        )
        self._check_augmentation()

    def held_out(self, num: int) -> int:
        """How many of `num` images are never trained on; a single one is trained on."""
        return min(math.ceil(self.holdout * num), num - 1)

    def _check_augmentation(self) -> None:
        kinds = get_args(AugmentKind)
        for kind in self.augment:
            require_choice("augmentation", kind, kinds)
        in_order = tuple(kind for kind in kinds if kind in self.augment)
        object.__setattr__(self, "augment", in_order)
        p, target, holdout = self.augment_p, self.augment_target, self.holdout
        require(0 <= p <= 1, f"augment_p must be in [0, 1], not {p}")
        require(0 <= target < 1, f"augment_target must be in [0, 1), not {target}")
        require(0 <= holdout <= 0.5, f"holdout must be in [0, 0.5], not {holdout}")
        if target:
            require(
                bool(self.augment),
                "adaptive augmentation needs something to adapt: name the kinds, as "
                f"{','.join(kinds)}",
            )
            require(
                holdout > 0,
                "adaptive augmentation compares with images never trained on: hold some out, as "
                "--holdout 0.1",
            )


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Where the data come from, and what their classes are called."""

    source: str = "digits"  # as given to `--data`
    class_names: tuple[str, ...] = ()  # in label order; empty without labels
    background: str = "white"  # colour behind transparent images, a CSS name or `#rrggbb`
    crop: Crop = "center"  # how a picture that is not square becomes so
    fingerprint: str = ""  # SHA-256 of the decoded data; empty in runs older than this field
    rules: int = READING_RULES  # version of the reading rules; 1 in runs older than this field

    def __post_init__(self) -> None:
        require_choice("crop", self.crop, get_args(Crop))
        known = 1 <= self.rules <= READING_RULES
        require(known, f"reading rules {self.rules} are of a newer sagan: update it")

    def name_of(self, label: int) -> str:
        """A class's name, or its number where classes have no names."""
        return self.class_names[label] if self.class_names else str(label)


@dataclass(frozen=True, kw_only=True)
class InitConfig:
    """What a run begins from, if not from random weights."""

    source: str = ""  # a run's or checkpoint's folder, as given to `--init`
    sha256: str = ""  # of the checkpoint's manifest


@dataclass(frozen=True, kw_only=True)
class GrowthStage:
    """A size that a growing run is trained at before its own."""

    resolution: int  # image side in pixels
    images: int  # real images shown to the discriminator at this size
    batch_size: int
    g_lr: float
    d_lr: float

    def __post_init__(self) -> None:
        require_choice("resolution", self.resolution, RESOLUTIONS_PX)
        require_at_least("images", self.images, 1)
        require_at_least("batch_size", self.batch_size, 1)
        for name in ("g_lr", "d_lr"):
            value = getattr(self, name)
            require(0 < value < math.inf, f"{name} must be positive, not {value}")


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Everything that defines a run, kept as `config.json` in its folder.

    Args:
        preset: name of its recipe.
        network: both networks.
        training: how they are trained.
        data: where the images come from, and the names of their classes.
        init: the run that this one began from, if any.
        growth: the smaller sizes that it is trained at first, smallest first.

    Raises:
        ValueError: the sizes of `growth` do not rise up to the network's.

    Example:
        >>> RunConfig(network=NetworkConfig(resolution=64)).network.resolution
        64
    """

    preset: str = "digits"
    network: NetworkConfig = field(default_factory=NetworkConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    data: DataConfig = field(default_factory=DataConfig)
    init: InitConfig = field(default_factory=InitConfig)
    growth: tuple[GrowthStage, ...] = ()

    def __post_init__(self) -> None:
        sizes = [*(stage.resolution for stage in self.growth), self.network.resolution]
        require(
            all(small < large for small, large in pairwise(sizes)),
            f"a run grows from small to large, not through {', '.join(map(str, sizes))} px",
        )
        for stage in self.growth:
            require(
                stage.batch_size % self.training.accumulate == 0,
                f"batch_size {stage.batch_size} at {stage.resolution} px does not divide into "
                f"{self.training.accumulate} micro-batches",
            )


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """Where and how a run is executed; not part of its identity."""

    device: str = "auto"  # or cpu, cuda, mps
    devices: int = 1  # or processes, on the CPU
    compile: bool = False  # run the networks through torch.compile
    channels_last: bool = True  # memory order of feature maps
    cuda_graphs: bool = True  # with one CUDA device: record steps, see `sagan.training.replay`
    # How often in a run's life a failure (NaN, mode collapse, weights that blow up) takes it back
    # to its last good checkpoint; 0 only reports it.
    rollback: int = 0
    tensorboard: bool = False  # write the log for TensorBoard too
    timeout_sec: float = 600.0  # that processes wait for one that does not answer
    stop_signal: Literal["USR1", "USR2"] = "USR2"  # saves and stops; the other saves and goes on

    def __post_init__(self) -> None:
        require_choice("device", self.device, ("auto", "cpu", "cuda", "mps"))
        seconds = self.timeout_sec
        require(1 <= seconds < math.inf, f"the time-out must be 1 s or more, not {seconds} s")
        require_choice("stop_signal", self.stop_signal, ("USR1", "USR2"))
        require_at_least("devices", self.devices, 1)
        require_at_least("rollback", self.rollback, 0)
