"""NumPy files, with and without labels."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sagan.data.decode import Unreadable
from sagan.data.sources.open_source import open_source

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (6, 5, 5, 3), np.uint8)


def npz(path: Path, **arrays: Any) -> str:
    np.savez(path / "a.npz", **arrays)
    return str(path / "a.npz")


def npy(path: Path, array: np.ndarray) -> str:
    np.save(path / "a.npy", array)
    return str(path / "a.npy")


def pixels(source: str) -> list[np.ndarray]:
    return [np.asarray(item.read()) for item in open_source(source).items()]


@pytest.mark.parametrize(
    "array", [COLOUR, COLOUR.transpose(0, 3, 1, 2), np.asfortranarray(COLOUR)], ids=str
)
def test_channels_may_come_first_or_last(tmp_path: Path, array: np.ndarray) -> None:
    for source in (npy(tmp_path, array), npz(tmp_path, images=array)):
        assert np.array_equal(np.stack(pixels(source)), COLOUR)


def test_arrays_without_channels_are_grey(tmp_path: Path) -> None:
    assert np.array_equal(np.stack(pixels(npy(tmp_path, COLOUR[..., 0]))), COLOUR[..., 0])


def test_square_images_settle_which_axis_is_channels(tmp_path: Path) -> None:
    assert pixels(npy(tmp_path, np.zeros((2, 3, 4, 4), np.uint8)))[0].shape == (4, 4, 3)
    assert pixels(npy(tmp_path, np.zeros((2, 4, 4, 3), np.uint8)))[0].shape == (4, 4, 3)


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.zeros((2, 3, 3, 3), np.uint8), "both"),
        (np.zeros((2, 7, 9, 8), np.uint8), "no axis of 1 to 4 channels"),
        (np.zeros((2, 7), np.uint8), "holds no images"),
        (np.zeros((0, 7, 7), np.uint8), "holds no images"),
        (np.zeros((2, 7, 7), complex), "holds no images"),
        (np.full((2, 7, 7), "x"), "holds no images"),
    ],
)
def test_arrays_that_are_no_images_are_refused(tmp_path: Path, array: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        open_source(npy(tmp_path, array))


def test_one_scaling_holds_for_the_whole_array(tmp_path: Path) -> None:
    array = np.zeros((3, 2, 2), np.float32)
    array[1], array[2] = 0.2, 1.0
    assert [int(image[0, 0]) for image in pixels(npy(tmp_path, array))] == [0, 51, 255]
    assert [int(i[0, 0]) for i in pixels(npy(tmp_path, array * 2 - 1))] == [0, 51, 255]
    assert [int(i[0, 0]) for i in pixels(npy(tmp_path, (array * 65535).astype("u2")))] == [
        0,
        51,
        255,
    ]
    assert [int(i[0, 0]) for i in pixels(npy(tmp_path, array > 0.5))] == [0, 0, 255]


def test_only_the_image_with_nan_is_unreadable(tmp_path: Path) -> None:
    array = np.full((3, 2, 2), 0.5, np.float32)
    array[1, 0, 0] = np.nan
    items = list(open_source(npy(tmp_path, array)).items())
    with pytest.raises(Unreadable, match="NaN"):
        items[1].read()
    assert np.array_equal(items[2].read(), np.full((2, 2), 128))


@pytest.mark.parametrize("key", ["labels", "y", "Y_train"])
@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (np.array([3, 1, 3, 1, 10, 3]), ("1", "3", "10")),
        (np.array([3, 1, 3, 1, 10, 3])[:, None].astype(float), ("1", "3", "10")),
        (np.array(["b", "a", "b", "a", "a", "b"]), ("a", "b")),
    ],
)
def test_labels_name_the_classes(tmp_path: Path, key: str, labels: Any, names: Any) -> None:
    source = open_source(npz(tmp_path, x=COLOUR, **{key: labels}))
    assert source.class_names == names
    expected = [str(int(v)) if labels.dtype.kind in "if" else v for v in labels.ravel()]
    assert [item.class_name for item in source.items()] == expected


def test_class_names_name_the_numbers(tmp_path: Path) -> None:
    names = np.array(["cat", "dog"])
    source = open_source(npz(tmp_path, x=COLOUR, y=[0, 1, 1, 0, 1, 1], class_names=names))
    assert source.class_names == ("cat", "dog")
    assert [i.class_name for i in source.items()][:3] == ["cat", "dog", "dog"]


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"x": COLOUR, "y": np.arange(5)}, r"labels of shape \(5,\) do not fit 6 images"),
        ({"x": COLOUR, "y": np.arange(6) - 1}, "label -1 is out of range"),
        ({"x": COLOUR, "y": np.arange(6) + 0.5}, "label 0.5 is out of range"),
        ({"x": COLOUR, "y": [np.nan] * 6}, "label nan is out of range"),
        ({"x": COLOUR, "y": np.array(["a", "", "a", "a", "a", "a"])}, "label '' is out of range"),
        ({"x": COLOUR, "y": np.arange(6), "classes": ["a", "b"]}, "label 5 is out of range"),
        ({"x": COLOUR, "y": [0] * 6, "classes": ["a", "b"]}, "no picture of the class b"),
        ({"x": COLOUR, "y": [0, 1] * 3, "classes": ["a", "a"]}, "occurs twice"),
        ({"x": COLOUR, "classes": ["a"]}, "class names but no labels"),
        ({"p": COLOUR, "q": COLOUR}, "name it images; it has p, q"),
        ({"x": np.array([{"a": 1}], object)}, "Python objects, which could run code"),
    ],
)
@pytest.mark.fault(27)
def test_labels_that_do_not_fit_are_refused(tmp_path: Path, arrays: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        open_source(npz(tmp_path, **arrays))


@pytest.mark.fault(29)
def test_pickles_are_refused_unopened(tmp_path: Path) -> None:
    class Canary:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "executed",))

    np.save(tmp_path / "a.npy", np.array([Canary()], object), allow_pickle=True)
    with pytest.raises(ValueError, match="could run code"):
        open_source(str(tmp_path / "a.npy"))
    assert not (tmp_path / "executed").exists()


@pytest.mark.fault(29)
def test_headers_that_lie_are_refused_before_memory_is_taken(tmp_path: Path) -> None:
    import zipfile

    source = npy(tmp_path, COLOUR)
    content = Path(source).read_bytes()
    huge = content.replace(b"(6, 5, 5, 3), }" + b" " * 9, b"(6999999999, 5, 5, 3), }")
    assert len(huge) == len(content)
    assert huge != content
    Path(source).write_bytes(huge)
    with pytest.raises(ValueError, match="damaged"):
        open_source(source)
    with zipfile.ZipFile(tmp_path / "b.npz", "w") as archive:
        archive.writestr("images.npy", huge)
    with pytest.raises(ValueError, match="shorter than its header says"):
        open_source(str(tmp_path / "b.npz"))


@pytest.mark.parametrize("cut", [5, 20, 100, 200])
def test_cut_arrays_are_one_line(tmp_path: Path, cut: int) -> None:
    for source in (npy(tmp_path, COLOUR), npz(tmp_path, images=COLOUR)):
        Path(source).write_bytes(Path(source).read_bytes()[:cut])
        with pytest.raises(ValueError, match=r".") as error:
            open_source(source)
        assert "\n" not in str(error.value)


def test_a_label_that_is_not_among_the_class_names_is_named(tmp_path):
    labels = ["cat", "dog", "owl", "cat", "dog", "cat"]
    with pytest.raises(ValueError, match="the label owl is not among its 2 class names"):
        open_source(npz(tmp_path, x=COLOUR, y=labels, class_names=["cat", "dog"]))
