"""Differentiable augmentation of the discriminator's input, with fixed or adaptive probability.

Real and fake images get the same kinds of change in the discriminator step, and fakes in the
generator step, so the generator learns the distribution before augmentation. The functions are
pure: each image's random numbers are passed in, and no image's result depends on another's.

Positions that translation or cutout leave empty are 0, as published: mid-grey in [-1, 1]. An alpha
channel is moved and cut with its colours but not recoloured.

Dimensions: b batch, c channels, h w the image's sides, r random numbers of an image.

Source: Zhao et al. 2020 (DiffAugment), section 3, and its released code; adaptive probability after
Karras et al. 2020 (StyleGAN2-ADA), section 3.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

# An image's random numbers, by column. All are drawn whatever the policy, so that adding one kind
# of change leaves the others' numbers alone.
_GATES = {"color": 0, "translation": 1, "cutout": 2}
_BRIGHTNESS, _SATURATION, _CONTRAST, _SHIFT_Y, _SHIFT_X, _CUT_Y, _CUT_X = range(3, 10)
DRAWS = 10

UPDATE_STEPS = 4  # between updates of an adaptive probability (Karras et al. 2020, appendix B)


def augment(images: Tensor, draws: Tensor, *, policy: Sequence[str], p: Tensor | float) -> Tensor:
    """Apply each kind of change in the policy to each image with probability p, differentiably.

    Images are `b c h w` in [-1, 1] with 1, 3 or 4 channels, the last of 4 being alpha; draws are
    `b r` uniform in [0, 1), r = `DRAWS`. The order is `color`, `translation`, `cutout`. Values may
    leave [-1, 1], as published.

    Example:
        >>> images, draws = torch.rand(2, 3, 8, 8), torch.rand(2, DRAWS)
        >>> torch.equal(augment(images, draws, policy=("color", "cutout"), p=0.0), images)
        True
        >>> cut = augment(torch.ones(1, 1, 8, 8), torch.full((1, DRAWS), 0.5), policy=["cutout"],
        ...               p=1.0)
        >>> int(cut.sum())  # 8 x 8 less 4 x 4
        48
    """
    if "color" in policy:
        chosen = _chosen("color", draws, p)[:, None, None, None]
        images = torch.where(chosen, _recoloured(images, draws), images)
    if "translation" in policy:
        images = _translated(images, draws, _chosen("translation", draws, p))
    if "cutout" in policy:
        images = _cut_out(images, draws, _chosen("cutout", draws, p))
    return images


def _chosen(kind: str, draws: Tensor, p: Tensor | float) -> Tensor:
    return draws[:, _GATES[kind]] < p


def _recoloured(images: Tensor, draws: Tensor) -> Tensor:
    """Brightness by -0.5 to 0.5, saturation by 0 to 2, contrast by 0.5 to 1.5."""

    def number(column: int) -> Tensor:
        return draws[:, column, None, None, None].to(images.dtype)

    colours = images[:, :3] if images.shape[1] == 4 else images
    colours = colours + (number(_BRIGHTNESS) - 0.5)
    if colours.shape[1] > 1:  # grey has no saturation
        grey = colours.mean(1, keepdim=True)
        colours = (colours - grey) * (2 * number(_SATURATION)) + grey
    level = colours.mean((1, 2, 3), keepdim=True)
    colours = (colours - level) * (number(_CONTRAST) + 0.5) + level
    return torch.cat([colours, images[:, 3:]], 1) if images.shape[1] == 4 else colours


def _translated(images: Tensor, draws: Tensor, chosen: Tensor) -> Tensor:
    """Move by up to an eighth of each side."""
    h, w = images.shape[2:]
    y = _whole(draws[:, _SHIFT_Y], -(h // 8), h // 8) * chosen
    x = _whole(draws[:, _SHIFT_X], -(w // 8), w // 8) * chosen
    rows = torch.arange(h, device=images.device) - y[:, None]
    columns = torch.arange(w, device=images.device) - x[:, None]
    inside = ((rows >= 0) & (rows < h))[:, None, :, None]
    inside = inside & ((columns >= 0) & (columns < w))[:, None, None, :]
    from_rows = rows.clamp(0, h - 1)[:, None, :, None].expand_as(images)
    from_columns = columns.clamp(0, w - 1)[:, None, None, :].expand_as(images)
    # Two gathers rather than one index: every pixel is read once, so the backward pass adds nothing
    # to a gradient but zeros, in whatever order.
    return torch.where(inside, images.gather(2, from_rows).gather(3, from_columns), 0.0)


def _cut_out(images: Tensor, draws: Tensor, chosen: Tensor) -> Tensor:
    """Zero a square of half the side, centred anywhere, so it may cross the border."""
    h, w = images.shape[2:]
    half_h, half_w = h // 2, w // 2
    top = _whole(draws[:, _CUT_Y], 0, h - half_h % 2) - half_h // 2
    left = _whole(draws[:, _CUT_X], 0, w - half_w % 2) - half_w // 2
    rows = torch.arange(h, device=images.device) - top[:, None]
    columns = torch.arange(w, device=images.device) - left[:, None]
    cut = ((rows >= 0) & (rows < half_h))[:, None, :, None]
    cut = cut & ((columns >= 0) & (columns < half_w))[:, None, None, :]
    return torch.where(cut & chosen[:, None, None, None], 0.0, images)


def _whole(draws: Tensor, least: int, most: int) -> Tensor:
    """Turn numbers in [0, 1) into integers from least to most, inclusive."""
    # A float32 below 1 times an integer rounds to below that integer, so `most` is never exceeded.
    return (draws * (most - least + 1)).long() + least


def adapted(
    p: Tensor,
    real: Tensor,
    held_out: Tensor,
    fake: Tensor,
    *,
    target: float,  # the overfitting aimed at, in (0, 1)
    shown_nimg: int,  # real images since the last update
    ramp_nimg: int,
) -> Tensor:
    """Raise the augmentation probability if the discriminator overfits, else lower it.

    Overfitting is how far mean logits have fallen from training images to held-out ones, relative
    to the distance down to the fakes': 0 if both real sets are treated alike, 1 if held-out images
    look as fake as the fakes. p moves by a fixed amount per image, within [0, 1]: from 0 to 1 over
    `ramp_nimg` images. It stays on the device; the host never waits.

    Source:
        Karras et al. 2020, section 3, the heuristic r_v. Their r_t, the sign of the real logits,
        says nothing under the hinge loss with spectral norm: docs/experiments.md.
    """
    excess = (real - held_out) - target * (real - fake).clamp(min=0.0)
    return (p + torch.sign(excess) * (shown_nimg / ramp_nimg)).clamp(0.0, 1.0)


@dataclass
class Augmentation:
    """A policy with its probability, fixed or adaptive; called on images by the steps."""

    policy: tuple[str, ...]
    p: Tensor  # a scalar on the images' device
    target: float = 0.0  # the overfitting that p adapts to (see `adapted`); 0 keeps p fixed
    ramp_nimg: int = 1

    def __call__(self, images: Tensor, draws: Tensor) -> Tensor:
        """Augment images `b c h w` by their random numbers `b r`."""
        return augment(images, draws, policy=self.policy, p=self.p)

    def adapts_at(self, step: int) -> bool:
        """Whether p is updated after this generator step."""
        return bool(self.target) and (step + 1) % UPDATE_STEPS == 0

    def adapt(self, logits: Tensor, shown_nimg: int) -> None:
        """Update p from the mean logits of training images, held-out images and fakes, stacked."""
        new = adapted(
            self.p, *logits, target=self.target, shown_nimg=shown_nimg, ramp_nimg=self.ramp_nimg
        )
        self.p.copy_(new)  # in place, where a recorded step reads it
