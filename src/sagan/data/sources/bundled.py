"""The bundled data sets: digits, crops of two photographs, and a part of Fashion-MNIST.

Dimensions: i images, c channels, h w the image's sides.
"""

import lzma
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sagan.data.dataset import ImageDataset, Split, fingerprint_of, sha256_of

_DIGITS_TEST_SHARE = 1 / 3
_DIGITS_SPLIT_SEED = 0
_CROPS = 4096
_CROP_SIDES_PX = (96, 320)
FASHION_FILE = Path(__file__).parent / "fashion_mnist" / "fashion.npy.xz"
_FASHION_NUM = 12_000  # to train on, a class after the other; then as many of each to test on
_FASHION_CLASSES = (
    "t-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)


def load_bundled(name: str, resolution: int, channels: int, split: Split) -> ImageDataset:
    """Make a bundled set at a resolution; channels 0 keeps its own."""
    images, labels, class_names = BUNDLED[name].make(resolution, split)
    if channels and channels != images.shape[1]:
        images = _convert(images, channels)
    fingerprint = fingerprint_of(images.shape, sha256_of(images), sha256_of(labels), class_names)
    return ImageDataset(images, labels, class_names, fingerprint)


Arrays = tuple[NDArray[np.uint8], NDArray[np.int64], tuple[str, ...]]


def _digits(resolution: int, split: Split) -> Arrays:
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    train, test = train_test_split(
        np.arange(len(digits.target)),
        test_size=_DIGITS_TEST_SHARE,
        random_state=_DIGITS_SPLIT_SEED,
        stratify=digits.target,
    )
    chosen = train if split == "train" else test
    # 17 grey levels, 0 to 16, become 0 to 255
    small = np.round(digits.images[chosen] * (255 / 16)).astype(np.uint8)
    images = np.stack([_resize(Image.fromarray(image), resolution) for image in small])
    names = tuple(str(name) for name in digits.target_names)
    return images[:, None], digits.target[chosen].astype(np.int64), names


def _photographs(resolution: int, split: Split) -> Arrays:
    from sklearn.datasets import load_sample_images

    bunch = load_sample_images()
    rng = np.random.default_rng([_DIGITS_SPLIT_SEED, split == "test"])
    crops, labels = [], []
    for label, photograph in enumerate(bunch.images):
        height, width, _ = photograph.shape
        border = width * 4 // 5  # no pixel of the test crops is in a training crop
        left, right = (0, border) if split == "train" else (border, width)
        for _ in range((_CROPS if split == "train" else _CROPS // 4) // 2):
            side = int(rng.integers(_CROP_SIDES_PX[0], min(_CROP_SIDES_PX[1], right - left) + 1))
            x = int(rng.integers(left, right - side + 1))
            y = int(rng.integers(0, height - side + 1))
            crop = Image.fromarray(photograph[y : y + side, x : x + side])
            crops.append(_resize(crop, resolution))
            labels.append(label)
    images = np.ascontiguousarray(np.stack(crops).transpose(0, 3, 1, 2))
    return images, np.array(labels, dtype=np.int64), ("china", "flower")


def _fashion(resolution: int, split: Split) -> Arrays:
    content = lzma.decompress(FASHION_FILE.read_bytes())
    columns = np.load(BytesIO(content), allow_pickle=False)  # i w h, which packs smaller
    chosen = columns[:_FASHION_NUM] if split == "train" else columns[_FASHION_NUM:]
    images = np.stack([_resize(Image.fromarray(image.T), resolution) for image in chosen])
    classes = len(_FASHION_CLASSES)
    labels = np.arange(classes, dtype=np.int64).repeat(len(images) // classes)
    return images[:, None], labels, _FASHION_CLASSES


def _resize(image: Image.Image, resolution: int) -> NDArray[np.uint8]:
    if image.size != (resolution, resolution):
        image = image.resize((resolution, resolution), Image.Resampling.LANCZOS)
    return np.asarray(image)


def _convert(images: NDArray[np.uint8], channels: int) -> NDArray[np.uint8]:
    mode = {1: "L", 3: "RGB", 4: "RGBA"}[channels]
    converted = [
        np.asarray(Image.fromarray(image.transpose(1, 2, 0).squeeze()).convert(mode))
        for image in images
    ]
    stacked = np.stack(converted).reshape(len(images), *images.shape[2:], channels)
    return np.ascontiguousarray(stacked.transpose(0, 3, 1, 2))


class Bundled(NamedTuple):
    """A bundled set: what makes it, its pictures' own side, and the side to train at."""

    make: Callable[[int, Split], Arrays]
    own_px: int
    native_px: int


BUNDLED: dict[str, Bundled] = {
    "digits": Bundled(_digits, 8, 8),
    "photographs": Bundled(_photographs, 64, 64),
    "fashion": Bundled(_fashion, 28, 32),
}
