"""The ResNet generator and discriminator, of every preset but `article` and `article-quoted`.

Dimensions: b batch, c channels, h w the map's sides, z latent length, k classes.
"""

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sagan.config import NetworkConfig
from sagan.config.channels import BlockShape, discriminator_blocks, generator_blocks
from sagan.nn.attention import SelfAttention
from sagan.nn.blocks import DiscriminatorBlock, GeneratorBlock, sn_conv
from sagan.nn.controls import GlobalContext, ResidualBottleneck
from sagan.nn.norm import Labels, lookup
from sagan.nn.spectral import SpectralNorm, without_autocast
from sagan.sharing.mixin import Pretrained


def attention_after(
    shapes: list[BlockShape], config: NetworkConfig, *, normalised: bool = True
) -> nn.ModuleDict:
    """Attention layers, or what stands in their place, by the index of the block before each."""
    # `normalised=False` turns their spectral norm off whatever their form
    return nn.ModuleDict(
        {
            str(i): _attention(shape.c_out, config, normalised)
            for i, shape in enumerate(shapes)
            if shape.attention
        }
    )


def _attention(channels: int, config: NetworkConfig, normalised: bool) -> nn.Module:
    form, eps = config.attention_form, config.spectral_eps
    block: SelfAttention | ResidualBottleneck | GlobalContext
    if form == "residual":
        block = ResidualBottleneck(channels, spectral_norm=normalised, spectral_eps=eps)
    elif form == "global-context":
        block = GlobalContext(channels, spectral_norm=normalised, spectral_eps=eps)
    else:
        block = SelfAttention(
            channels, form=form, spectral_norm=None if normalised else False, spectral_eps=eps
        )
    nn.init.constant_(block.gamma, config.gamma_start)
    return block


class SpatialNoise(nn.Module):
    """Latents as noise on the map of half the image's side; all before it starts from a constant.

    Without attention, two pixels of the image then share noise only if they are a few pixels apart:
    places farther apart are independent of each other (but for the class).
    """

    def __init__(self, config: NetworkConfig, *, spectral_norm: bool) -> None:
        super().__init__()
        shapes = generator_blocks(config)
        self.side_px = config.resolution // 2
        widths = {4: shapes[0].c_in} | {shape.size_px: shape.c_out for shape in shapes}
        self.constant = nn.Parameter(torch.randn(1, shapes[0].c_in, 4, 4))
        self.to_map = sn_conv(
            config.latent_dim // self.side_px**2,
            widths[self.side_px],
            1,
            eps=config.spectral_eps,
            normalised=spectral_norm,
        )

    def forward(self, x: Tensor, latents: Tensor) -> Tensor:
        """Add the noise to a map `b c h w` of its side; leave others as they are."""
        if x.shape[-1] != self.side_px:
            return x
        added: Tensor = self.to_map(latents.unflatten(1, (-1, self.side_px, self.side_px)))
        return x + added

    if TYPE_CHECKING:  # nn.Module's own returns Any
        __call__ = forward


class ResNetGenerator(Pretrained):
    """Latents `b z` and labels to images `b c h w` in [-1, 1]."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        shapes = generator_blocks(config)
        seed_width, last_width = shapes[0].c_in, shapes[-1].c_out
        eps, normalised = config.spectral_eps, config.g_spectral_norm
        self.linear: nn.Module | None = None
        if config.latent == "vector":
            linear = nn.Linear(config.latent_dim, 16 * seed_width)
            self.linear = SpectralNorm(linear, eps=eps) if normalised else linear
        self.class_input: nn.Embedding | None = None
        if config.class_input and config.classes:
            self.class_input = nn.Embedding(config.classes, 16 * seed_width)
            nn.init.zeros_(self.class_input.weight)
        self.blocks = nn.ModuleList(
            GeneratorBlock(
                shape.c_in,
                shape.c_out,
                classes=config.classes,
                norm_eps=config.norm_eps,
                norm_momentum=config.norm_momentum,
                spectral_eps=eps,
                upsampling=config.g_upsampling,
                spectral_norm=normalised,
            )
            for shape in shapes
        )
        self.noise: SpatialNoise | None = None
        if config.latent == "spatial":
            self.noise = SpatialNoise(config, spectral_norm=normalised)
        self.attention = attention_after(shapes, config, normalised=normalised)
        self.norm = nn.BatchNorm2d(
            last_width, eps=config.norm_eps, momentum=config.final_norm_momentum
        )
        self.to_image = sn_conv(last_width, config.channels, 3, eps=eps, normalised=normalised)

    def start(self, latents: Tensor, labels: Labels = None) -> Tensor:
        """The 4x4 map that the first block enlarges, `b c 4 4`."""
        if self.noise is not None:
            b = latents.shape[0]  # `len` would be a constant in an exported graph
            seed = self.noise(self.noise.constant.repeat(b, 1, 1, 1), latents)
        else:
            assert self.linear is not None
            seed = self.linear(latents).unflatten(1, (-1, 4, 4))
        if self.class_input is not None:
            assert labels is not None
            seed = seed + lookup(self.class_input, labels).to(seed.dtype).unflatten(1, (-1, 4, 4))
        return seed

    def forward(self, latents: Tensor, labels: Labels = None) -> Tensor:
        """Generate images; labels are class numbers `b`, or class weights `b k` for mixtures."""
        check_labels(labels, self.config.classes)
        x = self.start(latents, labels)
        for i, block in enumerate(self.blocks):
            x = block(x, labels)
            if self.noise is not None:
                x = self.noise(x, latents)
            if str(i) in self.attention:
                x = self.attention[str(i)](x)
        return torch.tanh(self.to_image(F.relu(self.norm(x))))

    if TYPE_CHECKING:  # nn.Module's own returns Any
        __call__ = forward


class ResNetDiscriminator(nn.Module):
    """Images `b c h w` in [-1, 1] and labels to logits `b`, by projection."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        shapes = discriminator_blocks(config)
        eps = config.spectral_eps
        self.blocks = nn.ModuleList(
            DiscriminatorBlock(
                shape.c_in,
                shape.c_out,
                downsample=shape.size_px < size_before,
                first=i == 0,
                spectral_eps=eps,
                c_hidden=shape.c_hidden,
                shortcut_relu=config.d_shortcut_relu,
            )
            for i, (shape, size_before) in enumerate(
                zip(shapes, [config.resolution, *(s.size_px for s in shapes)], strict=False)
            )
        )
        self.attention = attention_after(shapes, config)
        width = shapes[-1].c_out
        self.linear = SpectralNorm(nn.Linear(width, 1), eps=eps)
        self.embedding = (
            SpectralNorm(nn.Embedding(config.classes, width), eps=eps) if config.classes else None
        )

    def forward(self, images: Tensor, labels: Labels = None) -> Tensor:
        """Logits, higher for more real: `b`, or `b n` for n class numbers an image, `b n`."""
        check_labels(labels, self.config.classes)
        x = images
        for i, block in enumerate(self.blocks):
            x = block(x)
            if str(i) in self.attention:
                x = self.attention[str(i)](x)
        # in bf16 all logits near 100 would be one of a few numbers
        features = F.relu(x).sum((2, 3), dtype=torch.promote_types(x.dtype, torch.float32))
        with without_autocast(features):
            logits: Tensor = self.linear(features)[:, 0]
            if self.embedding is not None:
                assert labels is not None
                if labels.is_floating_point():
                    rows = labels @ self.embedding.normalized_weight()
                else:
                    rows = self.embedding(labels)
                if rows.dim() == 3:
                    logits, features = logits[:, None], features[:, None]
                logits = logits + (rows * features).sum(-1)
        return logits

    if TYPE_CHECKING:  # nn.Module's own returns Any
        __call__ = forward


def check_labels(labels: Labels, classes: int) -> None:
    """Raise ValueError for missing or superfluous labels, and for class weights not `b k`."""
    if classes and labels is None:
        raise ValueError(f"this network is conditional: labels in [0, {classes}) are needed")
    if not classes and labels is not None:
        raise ValueError("this network is unconditional: it takes no labels")
    if labels is not None and labels.is_floating_point() and labels.shape[1:] != (classes,):
        raise ValueError(f"class weights must be b x {classes}, not {tuple(labels.shape)}")
