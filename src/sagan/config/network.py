"""What the two networks are: one frozen dataclass, checked when created. No torch here."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Literal, get_args

from sagan.config.checks import require, require_at_least, require_at_most, require_choice

Family = Literal["resnet", "dcgan"]
AttentionForm = Literal["article", "paper", "residual", "global-context"]
Latent = Literal["vector", "spatial"]
Upsampling = Literal["nearest", "bilinear"]
Init = Literal["xavier", "orthogonal", "default"]

WITH_MAPS = ("article", "paper")  # the forms that are attention
RESOLUTIONS_PX = (8, 16, 32, 64, 128, 256)
_MOST = {"classes": 2**20, "latent_dim": 2**20, "g_width": 2**14, "d_width": 2**14}
_MOST_CHANNELS = 2**18
_RESNET_ONLY = (
    "g_channels",
    "d_channels",
    "d_hidden",
    "d_halvings",
    "d_attention_blocks",
    "g_upsampling",
    "g_spectral_norm",
    "d_shortcut_relu",
    "latent",
    "class_input",
)
_CELL_NUMBERS = 8  # of spatial latents by default


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """The two networks.

    Args:
        family: `resnet`, or `dcgan` (the network of the code that the article quotes).
        resolution: image side in pixels, a power of two from 8 to 256 (`dcgan`: 32 to 128).
        channels: image channels: 1 grey, 3 RGB, 4 RGBA.
        classes: number of classes; 0 is unconditional.
        latent_dim: length of a latent vector.
        g_width, d_width: base width (`ch`) of the generator and the discriminator.
        g_attention, d_attention: sides in pixels of the feature maps that get attention.
        attention_form: `paper` or `article`, see `sagan.nn.SelfAttention`; or what stands in its
            place to compare with: `residual`, convolutions with as many weights, or
            `global-context`, the same mean for every place (`sagan.nn.controls`).
        gamma_start: initial value of each of these blocks' gamma.
        paired_init: begin all layers but these blocks with the weights that they have without
            them, so that networks which differ in their blocks alone can be compared.
        latent: `vector` reaches the whole image through a linear layer; `spatial` is noise on the
            map of half the image's side, which convolutions carry a few pixels only.
        class_input: give the generator's first layer the class beside the latent: each class adds
            a 4x4 map of its own to the seed, at first 0.
        init: distribution of the initial weights.
        spectral_eps, norm_eps, norm_momentum, final_norm_momentum: constants of the norms.
        g_channels: all widths of the generator in channels, its 4x4 seed first; empty for the
            family's multiples of `g_width`. This and the fields below are where other
            implementations' networks differ, see docs/import.md; `resnet` only.
        d_channels: output width of each discriminator block, likewise.
        d_hidden: width between the two 3x3 convolutions of each discriminator block; empty for
            the output width.
        d_halvings: how many discriminator blocks, from the first, halve the map; 0 for the
            family's number.
        d_attention_blocks: numbers, from 0, of the discriminator blocks followed by attention;
            empty for the first block of each side in `d_attention`.
        g_upsampling: how the generator enlarges its maps.
        g_spectral_norm: whether the generator has spectral norm (SNGAN's does not).
        d_shortcut_relu: whether the shortcut of each discriminator block but the first starts
            after the block's ReLU, as with an in-place ReLU.

    Raises:
        ValueError: a value is out of range; the message names it and what is allowed.

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
    gamma_start: float = 0.0
    paired_init: bool = False
    latent: Latent = "vector"
    class_input: bool = False
    init: Init = "xavier"
    spectral_eps: float = 1e-12
    norm_eps: float = 1e-5
    norm_momentum: float = 0.1
    final_norm_momentum: float = 0.1
    g_channels: tuple[int, ...] = ()
    d_channels: tuple[int, ...] = ()
    d_hidden: tuple[int, ...] = ()
    d_halvings: int = 0
    d_attention_blocks: tuple[int, ...] = ()
    g_upsampling: Upsampling = "nearest"
    g_spectral_norm: bool = True
    d_shortcut_relu: bool = False

    def __post_init__(self) -> None:
        require_choice("family", self.family, get_args(Family))
        require_choice("resolution", self.resolution, RESOLUTIONS_PX)
        require_choice("channels", self.channels, (1, 3, 4))
        require_choice("attention form", self.attention_form, get_args(AttentionForm))
        require_choice("init", self.init, get_args(Init))
        require_at_least("classes", self.classes, 0)
        require_at_least("latent_dim", self.latent_dim, 1)
        require(
            -math.inf < self.gamma_start < math.inf,
            f"gamma_start must be a finite number, not {self.gamma_start}",
        )
        require_choice("latent", self.latent, get_args(Latent))
        cells = (self.resolution // 2) ** 2
        require(
            self.latent == "vector" or self.latent_dim % cells == 0,
            f"spatial latents at {self.resolution} px are a multiple of {cells} numbers, not "
            f"{self.latent_dim}",
        )
        for name in ("g_width", "d_width"):
            require_at_least(name, getattr(self, name), 1)
        for name, most in _MOST.items():
            require_at_most(name, getattr(self, name), most)
        for name in ("spectral_eps", "norm_eps"):
            value = getattr(self, name)
            require(0 < value < 1, f"{name} must be in (0, 1), not {value}")
        for name in ("norm_momentum", "final_norm_momentum"):
            value = getattr(self, name)
            require(0 < value <= 1, f"{name} must be in (0, 1], not {value}")
        require_choice("g_upsampling", self.g_upsampling, get_args(Upsampling))
        require_at_least("d_halvings", self.d_halvings, 0)
        for name in ("g_channels", "d_channels", "d_hidden"):
            object.__setattr__(self, name, tuple(getattr(self, name)))  # JSON has lists
            for width in getattr(self, name):
                require_at_least(name, width, 1)
                require_at_most(name, width, _MOST_CHANNELS)
        for name in ("g_attention", "d_attention", "d_attention_blocks"):
            object.__setattr__(self, name, tuple(sorted(set(getattr(self, name)))))
        if self.family == "dcgan":
            self._check_dcgan()

    @property
    def g_maps(self) -> tuple[int, ...]:
        """Sides in pixels of the generator's feature maps whose attention can be looked at."""
        return self.g_attention if self.attention_form in WITH_MAPS else ()

    @property
    def d_maps(self) -> tuple[int, ...]:
        """The same of the discriminator's."""
        return self.d_attention if self.attention_form in WITH_MAPS else ()

    def _check_dcgan(self) -> None:
        require(
            self.classes == 0,
            f"the dcgan family is unconditional: classes must be 0, not {self.classes}",
        )
        require(
            self.resolution in (32, 64, 128),
            f"the dcgan family has 32, 64 and 128 px, not {self.resolution}",
        )
        for f in dataclasses.fields(self):
            require(
                f.name not in _RESNET_ONLY or getattr(self, f.name) == f.default,
                f"{f.name} is of the resnet family: leave it out of a dcgan's",
            )


def spatial_latent_dim(resolution: int) -> int:
    """How many numbers spatial latents have by default.

    Example:
        >>> NetworkConfig(resolution=16, latent="spatial", latent_dim=spatial_latent_dim(16)).latent
        'spatial'
    """
    return _CELL_NUMBERS * (resolution // 2) ** 2


def why_no_maps(network: NetworkConfig) -> str:
    """What a network without attention maps has instead.

    Example:
        >>> why_no_maps(NetworkConfig())
        'was trained without attention'
    """
    if network.attention_form in WITH_MAPS or not (network.g_attention or network.d_attention):
        return "was trained without attention"
    return f"has {network.attention_form} blocks in attention's place, which have no maps"
