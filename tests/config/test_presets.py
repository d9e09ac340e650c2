"""The preset that is chosen where none is named, and what the table's rows promise."""

import re
from dataclasses import replace

import pytest

from sagan.config import presets
from sagan.config.channels import discriminator_blocks, generator_blocks
from sagan.config.defaults import DEFAULT_PRESETS, default_preset
from sagan.config.presets import FEW_IMAGES, GROWTH, PRESETS, preset


@pytest.mark.parametrize(
    ("num_images", "source", "name"),
    [
        (0, "digits", "digits"),
        (10**6, "digits", "digits"),
        (1, "photos/", "small"),
        (300, "photos/", "small"),
        (4096, "photographs", "small"),
        (FEW_IMAGES - 1, "cats.zip", "small"),
        (FEW_IMAGES, "cats.zip", "best"),
        (10**7, "hub:imagenet", "best"),
        (300, "my/digits", "small"),
    ],
)
def test_the_data_choose_the_preset_of_a_gpu(num_images, source, name):
    chosen, reason = default_preset(num_images, source, "cuda")
    assert chosen == name
    assert name in PRESETS
    assert "\n" not in reason
    if name != "digits":
        assert f"{num_images:,} images" in reason


def test_a_cpu_has_a_preset_of_its_own():
    for num_images in (FEW_IMAGES, 10**7):
        assert default_preset(num_images, "photos/", "cpu")[0] == "quick"
    for num_images in (300, FEW_IMAGES - 1):
        chosen, reason = default_preset(num_images, "photos/", "cpu")
        assert chosen == "quick-few"
        assert f"{num_images:,} images are few" in reason
    assert default_preset(0, "digits", "cpu")[0] == "digits"


def test_the_default_presets_are_those_that_are_chosen():
    counts = 1, FEW_IMAGES
    chosen = {default_preset(n, "photos/", to)[0] for n in counts for to in ("cpu", "cuda")}
    assert chosen == set(DEFAULT_PRESETS)


def test_quick_few_is_quick_against_learning_by_heart():
    (network, training), (few_network, few) = PRESETS["quick"], PRESETS["quick-few"]
    assert few_network == network
    assert few.lecam > training.lecam
    assert few.mismatch < training.mismatch
    assert (few.augment_p, few.augment_target, few.holdout) == (0.0, 0.5, 0.1)
    assert few.augment == ("color", "translation", "cutout")
    others = ("lecam", "mismatch", "augment", "augment_p", "augment_target", "holdout")
    assert replace(few, **{name: getattr(training, name) for name in others}) == training
    assert GROWTH["quick-few"] == GROWTH["quick"]


def test_small_is_what_small_data_need():
    network, training = PRESETS["small"]
    assert network.resolution == 64
    assert [s.size_px for s in generator_blocks(network) if s.attention] == [32]
    assert [s.size_px for s in discriminator_blocks(network) if s.attention] == [32]
    assert training.augment == ("color", "translation", "cutout")
    assert training.augment_p == 1.0
    assert training.ema_decay > 0
    assert training.batch_size <= 100  # so that a hundred images fill a batch


def test_large_presets_do_not_augment():
    for name in ("article", "article-quoted", "paper", "best", "cifar", "digits"):
        assert PRESETS[name][1].augment == ()
        assert not PRESETS[name][1].mirror


def test_every_preset_is_a_row_of_the_table():
    rows = re.findall(r"^\| (\w[\w-]*) +\|", presets.__doc__, flags=re.MULTILINE)
    assert rows == ["preset", *PRESETS]


@pytest.mark.parametrize("resolution", [8, 16, 32, 64, 128, 256])
def test_small_fits_every_resolution(resolution):
    network, _ = preset("small", resolution)
    assert generator_blocks(network)
    assert discriminator_blocks(network)
