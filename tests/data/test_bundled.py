from collections import Counter
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

from sagan.data import ImageDataset, load_dataset
from sagan.data.load import has_test_split, native_resolution
from sagan.data.sources import bundled
from sagan.files import sha256_of_file

FASHION_SHA256 = "4c31abeab47176acb92408633007ab8b2e201d958d7000832fd0356141afcd9c"


def rows(data: ImageDataset) -> Counter[tuple[int, bytes]]:
    """The images with their labels, as a bag."""
    assert data.labels is not None
    return Counter(
        (int(label), image.tobytes()) for image, label in zip(data.images, data.labels, strict=True)
    )


@pytest.fixture(scope="module")
def splits() -> tuple[ImageDataset, ImageDataset]:
    train = load_dataset("digits", resolution=8)
    return train, load_dataset("digits", resolution=8, split="test")


def test_digits_are_split_into_1198_and_599(splits: tuple[ImageDataset, ImageDataset]) -> None:
    for data, length in zip(splits, (1198, 599), strict=True):
        assert len(data) == length
        assert data.images.shape == (length, 1, 8, 8)
        assert data.images.dtype == np.uint8
        assert data.labels is not None
        assert data.labels.shape == (length,)
        assert data.labels.dtype == np.int64
        assert data.class_names == tuple("0123456789")


def test_the_two_splits_together_are_all_digits_once(
    splits: tuple[ImageDataset, ImageDataset],
) -> None:
    digits = load_digits()
    levels = np.round(digits.images * 255 / 16).astype(np.uint8)[:, None]
    whole = ImageDataset(levels, digits.target, ())
    assert rows(splits[0]) + rows(splits[1]) == rows(whole)
    assert levels.max() == 255


def test_the_test_split_holds_a_third_of_each_class(
    splits: tuple[ImageDataset, ImageDataset],
) -> None:
    train, test = (np.bincount(data.labels) for data in splits)
    np.testing.assert_allclose(test, (train + test) / 3, atol=1)


def test_the_split_does_not_depend_on_global_draws(
    splits: tuple[ImageDataset, ImageDataset],
) -> None:
    np.random.seed(123)
    again = load_dataset("digits", resolution=8)
    assert np.array_equal(again.images, splits[0].images)
    assert np.array_equal(again.labels, splits[0].labels)


def test_the_split_is_the_same_at_every_resolution(
    splits: tuple[ImageDataset, ImageDataset],
) -> None:
    larger = load_dataset("digits", resolution=32, split="test")
    assert larger.images.shape == (599, 1, 32, 32)
    assert np.array_equal(larger.labels, splits[1].labels)
    means = larger.images.reshape(599, 8, 4, 8, 4).mean((2, 4))  # upsampled, so blocks resemble
    correlation = np.corrcoef(means.ravel(), splits[1].images.ravel())[0, 1]
    assert correlation > 0.95


@pytest.mark.parametrize("channels", [3, 4])
def test_grey_images_repeat_in_colour_and_are_opaque(
    splits: tuple[ImageDataset, ImageDataset], channels: int
) -> None:
    images = load_dataset("digits", resolution=8, channels=channels).images
    assert images.shape == (1198, channels, 8, 8)
    assert images.dtype == np.uint8
    for colour in range(3):
        assert np.array_equal(images[:, colour], splits[0].images[:, 0])
    if channels == 4:
        assert (images[:, 3] == 255).all()


@pytest.fixture
def few_crops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundled, "_CROPS", 128)


@pytest.mark.usefixtures("few_crops")
@pytest.mark.parametrize("channels", [0, 1, 3, 4])
def test_photographs_are_labelled_crops_in_any_channels(channels: int) -> None:
    data = load_dataset("photographs", resolution=16, channels=channels)
    assert data.images.shape == (128, channels or 3, 16, 16)
    assert data.class_names == ("china", "flower")
    assert data.labels is not None
    assert np.bincount(data.labels).tolist() == [64, 64]
    assert len(rows(data)) == 128  # no crop twice
    if channels == 1:  # ITU-R 601 luma, as Pillow rounds it
        colours = load_dataset("photographs", resolution=16).images
        luma = np.einsum("ichw,c->ihw", colours, [0.299, 0.587, 0.114])
        assert np.abs(data.images[:, 0] - luma).max() <= 1


@pytest.mark.usefixtures("few_crops")
@pytest.mark.parametrize("split", ["train", "test"])
def test_photograph_crops_are_the_same_each_time(split: Any) -> None:
    first, again = (load_dataset("photographs", resolution=8, split=split) for _ in range(2))
    assert np.array_equal(first.images, again.images)


@pytest.mark.parametrize("width", [640, 643])
def test_no_pixel_of_a_test_crop_is_in_a_training_crop(
    monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    """With photographs whose pixels say which column they are in."""
    x = np.tile(np.arange(width), (427, 1))
    photograph = np.stack([x // 256, x % 256, 0 * x], axis=2).astype(np.uint8)
    bunch = SimpleNamespace(images=[photograph, photograph])
    monkeypatch.setattr("sklearn.datasets.load_sample_images", lambda: bunch)
    first_columns: list[int] = []
    last_columns: list[int] = []

    def look(image: Any, resolution: int) -> np.ndarray:
        assert image.width == image.height
        for columns, at in ((first_columns, 0), (last_columns, image.width - 1)):
            high, low, _ = image.getpixel((at, 0))
            columns.append(high * 256 + low)
        return np.zeros((resolution, resolution, 3), np.uint8)

    monkeypatch.setattr(bundled, "_resize", look)
    load_dataset("photographs", resolution=8)
    last_of_train = max(last_columns)
    assert min(first_columns) < 16
    first_columns.clear()
    last_columns.clear()
    load_dataset("photographs", resolution=8, split="test")
    assert last_of_train < min(first_columns) < last_of_train + 16  # and little goes unused
    assert max(last_columns) > width - 16


def test_the_bundled_fashion_is_the_file_that_its_readme_names() -> None:
    assert sha256_of_file(bundled.FASHION_FILE) == FASHION_SHA256
    assert FASHION_SHA256 in (bundled.FASHION_FILE.parent / "README.md").read_text()


@pytest.mark.parametrize(("split", "num"), [("train", 1200), ("test", 200)])
def test_fashion_has_as_many_of_each_class(split: Any, num: int) -> None:
    data = load_dataset("fashion", resolution=28, split=split)
    assert data.images.shape == (10 * num, 1, 28, 28)
    assert data.images.dtype == np.uint8
    assert data.class_names == (
        *("t-shirt", "trouser", "pullover", "dress", "coat"),
        *("sandal", "shirt", "sneaker", "bag", "ankle boot"),
    )
    assert data.labels is not None
    assert data.labels.dtype == np.int64
    assert np.bincount(data.labels).tolist() == [num] * 10
    # upright: trousers are two legs below, and a sneaker lies in the lower half
    trouser, sneaker = (data.images[data.labels == k, 0].mean(0) for k in (1, 7))
    assert trouser[24, 13:15].mean() < 0.5 * trouser[24, [10, 17]].mean()
    assert sneaker[:10].mean() < 0.1 * sneaker[14:20].mean()


def test_no_test_picture_of_fashion_is_a_training_picture() -> None:
    train, test = (load_dataset("fashion", resolution=28, split=s) for s in ("train", "test"))
    assert not {i.tobytes() for i in train.images} & {i.tobytes() for i in test.images}


def test_fashion_is_resized_to_any_resolution_and_to_32_px_by_default() -> None:
    assert native_resolution("fashion") == 32
    assert has_test_split("fashion")
    larger = load_dataset("fashion", resolution=56, channels=3, split="test").images
    assert larger.shape == (2000, 3, 56, 56)
    own = load_dataset("fashion", resolution=28, split="test").images
    means = larger[:, :1].reshape(2000, 1, 28, 2, 28, 2).mean((3, 5))
    assert np.corrcoef(means.ravel(), own.ravel())[0, 1] > 0.98


def test_an_unknown_source_is_refused_and_the_known_ones_are_named() -> None:
    with pytest.raises(
        ValueError, match="unknown data source 'mnist'; choose from digits, photographs, fashion"
    ):
        load_dataset("mnist", resolution=8)


def test_a_number_of_channels_that_images_do_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match="2"):
        load_dataset("digits", resolution=8, channels=2)
