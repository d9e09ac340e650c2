"""The code that the article quotes, rewritten literally: the baseline to beat.

Literal means: attention by bmm, softmax and bmm over `b c n` tensors, with its map stored and
returned; a power step of spectral norm in every forward pass, evaluation included; the
discriminator step's fakes made with gradient, which flows back into the generator; separate passes
for real and fake images; a trainable discriminator in the generator step; default memory order and
plain Adam. Modules are named as in `sagan.models`, so that weights load from one into the other.

Dimensions: b batch, c channels, h w the map's sides, n = h*w, z latent length.

Source: heykeetae/Self-Attention-GAN, `sagan_models.py`, `spectral.py` and `trainer.py`.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sagan.config import NetworkConfig, TrainingConfig
from sagan.config.channels import discriminator_blocks, generator_blocks
from sagan.models import Discriminator, Generator
from sagan.nn import SelfAttention, SpectralNorm
from sagan.nn.resampled_conv import unfused


class LiteralSpectralNorm(nn.Module):
    """A layer whose weight is divided by sigma, after one more power step at each forward pass."""

    u: Tensor
    v: Tensor

    def __init__(self, layer: nn.Conv2d | nn.ConvTranspose2d, *, eps: float) -> None:
        super().__init__()
        self.layer = layer
        self.eps = eps
        matrix = layer.weight.flatten(1)  # rows by dimension 0, for transposed convolutions too
        self.register_buffer("u", F.normalize(torch.randn(matrix.shape[0]), dim=0))
        self.register_buffer("v", F.normalize(torch.randn(matrix.shape[1]), dim=0))

    def forward(self, x: Tensor) -> Tensor:
        """Take a power step, divide the weight by sigma, and run the layer."""
        weight = self.layer.weight
        matrix = weight.flatten(1)
        with torch.no_grad():
            v = torch.mv(matrix.t(), self.u)
            self.v = v / (v.norm() + self.eps)
            u = torch.mv(matrix, self.v)
            self.u = u / (u.norm() + self.eps)
        sigma = torch.dot(self.u, torch.mv(matrix, self.v))
        return torch.func.functional_call(self.layer, {"weight": weight / sigma}, (x,))


class LiteralAttention(nn.Module):
    """The article's attention block: `gamma * attention(x) + x`, and the map `b n n`."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query = nn.Conv2d(channels, channels // 8, 1)
        self.key = nn.Conv2d(channels, channels // 8, 1)
        self.value = nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map `b c h w` to the same shape, and return the attention map too."""
        query = self.query(x).flatten(2).permute(0, 2, 1)
        energy = torch.bmm(query, self.key(x).flatten(2))
        attention = energy.softmax(dim=-1)
        attended = torch.bmm(self.value(x).flatten(2), attention.permute(0, 2, 1))
        return self.gamma * attended.view(x.shape) + x, attention


class LiteralGenerator(nn.Module):
    """Latents `b z` to images `b c h w` and the attention maps."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        stages = generator_blocks(config)
        self.blocks = nn.ModuleList()
        self.attention = nn.ModuleDict()
        for i, stage in enumerate(stages):
            side = (1, 0) if i == 0 else (2, 1)
            up = nn.ConvTranspose2d(stage.c_in, stage.c_out, 4, *side)
            norm = nn.BatchNorm2d(stage.c_out, eps=config.norm_eps, momentum=config.norm_momentum)
            normalised = LiteralSpectralNorm(up, eps=config.spectral_eps)
            self.blocks.append(nn.Sequential(normalised, norm, nn.ReLU()))
            if stage.attention:
                self.attention[str(i)] = LiteralAttention(stage.c_out)
        self.to_image = nn.ConvTranspose2d(stages[-1].c_out, config.channels, 4, 2, 1)

    def forward(self, latents: Tensor) -> tuple[Tensor, ...]:
        """Generate images."""
        x, maps = latents[:, :, None, None], []
        for i, block in enumerate(self.blocks):
            x = block(x)
            if str(i) in self.attention:
                x, attention = self.attention[str(i)](x)
                maps.append(attention)
        return torch.tanh(self.to_image(x)), *maps


class LiteralDiscriminator(nn.Module):
    """Images `b c h w` to logits `b` and the attention maps."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        stages = discriminator_blocks(config)
        self.blocks = nn.ModuleList()
        self.attention = nn.ModuleDict()
        for i, stage in enumerate(stages):
            down = nn.Conv2d(stage.c_in, stage.c_out, 4, 2, 1)
            self.blocks.append(LiteralSpectralNorm(down, eps=config.spectral_eps))
            if stage.attention:
                self.attention[str(i)] = LiteralAttention(stage.c_out)
        self.to_logit = nn.Conv2d(stages[-1].c_out, 1, 4)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Score images."""
        x, maps = images, []
        for i, block in enumerate(self.blocks):
            x = F.leaky_relu(block(x), 0.1)
            if str(i) in self.attention:
                x, attention = self.attention[str(i)](x)
                maps.append(attention)
        return self.to_logit(x).flatten(), *maps


class LiteralForm(nn.Module):
    """A network of `sagan.models` in literal form, for families that the article does not have."""

    def __init__(self, network: Generator | Discriminator) -> None:
        super().__init__()
        self.network = network
        self.maps: list[Tensor] = []
        self.norms = [m for m in network.modules() if isinstance(m, SpectralNorm)]
        for layer in network.modules():
            if isinstance(layer, SelfAttention):
                layer.forward = self._forward_of(layer)  # type: ignore[method-assign]

    def _forward_of(self, layer: SelfAttention):  # type: ignore[no-untyped-def]
        def forward(x: Tensor) -> Tensor:
            output, attention = layer.reference(x)
            self.maps.append(attention)
            return output

        return forward

    def forward(self, x: Tensor, labels: Tensor | None) -> tuple[Tensor, ...]:
        """Return the network's output and its maps."""
        for layer in self.norms:  # copied: backward of the last pass still needs the old vectors
            layer.u, layer.v = layer.u.clone(), layer.v.clone()
            layer.power_iteration()
        self.maps = []
        with unfused():
            output = self.network(x, labels)
        maps, self.maps = self.maps, []
        return output, *maps


def literal_optimizers(
    G: nn.Module, D: nn.Module, training: TrainingConfig
) -> tuple[torch.optim.Adam, torch.optim.Adam]:
    """The plain Adam of each network."""
    betas = (training.beta1, training.beta2)
    return (
        torch.optim.Adam(G.parameters(), training.g_lr, betas),
        torch.optim.Adam(D.parameters(), training.d_lr, betas),
    )


def literal_step(
    G: nn.Module,
    D: nn.Module,
    optimizers: tuple[torch.optim.Optimizer, torch.optim.Optimizer],
    real: tuple[Tensor, ...],
    d_input: tuple[Tensor, ...],
    g_input: tuple[Tensor, ...],
) -> dict[str, Tensor]:
    """One step of the quoted training loop, with the hinge loss; networks return maps too."""
    # each input is images or latents, then labels if any; losses keep their graphs, as quoted
    g_optimizer, d_optimizer = optimizers
    real_logits, *_real_maps = D(*real)
    loss_real = F.relu(1.0 - real_logits).mean()
    fake, *_g_maps = G(*d_input)
    fake_logits, *_fake_maps = D(fake, *d_input[1:])  # not detached: backward goes on into G
    d_loss = loss_real + F.relu(1.0 + fake_logits).mean()
    g_optimizer.zero_grad()
    d_optimizer.zero_grad()
    d_loss.backward()
    d_optimizer.step()

    fake, *_g_maps = G(*g_input)
    fake_logits, *_fake_maps = D(fake, *g_input[1:])
    g_loss = -fake_logits.mean()
    g_optimizer.zero_grad()
    d_optimizer.zero_grad()
    g_loss.backward()
    g_optimizer.step()
    return {"d_loss": d_loss, "g_loss": g_loss}
