"""A user's program, never run: `mypy --strict` sees a type, and no Any, at each step of it.

`assert_type` fails on Any. The lines at the end are wrong, and must be refused: an ignore that is
not needed is an error under `strict`.
"""

from typing import assert_type

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

import sagan
from sagan.evaluation import Evaluation
from sagan.explain import Explanation, Verdict
from sagan.metrics import Score
from sagan.nn import AttentionMap, AttentionNumbers
from sagan.training import TrainResult


def opens_and_samples(path: str, latents: Tensor, labels: Tensor) -> None:
    generator = sagan.load(path)
    assert_type(generator(latents, labels), Tensor)
    assert_type(generator.config, sagan.NetworkConfig)
    assert_type(sagan.load_discriminator(path)(latents, labels), Tensor)
    images = sagan.sample(generator, 16, classes=[3], seed=0)
    assert_type(images, Tensor)
    assert_type(sagan.image_grid(images, 4), Image.Image)
    assert_type(sagan.to_uint8(sagan.to_float(images)), Tensor)


def uses_blocks(x: Tensor, labels: Tensor) -> None:
    block = sagan.SelfAttention(64, form="paper")
    assert_type(block(x), Tensor)
    assert_type(block.weights(x), Tensor)
    assert_type(block.reference(x), tuple[Tensor, Tensor])
    assert_type(sagan.SpectralNorm(torch.nn.Linear(8, 4))(x), Tensor)
    assert_type(sagan.ConditionalBatchNorm(8, classes=10)(x, labels), Tensor)
    assert_type(sagan.GeneratorBlock(8, 8, classes=10)(x, labels), Tensor)
    assert_type(sagan.DiscriminatorBlock(8, 8, downsample=True)(x), Tensor)
    with sagan.record_attention(block) as maps:
        block(x)
    assert_type(maps, dict[str, AttentionMap])
    assert_type(sagan.attention_numbers(maps[""]), AttentionNumbers)


def trains(images: Tensor, latents: Tensor) -> None:
    assert_type(sagan.preset("paper"), tuple[sagan.NetworkConfig, sagan.TrainingConfig])
    network, _ = sagan.preset("paper", resolution=32)
    generator, discriminator = sagan.build_generator(network), sagan.build_discriminator(network)
    ema = sagan.EMA(generator, decay=0.999)
    assert_type(ema.network(latents), Tensor)
    sagan.sample(ema.network, 16)
    assert_type(sagan.EMA(torch.nn.Linear(1, 1), decay=0.9).network, torch.nn.Linear)
    logits = discriminator(images)
    assert_type(logits, Tensor)
    assert_type(sagan.discriminator_loss("hinge", logits, logits), Tensor)
    assert_type(sagan.generator_loss("hinge", logits), Tensor)
    mix = torch.rand(len(images))
    assert_type(sagan.gradient_penalty(discriminator, images, images, None, mix), Tensor)


def trains_a_run() -> None:
    result = sagan.train_run("runs/mine", data="digits", images=640, augment_p="adaptive")
    assert_type(result, TrainResult)
    assert_type(result.images, int)


def scores(images: NDArray[np.uint8], batches: list[Tensor]) -> None:
    digits = sagan.load_dataset("digits", resolution=8)
    assert_type(digits.images, NDArray[np.uint8])
    assert_type(sagan.evaluate(images, digits.images), dict[str, Score])
    found = sagan.evaluate(batches, torch.tensor(images), metrics="fd:pixel", labels=[0, 1])
    assert_type(found["fd:pixel"].value, float)
    assert_type(sagan.evaluate_run("runs/demo", data="digits"), Evaluation)


def explains(path: str) -> None:
    explanation = sagan.explain_run(path, "why", classes=[3], region=(0, 0, 4, 4))
    assert_type(explanation, Explanation)
    assert_type(explanation.verdicts, list[Verdict])


def is_refused(logits: Tensor, images: Tensor) -> None:
    sagan.nonsense  # type: ignore[attr-defined]  # noqa: B018
    sagan.generator_loss("higne", logits)  # type: ignore[arg-type]
    sagan.SelfAttention(64, form="papre")  # type: ignore[arg-type]
    sagan.SelfAttention(64)(images, images)  # type: ignore[call-arg]
    sagan.EMA(torch.zeros(1), decay=0.9)  # type: ignore[type-var]
    sagan.train_run(imags=640)  # type: ignore[call-arg]
    sagan.train_run(images="640")  # type: ignore[arg-type]
    sagan.preset("paper", resolution="32")  # type: ignore[arg-type]
