"""The presets: recipes by name, one row each.

| preset         | px  | network        | attention    | batch | D:G | GFLOP | reaches            |
| -------------- | --- | -------------- | ------------ | ----- | --- | ----- | ------------------ |
| digits         | 8   | ResNet         | 8; 8         | 64    | 1:1 | 0.088 | CAS .973 (demo)    |
| quick          | 32  | ResNet, narrow | 8; 8         | 128   | 1:1 | 0.54  | docs/gallery.md    |
| quick-few      | 32  | the same       | 8; 8         | 128   | 1:1 | 0.54  | docs/gallery.md    |
| article        | 64  | DCGAN, no cBN  | 16, 32; 4, 8 | 64    | 1:1 | 3.4   | -                  |
| article-quoted | 64  | the same       | 16, 32; 4, 8 | 64    | 1:1 | 3.4   | collapses          |
| paper          | 128 | ResNet         | 32; 32       | 256   | 1:1 | 93.3  | FID 18.28 (paper)  |
| best           | 128 | ResNet         | 64; 64       | 256   | 1:1 | 98.0  | FID 12.83 (mmgen.) |
| cifar          | 32  | ResNet         | 16; 16       | 64    | 5:1 | 6.0   | FID 9.43 (mmgen.)  |
| small          | 64  | ResNet, narrow | 32; 32       | 32    | 1:1 | 5.0   | -                  |

Attention is at these maps of G; of D. CAS is the median of seeds 0, 1 and 2; seed 0, which `./dev
demo` runs, has .9733.

GFLOP is per training image, by `sagan.models.estimate`: 4 G + 8 D forward passes' worth, in `cifar`
1.6 G + 6.4 D. The same networks convolved literally take 149.5 and 154.2 in `paper` and `best`. FID
is by the publisher's own protocol on ImageNet-128 and CIFAR-10; nothing here has been trained on
them.

`small` is for a few hundred to a few thousand images: the paper's network in its light 64 px form,
its learning rates and attention at half the side; EMA as in `best`; and DiffAugment with all three
kinds always, as Zhao et al. 2020 use it on 100 images. Half the width, batch 32 and 1,000,000
images are our choice, not measured: a quarter of the work and of the weights, 0.5 GB of memory, and
batches that a few hundred images can fill. Few images are soon overfitted, so it alone evaluates by
default (under 1 % of its time) and keeps the best checkpoint.

`article` is the network of the code that the article quotes. With that code's learning rates, 1e-4
for G and 4e-4 for D, whose last layer has no spectral norm there, D wins within 100 steps and G
collapses (docs/experiments.md). So `article` has them the other way round, and EMA;
`article-quoted` has them as quoted.

`quick` is for a CPU and an hour or less: it grows through 8 and 16 px, where an image costs a
sixteenth and a quarter, with the rates that did best there, and has the mode-seeking loss for
variety and mismatched labels for classes that can be told apart (docs/experiments.md). `quick-few`
is for fewer than 10,000 images: a LeCam penalty, less weight on mismatched labels, which let D
learn few images by heart and cost variety, and augmentation once it does learn them by heart, which
a tenth of the images tells that it is never trained on.

Every preset can be trained at every resolution of its family. Its attention is then at the preset's
own map, or at half the image's side if that is smaller; `article` has it on the last two hidden
maps of each network.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sagan.config import GrowthStage, NetworkConfig, RunConfig, TrainingConfig
from sagan.config.growth import parse_growth, share_out
from sagan.config.resized import resized

_MILLION = 1_000_000

# Fewer images than this are few. Zhao et al. 2020 find DiffAugment to gain most on 5,000 and 10,000
# images of CIFAR-10 (FID 39.8 -> 22.4 on 5,000; 9.6 -> 8.7 on all 50,000).
FEW_IMAGES = 10_000

# Adaptive augmentation: the overfitting it aims at (docs/experiments.md), and the share of the
# images that it is measured on, which are not trained on.
ADAPTIVE_TARGET = 0.5
ADAPTIVE_HOLDOUT = 0.1

_DIGITS = NetworkConfig(
    resolution=8,
    latent_dim=64,
    g_width=12,
    d_width=32,
    g_attention=(8,),
    d_attention=(8,),
    attention_form="article",
    init="orthogonal",
)

_ARTICLE = NetworkConfig(
    family="dcgan",
    resolution=64,
    g_attention=(16, 32),
    d_attention=(4, 8),
    attention_form="article",
    init="default",
)

_QUICK = (
    resized(_DIGITS, 32),
    TrainingConfig(
        images=480_000,
        batch_size=128,
        g_lr=5e-4,
        d_lr=1e-3,
        beta2=0.99,
        diversity=0.03,
        mismatch=0.5,
        precision="auto",
        ema_decay=0.995,
        ema_start=6_400,
        standing_batches=50,
        log_every=1_280,
        snapshot_every=12_800,
        keep=5,
    ),
)

PRESETS: Mapping[str, tuple[NetworkConfig, TrainingConfig]] = {
    "digits": (
        _DIGITS,
        TrainingConfig(
            images=112_000,
            batch_size=64,
            g_lr=1.5e-3,
            d_lr=2e-3,
            beta2=0.99,
            diversity=0.03,
            ema_decay=0.995,
            ema_start=6_400,
            standing_batches=50,
            log_every=640,
            snapshot_every=11_200,
            keep=11,  # all: `sagan explore` walks through them
        ),
    ),
    "quick": _QUICK,
    "quick-few": (
        _QUICK[0],
        replace(
            _QUICK[1],
            mismatch=0.15,
            lecam=0.3,
            augment=("color", "translation", "cutout"),
            augment_p=0.0,
            augment_target=ADAPTIVE_TARGET,
            holdout=ADAPTIVE_HOLDOUT,
        ),
    ),
    "article": (
        _ARTICLE,
        TrainingConfig(
            images=6_400_000,
            batch_size=64,
            g_lr=4e-4,
            d_lr=1e-4,
            beta2=0.9,
            ema_decay=0.995,
            ema_start=6_400,
            log_every=1_280,
            snapshot_every=12_800,
        ),
    ),
    "article-quoted": (
        _ARTICLE,
        TrainingConfig(
            images=64 * _MILLION,
            batch_size=64,
            beta2=0.9,
            ema_decay=0.0,
            snapshot_every=64_000,
        ),
    ),
    "paper": (
        NetworkConfig(
            resolution=128,
            g_attention=(32,),
            d_attention=(32,),
            norm_momentum=1e-3,
            final_norm_momentum=1e-4,
        ),
        TrainingConfig(
            images=256 * _MILLION,
            batch_size=256,
            ema_decay=0.0,
            standing_batches=200,
            log_every=25_600,
            snapshot_every=512_000,
        ),
    ),
    "best": (
        NetworkConfig(resolution=128, g_attention=(64,), d_attention=(64,), spectral_eps=1e-8),
        TrainingConfig(
            images=256 * _MILLION,
            batch_size=256,
            ema_decay=0.999,
            ema_start=2_000 * 256,
            log_every=25_600,
            snapshot_every=512_000,
        ),
    ),
    "cifar": (
        NetworkConfig(resolution=32, g_attention=(16,), d_attention=(16,), spectral_eps=1e-8),
        TrainingConfig(
            images=100_000 * 5 * 64,
            batch_size=64,
            g_lr=2e-4,
            d_lr=2e-4,
            d_steps=5,
            ema_decay=0.999,
            ema_start=1_000 * 5 * 64,
            log_every=6_400,
            snapshot_every=320_000,
        ),
    ),
    "small": (
        NetworkConfig(resolution=64, g_width=32, d_width=32, g_attention=(32,), d_attention=(32,)),
        TrainingConfig(
            images=_MILLION,
            batch_size=32,
            ema_decay=0.999,
            ema_start=2_000 * 32,
            augment=("color", "translation", "cutout"),
            log_every=3_200,
            snapshot_every=32_000,
            evaluate_every=32_000,
            evaluate_metric="fd:own",
        ),
    ),
}


_GROWTH_OF_QUICK = {8: 64_000, 16: 128_000, 32: 128_000, 64: 128_000}

# Sizes that a preset grows through by default on the way to a larger one, and the images at each.
GROWTH: Mapping[str, Mapping[int, int]] = {
    "quick": _GROWTH_OF_QUICK,
    "quick-few": _GROWTH_OF_QUICK,
}

# Largest batch, and learning rates of G and D, at small sizes; at others they are the preset's own.
_AT_SMALL_SIZES = {8: (64, 1.5e-3, 2e-3), 16: (128, 5e-4, 1e-3)}


def growth_stages(images: Mapping[int, int], training: TrainingConfig) -> tuple[GrowthStage, ...]:
    """Stages of the sizes in px with these images each, smallest first.

    Example:
        >>> [s.batch_size for s in growth_stages({16: 6_400, 8: 6_400}, PRESETS["quick"][1])]
        [64, 128]
    """
    own = training.batch_size, training.g_lr, training.d_lr
    stages = []
    for px in sorted(images):
        most, g_lr, d_lr = _AT_SMALL_SIZES.get(px, own)
        batch_size = min(most, training.batch_size)
        stages.append(
            GrowthStage(
                resolution=px, images=images[px], batch_size=batch_size, g_lr=g_lr, d_lr=d_lr
            )
        )
    return tuple(stages)


def growing(base: RunConfig, grow: str | None, total: int, **widths: Any) -> RunConfig:
    """Let a preset's run grow as `--grow` says, or as the preset does, within `total` images.

    The networks are those of the smallest size, with base `widths` if given, and blocks of their
    last width added up to the run's size: so that each block can be kept.
    """
    px = base.network.resolution
    images = {size: n for size, n in GROWTH.get(base.preset, {}).items() if size < px}
    if grow is not None:
        images = share_out(parse_growth(grow), total)
    elif sum(images.values()) > total // 2:  # a short run: at most half of it at small sizes
        images = {size: n * (total // 2) // sum(images.values()) for size, n in images.items()}
        # and none for less than a step
        stages = growth_stages({size: n for size, n in images.items() if n}, base.training)
        images = {s.resolution: s.images for s in stages if s.images >= s.batch_size}
    from_px = GROWTH.get(base.preset, images)  # all networks of a preset that grows are resized
    if not from_px:
        return base
    small = replace(preset(base.preset, min(from_px))[0], **widths)
    growth = growth_stages(images, base.training)
    return replace(base, network=resized(small, px), growth=growth)


def preset(name: str, resolution: int | None = None) -> tuple[NetworkConfig, TrainingConfig]:
    """Look up a preset, at its own resolution or another.

    Args:
        name: of a row of the table.
        resolution: image side in pixels; None for the preset's own.

    Returns:
        The configurations of the networks and of the training. Channels and classes are the data's:
        set them with `dataclasses.replace`.

    Raises:
        ValueError: there is no such preset, or its family does not have the resolution.

    Example:
        >>> preset("paper", resolution=32)[0].g_attention
        (16,)
    """
    if name not in PRESETS:
        raise ValueError(f"unknown preset {name!r}; choose from {', '.join(PRESETS)}")
    network, training = PRESETS[name]
    if name in GROWTH:
        return resized(network, resolution or network.resolution), training
    if resolution is not None and resolution != network.resolution:
        network = replace(network, resolution=resolution, **_attention(network, resolution))
    return network, training


def _attention(network: NetworkConfig, resolution: int) -> dict[str, Any]:
    if network.family == "dcgan":
        return {"g_attention": (resolution // 4, resolution // 2), "d_attention": (4, 8)}
    largest_px = max(8, resolution // 2)
    return {
        "g_attention": tuple(min(px, largest_px) for px in network.g_attention),
        "d_attention": tuple(min(px, largest_px) for px in network.d_attention),
    }
