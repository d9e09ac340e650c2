"""The network of the code quoted in the article: transposed convolutions up, strided ones down.

Spectral norm on every convolution except attention's and the last of each network; batch norm in
the generator only; LeakyReLU with slope 0.1 in the discriminator. As in the quoted code, spectral
norm takes dimension 0 of the weight as rows, even of transposed convolutions.

Source: heykeetae/Self-Attention-GAN, `sagan_models.py` and `spectral.py`.
"""

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sagan.config import NetworkConfig
from sagan.config.channels import discriminator_blocks, generator_blocks
from sagan.models.resnet import attention_after, check_labels
from sagan.nn.norm import Labels
from sagan.nn.spectral import SpectralNorm, without_autocast
from sagan.sharing.mixin import Pretrained


class DCGANGenerator(Pretrained):
    """Latents `b z` to images `b c h w` in [-1, 1]; unconditional."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        shapes = generator_blocks(config)

        def up(c_in: int, c_out: int, *, first: bool) -> nn.ConvTranspose2d:
            return nn.ConvTranspose2d(c_in, c_out, 4, *((1, 0) if first else (2, 1)))

        self.blocks = nn.ModuleList(
            nn.Sequential(
                SpectralNorm(up(s.c_in, s.c_out, first=i == 0), dim=0, eps=config.spectral_eps),
                nn.BatchNorm2d(s.c_out, eps=config.norm_eps, momentum=config.norm_momentum),
                nn.ReLU(),
            )
            for i, s in enumerate(shapes)
        )
        self.attention = attention_after(shapes, config)
        self.to_image = up(shapes[-1].c_out, config.channels, first=False)

    def forward(self, latents: Tensor, labels: Labels = None) -> Tensor:
        """Generate images."""
        check_labels(labels, 0)
        x = latents[:, :, None, None]
        for i, block in enumerate(self.blocks):
            x = block(x)
            if str(i) in self.attention:
                x = self.attention[str(i)](x)
        return torch.tanh(self.to_image(x))

    if TYPE_CHECKING:  # nn.Module's own returns Any
        __call__ = forward


class DCGANDiscriminator(nn.Module):
    """Images `b c h w` in [-1, 1] to logits `b`; unconditional."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        shapes = discriminator_blocks(config)
        self.blocks = nn.ModuleList(
            SpectralNorm(nn.Conv2d(s.c_in, s.c_out, 4, 2, 1), eps=config.spectral_eps)
            for s in shapes
        )
        self.attention = attention_after(shapes, config)
        self.to_logit = nn.Conv2d(shapes[-1].c_out, 1, 4)

    def forward(self, images: Tensor, labels: Labels = None) -> Tensor:
        """Logits `b`, higher for more real."""
        check_labels(labels, 0)
        x = images
        for i, block in enumerate(self.blocks):
            x = F.leaky_relu(block(x), 0.1)
            if str(i) in self.attention:
                x = self.attention[str(i)](x)
        with without_autocast(x):  # in bf16 all logits near 100 would be one of a few numbers
            x = x.to(torch.promote_types(x.dtype, torch.float32))
            return self.to_logit(x).flatten()

    if TYPE_CHECKING:  # nn.Module's own returns Any
        __call__ = forward
