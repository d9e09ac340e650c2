"""Pictures to explain: generated as `sample` makes them, real ones read as training data."""

import numpy as np
import pytest
import torch
from PIL import Image

from sagan.config import DataConfig, NetworkConfig, RunConfig
from sagan.explain import explain_picture, generated_pictures, real_picture
from sagan.explain.strips import interpolation_strips
from sagan.models import build_discriminator, build_generator
from sagan.sampling import sample

NETWORK = NetworkConfig(
    resolution=16,
    channels=3,
    classes=3,
    latent_dim=8,
    g_width=8,
    d_width=8,
    g_attention=(8,),
    d_attention=(8,),
)
CONFIG = RunConfig(network=NETWORK, data=DataConfig(class_names=("ant", "bee", "cat")))


@pytest.fixture(scope="module")
def pair():
    return build_generator(NETWORK).eval(), build_discriminator(NETWORK).eval()


@pytest.fixture
def wide(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    return tmp_path / "wide.png", pixels[:, 4:20]


def test_generated_pictures_are_the_samples_of_the_same_seeds(pair):
    pictures = generated_pictures(pair[0], CONFIG, 3, seed=4, classes=[2, 0])
    images = sample(pair[0], 3, classes=[2, 0], seed=4)
    assert (torch.stack([p.pixels() for p in pictures]).int() - images.int()).abs().max() <= 1
    captions = ["class cat, seed 4", "class cat, seed 5", "class ant, seed 6"]
    assert [p.caption for p in pictures] == captions
    assert pictures[2].record() == {"seed": 6, "file": None, "class": "ant"}


def test_a_real_picture_is_cropped_and_sized_as_training_data_are(pair, wide):
    path, centre = wide
    picture = real_picture(path, CONFIG, label=1)
    assert torch.equal(picture.pixels(), torch.tensor(centre).permute(2, 0, 1))
    assert picture.caption == "class bee, wide.png"
    assert picture.record() == {"seed": None, "file": "wide.png", "class": "bee"}
    assert {maps.network for maps in explain_picture(picture, *pair)} == {"D"}


def test_grey_and_transparent_pictures_follow_the_run(tmp_path):
    grey = RunConfig(network=NetworkConfig(resolution=8, channels=1))
    Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    picture = real_picture(tmp_path / "clear.png", grey)
    assert picture.image.shape == (1, 1, 8, 8)
    assert (picture.pixels() == 255).all()  # over the data's background, white
    assert picture.labels is None
    assert picture.caption == "clear.png"


def test_a_class_that_is_not_known_changes_no_map(pair, wide):
    known, unknown = (real_picture(wide[0], CONFIG, label=label) for label in (2, None))
    assert unknown.caption == "wide.png"
    torch.testing.assert_close(unknown.labels, torch.full((1, 3), 1 / 3))
    for a, b in zip(explain_picture(known, *pair), explain_picture(unknown, *pair), strict=True):
        torch.testing.assert_close(a.maps, b.maps)
    logits = [pair[1](known.image, torch.tensor([k])) for k in range(3)]
    torch.testing.assert_close(pair[1](unknown.image, unknown.labels), sum(logits) / 3)


def test_what_is_no_picture_is_refused_with_its_name(tmp_path):
    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "empty.png").touch()
    for name, said in (
        ("text.png", "text.png is not a readable picture: not a picture of a known format"),
        ("empty.png", "empty.png is not a readable picture: empty file"),
        ("nothing.png", "nothing.png does not exist"),
        (".", "is not a file"),
    ):
        with pytest.raises(ValueError, match=said):
            real_picture(tmp_path / name, CONFIG)


def test_a_real_picture_is_cropped_as_the_run_crops(tmp_path):
    tall = np.zeros((16, 8), np.uint8)
    tall[:8] = 255  # its top is white, its centre half so
    Image.fromarray(tall).save(tmp_path / "tall.png")
    network = NetworkConfig(resolution=8, channels=1)
    means = [
        real_picture(tmp_path / "tall.png", RunConfig(network=network, data=DataConfig(crop=crop)))
        .image.mean()
        .item()
        for crop in ("center", "top")
    ]
    assert means == [0, 1]


def test_classes_without_names_go_by_their_numbers(pair):
    nameless = RunConfig(network=NETWORK)
    pictures = generated_pictures(pair[0], nameless, 3)
    assert [picture.class_name for picture in pictures] == ["0", "1", "2"]
    strips = interpolation_strips(pair[0], nameless, pictures[2]).strips
    assert [strip.title for strip in strips] == ["seed 2\nto 3", "class 2\nto 0"]


def test_a_class_that_is_not_there_is_refused(wide):
    with pytest.raises(ValueError, match="there is no class 3: classes are 0 to 2"):
        real_picture(wide[0], CONFIG, label=3)
