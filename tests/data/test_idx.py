"""IDX files as MNIST and Fashion-MNIST come."""

import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sagan.data import load_dataset
from sagan.data.load import native_resolution
from sagan.data.sources.open_source import open_source

RNG = np.random.default_rng(0)
LABELS = np.arange(24, dtype=np.uint8) % 10
IMAGES = RNG.integers(0, 256, (24, 28, 28), np.uint8)


def idx(array: np.ndarray, kind: int = 8) -> bytes:
    header = bytes([0, 0, kind, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.tobytes()


def put(path: Path, content: bytes) -> None:
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def mnist(folder: Path, ending: str = "") -> Path:
    folder.mkdir(exist_ok=True)
    put(folder / f"train-images-idx3-ubyte{ending}", idx(IMAGES[:20]))
    put(folder / f"train-labels-idx1-ubyte{ending}", idx(LABELS[:20]))
    put(folder / f"t10k-images-idx3-ubyte{ending}", idx(IMAGES[20:]))
    put(folder / f"t10k-labels-idx1-ubyte{ending}", idx(LABELS[20:]))
    return folder


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_mnist_is_read_with_its_own_test_side(tmp_path: Path, ending: str) -> None:
    folder = mnist(tmp_path / "mnist", ending)
    options: Any = {"resolution": 28, "cache": tmp_path / "cache"}
    for split, part in (("train", slice(0, 20)), ("test", slice(20, 24))):
        data = load_dataset(str(folder), split=split, **options)  # type: ignore[arg-type]
        assert np.array_equal(data.images, IMAGES[part, None])
        assert np.array_equal(data.labels, LABELS[part])  # type: ignore[arg-type]
        assert data.class_names == tuple("0123456789")
        assert data.excluded == ()
    assert native_resolution(str(folder)) == 32


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_one_file_takes_the_labels_beside_it(tmp_path: Path, ending: str) -> None:
    file = mnist(tmp_path, ending) / f"train-images-idx3-ubyte{ending}"
    source = open_source(str(file))
    assert (source.length, source.test) == (20, None)
    assert [item.class_name for item in source.items()] == [str(label) for label in LABELS[:20]]
    (tmp_path / f"train-labels-idx1-ubyte{ending}").unlink()
    assert open_source(str(file)).class_names == ()


def test_gzipped_and_unpacked_files_may_lie_side_by_side(tmp_path: Path) -> None:
    mnist(mnist(tmp_path), ".gz")
    (tmp_path / "notes.txt").write_text("from the web")
    source = open_source(str(tmp_path))
    assert source.length == 20
    assert source.left_out == (("notes.txt", "beside the IDX files"),)


@pytest.mark.parametrize("name", ["letters-train-images-idx3-ubyte", "latest images.idx4-ubyte"])
@pytest.mark.parametrize("shape", [(6, 9, 7), (6, 9, 7, 3)])
def test_other_sets_of_images_are_read(tmp_path: Path, name: str, shape: tuple[int, ...]) -> None:
    images = RNG.integers(0, 256, shape, np.uint8)
    labels = name.replace("images", "labels").replace("idx3", "idx1").replace("idx4", "idx1")
    put(tmp_path / name, idx(images))
    put(tmp_path / f"{labels}.gz", idx(LABELS[:6]))
    for source in (open_source(str(tmp_path)), open_source(str(tmp_path / name))):
        assert np.array_equal(np.stack([np.asarray(i.read()) for i in source.items()]), images)
        assert source.class_names == tuple("012345")


def test_a_file_of_any_name_is_told_by_its_content(tmp_path: Path) -> None:
    put(tmp_path / "pictures.bin", idx(IMAGES))
    assert open_source(str(tmp_path / "pictures.bin")).length == 24


@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (idx(IMAGES)[:-1], "is cut short: its header says 18,816 values, and it holds 18,815"),
        (idx(IMAGES) + b"x", "is damaged: its header says 18,816 values, and it holds more"),
        (idx(IMAGES)[:9], "is cut short"),
        (b"\0\0\x08\x03" + b"\xff" * 12 + bytes(99), "cut short: its header says 79,228,162,458,"),
        (idx(IMAGES[:0]), "holds no images"),
        (idx(IMAGES.astype(">i2"), 11), "holds values of type 0x0b, not of uint8"),
        (idx(LABELS), "does not hold images"),
    ],
)
def test_what_does_not_fit_its_header_is_one_line(
    tmp_path: Path, ending: str, content: bytes, said: str
) -> None:
    path = tmp_path / f"train-images-idx3-ubyte{ending}"
    put(path, content)
    for source in (path, tmp_path):
        with pytest.raises(ValueError, match=said) as error:
            open_source(str(source))
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("damage", ["cut", "flip"])
def test_a_damaged_gzip_is_one_line(tmp_path: Path, damage: str) -> None:
    path = mnist(tmp_path, ".gz") / "train-images-idx3-ubyte.gz"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(path.read_bytes()[:-9] if damage == "cut" else content)
    with pytest.raises(ValueError, match=r"damaged|cut short") as error:
        open_source(str(tmp_path))
    assert "\n" not in str(error.value)


def test_sides_and_labels_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    labels = mnist(tmp_path) / "t10k-labels-idx1-ubyte"
    put(labels, idx(np.array([0, 1, 2, 11], np.uint8)))
    with pytest.raises(ValueError, match="no training image is of the class 11"):
        open_source(str(tmp_path))
    labels.unlink()
    with pytest.raises(ValueError, match="the labels of t10k-images-idx3-ubyte are missing"):
        open_source(str(tmp_path))
    put(labels, idx(LABELS[:3]))
    with pytest.raises(ValueError, match="do not fit 4 images"):
        open_source(str(tmp_path))
    put(tmp_path / "other-images-idx3-ubyte", idx(IMAGES))
    with pytest.raises(ValueError, match="several sets of IDX images"):
        open_source(str(tmp_path))
