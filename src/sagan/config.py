"""What a run is: frozen dataclasses, checked when made, kept as JSON in the run.

Only what changes the result is here. Where and how fast it runs (device, compile, ...) is
`Runtime`, which a resumed run may choose anew.
"""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

Family = Literal["resnet", "dcgan"]
AttentionForm = Literal["article", "paper"]
Init = Literal["xavier", "orthogonal", "default"]
Loss = Literal["hinge", "wgan-gp", "non-saturating"]
Precision = Literal["float32", "tf32", "bf16"]
AugmentKind = Literal["color", "translation", "cutout"]

# of the tuples
_ITEMS = {"g_attention": int, "d_attention": int, "augment": str, "class_names": str}
RESOLUTIONS_PX = (8, 16, 32, 64, 128, 256)


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


def _require_at_least(name: str, value: float, least: int) -> None:
    bound = "0 or more" if least == 0 else f"at least {least}"
    _require(least <= value < math.inf, f"{name} must be {bound}, not {value}")


def _require_choice(name: str, value: object, choices: tuple[Any, ...]) -> None:
    listed = ", ".join(str(choice) for choice in choices)
    _require(value in choices, f"{name} {value!r} is unknown; choose from {listed}")


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """The two networks.

    Args:
        family: `resnet`, or `dcgan` (the network of the code that the article quotes).
        resolution: image side in pixels, a power of two from 8 to 256 (`dcgan`: 32 to 128).
        channels: of the images: 1 grey, 3 RGB, 4 RGBA.
        classes: number of classes; 0 is unconditional.
        latent_dim: length of a latent vector.
        g_width, d_width: base width (`ch`) of the generator and the discriminator.
        g_attention, d_attention: feature-map sides in pixels after which attention stands.
        attention_form: `paper` or `article`, see `sagan.nn.SelfAttention`.
        init: of the weights.
        spectral_eps, norm_eps, norm_momentum, final_norm_momentum: constants of the norms.

    Raises:
        ValueError: a value is out of range; the message names it and what would do.

    Example:
        >>> NetworkConfig(resolution=16, channels=1, classes=10, g_attention=(8,)).g_attention
        (8,)
    """

    family: Family = "resnet"
    resolution: int = 32
    channels: int = 3
    classes: int = 0
    latent_dim: int = 128
    g_width: int = 64
    d_width: int = 64
    g_attention: tuple[int, ...] = ()
    d_attention: tuple[int, ...] = ()
    attention_form: AttentionForm = "paper"
    init: Init = "xavier"
    spectral_eps: float = 1e-12
    norm_eps: float = 1e-5
    norm_momentum: float = 0.1
    final_norm_momentum: float = 0.1

    def __post_init__(self) -> None:
        _require_choice("family", self.family, get_args(Family))
        _require_choice("resolution", self.resolution, RESOLUTIONS_PX)
        _require_choice("channels", self.channels, (1, 3, 4))
        _require_choice("attention form", self.attention_form, get_args(AttentionForm))
        _require_choice("init", self.init, get_args(Init))
        _require_at_least("classes", self.classes, 0)
        _require_at_least("latent_dim", self.latent_dim, 1)
        for name in ("g_width", "d_width"):
            _require_at_least(name, getattr(self, name), 1)
        for name in ("spectral_eps", "norm_eps"):
            value = getattr(self, name)
            _require(0 < value < 1, f"{name} must be in (0, 1), not {value}")
        for name in ("norm_momentum", "final_norm_momentum"):
            value = getattr(self, name)
            _require(0 < value <= 1, f"{name} must be in (0, 1], not {value}")
        for name in ("g_attention", "d_attention"):
            object.__setattr__(self, name, tuple(sorted(set(getattr(self, name)))))
        if self.family == "dcgan":
            _require(
                self.classes == 0,
                f"the dcgan family is unconditional: classes must be 0, not {self.classes}",
            )
            _require(
                self.resolution in (32, 64, 128),
                f"the dcgan family has 32, 64 and 128 px, not {self.resolution}",
            )


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How the networks are trained. Amounts are counted in real images shown to the discriminator.

    Args:
        images: how many to train for.
        batch_size: images of one optimiser step, over all devices and accumulated micro-batches.
        loss: the adversarial loss.
        gradient_penalty: its weight in `wgan-gp`.
        g_lr, d_lr, beta1, beta2: of Adam; two learning rates are TTUR.
        d_steps: discriminator steps for each generator step.
        accumulate: micro-batches of one optimiser step (batch norm sees one at a time).
        ema_decay, ema_start: of the averaged generator, per generator step, from that many images;
            0 keeps a plain copy.
        precision: `float32`, `tf32` or `bf16`.
        standing_batches: batches from which the saved generator's batch-norm statistics are
            recomputed; 0 keeps the running ones.
        fake_labels: `uniform`, or `data` for the data's class frequencies.
        augment: kinds of augmentation before the discriminator, see `sagan.training.augment`.
        augment_p: the probability of each kind for each image; where it adapts, its first value.
        augment_target: the discriminator's overfitting (see `sagan.training.augment.adapted`) that
            an adaptive probability aims at; 0 keeps it fixed.
        augment_ramp: images over which an adaptive probability can go from 0 to 1.
        holdout: share of the images that are never trained on; an adaptive augmentation needs some.
        mirror: show each real image flipped left to right half of the time.
        seed: of weights, order, latents, labels and split.
        log_every, snapshot_every: images between log records, and between snapshots (checkpoint,
            grid, attention numbers).
        keep: checkpoints kept, the newest.
    """

    images: int = 96_000
    batch_size: int = 64
    loss: Loss = "hinge"
    gradient_penalty: float = 10.0
    g_lr: float = 1e-4
    d_lr: float = 4e-4
    beta1: float = 0.0
    beta2: float = 0.999
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
    seed: int = 0
    log_every: int = 1_280
    snapshot_every: int = 12_800
    keep: int = 3

    def __post_init__(self) -> None:
        _require_choice("loss", self.loss, get_args(Loss))
        _require_choice("precision", self.precision, get_args(Precision))
        _require_choice("fake_labels", self.fake_labels, ("uniform", "data"))
        for name in ("images", "batch_size", "d_steps", "accumulate", "augment_ramp", "keep"):
            _require_at_least(name, getattr(self, name), 1)
        for name in ("log_every", "snapshot_every"):
            _require_at_least(name, getattr(self, name), 1)
        for name in ("seed", "ema_start", "standing_batches", "gradient_penalty"):
            _require_at_least(name, getattr(self, name), 0)
        for name in ("g_lr", "d_lr"):
            value = getattr(self, name)
            _require(0 < value < math.inf, f"{name} must be positive, not {value}")
        for name in ("beta1", "beta2", "ema_decay"):
            value = getattr(self, name)
            _require(0 <= value < 1, f"{name} must be in [0, 1), not {value}")
        _require(
            self.batch_size % self.accumulate == 0,
            f"batch_size {self.batch_size} does not divide into {self.accumulate} micro-batches",
        )
        self._check_augmentation()

    def _check_augmentation(self) -> None:
        kinds = get_args(AugmentKind)
        for kind in self.augment:
            _require_choice("augmentation", kind, kinds)
        in_order = tuple(kind for kind in kinds if kind in self.augment)
        object.__setattr__(self, "augment", in_order)
        p, target, holdout = self.augment_p, self.augment_target, self.holdout
        _require(0 <= p <= 1, f"augment_p must be in [0, 1], not {p}")
        _require(0 <= target < 1, f"augment_target must be in [0, 1), not {target}")
        _require(0 <= holdout <= 0.5, f"holdout must be in [0, 0.5], not {holdout}")
        if target:
            _require(
                bool(self.augment),
                "an adaptive augmentation needs something to adapt: name the kinds, as "
                f"{','.join(kinds)}",
            )
            _require(
                holdout > 0,
                "an adaptive augmentation compares with images that are never trained on: hold "
                "out some, as --holdout 0.1",
            )


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """The data: where they come from and what their classes are called.

    Args:
        source: as given to `--data`.
        class_names: one a class, in label order; empty without labels.
        background: colour laid under transparent pictures, a CSS name or `#rrggbb`.
        fingerprint: SHA-256 of the decoded data; empty in runs older than this field.
    """

    source: str = "digits"
    class_names: tuple[str, ...] = ()
    background: str = "white"
    fingerprint: str = ""


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Everything that makes a run what it is."""

    preset: str = "digits"
    network: NetworkConfig = field(default_factory=NetworkConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    data: DataConfig = field(default_factory=DataConfig)


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """Where and how a run is executed; not part of its identity.

    Args:
        device: `auto`, `cpu`, `cuda` or `mps`.
        devices: how many devices (or CPU processes).
        compile: run the networks through torch.compile.
        channels_last: keep feature maps in channels-last memory order.
    """

    device: str = "auto"
    devices: int = 1
    compile: bool = False
    channels_last: bool = True

    def __post_init__(self) -> None:
        _require_choice("device", self.device, ("auto", "cpu", "cuda", "mps"))
        _require(self.devices >= 1, f"devices must be at least 1, not {self.devices}")


def to_dict(config: Any) -> dict[str, Any]:
    """Turn a configuration into plain JSON types.

    Example:
        >>> to_dict(DataConfig(class_names=("cat", "dog")))["class_names"]
        ['cat', 'dog']
    """
    return {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in (
            (f.name, to_dict(v) if dataclasses.is_dataclass(v) else v)
            for f in dataclasses.fields(config)
            for v in [getattr(config, f.name)]
        )
    }


def run_config_from_dict(values: Mapping[str, Any]) -> RunConfig:
    """Read a `RunConfig` back from JSON types.

    Raises:
        ValueError: a field is unknown or of the wrong type.

    Example:
        >>> run_config_from_dict(to_dict(RunConfig())) == RunConfig()
        True
    """
    _require(isinstance(values, Mapping), f"a configuration must be an object, not {values!r}")
    sections = {"network": NetworkConfig, "training": TrainingConfig, "data": DataConfig}
    unknown = set(values) - {"preset", *sections}
    _require(not unknown, f"unknown configuration section: {', '.join(sorted(unknown))}")
    built = {name: _section(cls, values.get(name, {}), name) for name, cls in sections.items()}
    name = values.get("preset", "")
    _require(isinstance(name, str), f"preset must be a text, not {name!r}")
    return RunConfig(preset=name, **built)


def _section(cls: type, values: Any, name: str) -> Any:
    _require(isinstance(values, Mapping), f"configuration section {name} is not an object")
    defaults = {f.name: f.default for f in dataclasses.fields(cls)}
    unknown = set(values) - set(defaults)
    _require(not unknown, f"unknown configuration in {name}: {', '.join(sorted(unknown))}")
    arguments = {}
    for key, value in values.items():
        expected = type(defaults[key])
        if expected is tuple and isinstance(value, list | tuple):
            items = _ITEMS[key]
            _require(
                all(type(item) is items for item in value),
                f"{name}.{key} must be a list of {items.__name__}, not {value!r}",
            )
            value = tuple(value)
        elif expected is float and type(value) is int and abs(value) < 2**53:
            value = float(value)
        _require(
            type(value) is expected,
            f"{name}.{key} must be {expected.__name__}, not {type(value).__name__} {value!r}",
        )
        arguments[key] = value
    return cls(**arguments)


def differences(old: RunConfig, new: RunConfig) -> list[str]:
    """List where two configurations differ, a line each: `training.seed: 0 -> 1`.

    Example:
        >>> differences(RunConfig(), RunConfig(training=TrainingConfig(seed=1)))
        ['training.seed: 0 -> 1']
    """
    before, after = _flat(to_dict(old)), _flat(to_dict(new))
    return [
        f"{key}: {before.get(key)} -> {after.get(key)}"
        for key in sorted(before | after)
        if before.get(key) != after.get(key)
    ]


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= (
            _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {prefix + key: value}
        )
    return flat
