"""Sources with train/ and val/ or test/: one side to train on, the other to test with."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from image_corpus import classes, encoded, put
from PIL import Image

from sagan.data import load_dataset
from sagan.data.doctor import describe, examine
from sagan.data.packed import Options
from sagan.data.sources.open_source import open_source


def fill(root: Path, *names: str) -> Path:
    """Make pictures that all differ."""
    pixels = np.random.default_rng(0).integers(0, 255, (len(names), 8, 8, 3), np.uint8)
    pictures = (encoded(Image.fromarray(picture)) for picture in pixels)
    return put(root, dict(zip(names, pictures, strict=True)))


SPLIT = ("train/cat/1.png", "train/dog/1.png", "val/cat/2.png", "val/dog/2.png")


@pytest.mark.parametrize("test", ["val", "valid", "validation", "test", "Test"])
def test_the_same_classes_in_train_and_val_are_the_classes_once(tmp_path: Path, test: str) -> None:
    fill(tmp_path, *(name.replace("val", test) for name in SPLIT))
    source = open_source(str(tmp_path))
    assert source.class_names == ("cat", "dog")
    assert classes(source) == {"train/cat/1.png": "cat", "train/dog/1.png": "dog"}
    assert source.test is not None
    assert classes(source.test) == {f"{test}/cat/2.png": "cat", f"{test}/dog/2.png": "dog"}
    assert source.left_out == ()


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_archives_are_split_alike(tmp_path: Path, kind: str) -> None:
    fill(tmp_path / "data/set", *SPLIT)
    source = open_source(shutil.make_archive(str(tmp_path / "set"), kind, tmp_path / "data"))
    assert source.class_names == ("cat", "dog")
    assert source.test is not None
    assert list(classes(source.test)) == ["val/cat/2.png", "val/dog/2.png"]
    assert all(item.read() for item in source.test.items())


def test_a_folder_around_and_files_beside_do_not_hide_the_split(tmp_path: Path) -> None:
    fill(tmp_path, *(f"set/{name}" for name in SPLIT))
    (tmp_path / "set/notes.txt").write_text("where they are from")
    (tmp_path / "set/empty").mkdir()
    source = open_source(str(tmp_path))
    assert source.class_names == ("cat", "dog")
    assert list(classes(source)) == ["set/train/cat/1.png", "set/train/dog/1.png"]
    assert dict(source.left_out) == {
        "set/notes.txt": "beside train/",
        "set/empty": "beside train/",
    }


def test_all_other_sides_are_for_testing(tmp_path: Path) -> None:
    fill(tmp_path, "train/1.png", "train/2.png", "val/3.png", "test/4.png")
    source = open_source(str(tmp_path))
    assert (source.class_names, source.length) == ((), 2)
    assert source.test is not None
    assert list(classes(source.test)) == ["test/4.png", "val/3.png"]


def test_what_the_training_side_has_not_is_left_out_and_named(tmp_path: Path) -> None:
    fill(tmp_path, *SPLIT, "val/bird/3.png", "test/4.png")
    source = open_source(str(tmp_path))
    assert source.test is not None
    assert list(classes(source.test)) == ["val/cat/2.png", "val/dog/2.png"]
    assert dict(source.left_out) == {
        "val/bird": "train/ has no such class",
        "test/": "its classes are not those of train/",
    }


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (("train/1.png", "plane/1.png", "test/1.png"), ("plane", "test", "train")),
        (("val/cat/1.png", "test/cat/1.png"), ("test/cat", "val/cat")),
        (("train/cat/1.png", "train/dog/1.png"), ("train/cat", "train/dog")),
    ],
)
def test_other_folders_are_classes_as_ever(
    tmp_path: Path, names: tuple[str, ...], found: tuple[str, ...]
) -> None:
    source = open_source(str(fill(tmp_path, *names)))
    assert source.class_names == found
    assert source.test is None


def test_by_the_first_rules_every_folder_is_a_class(tmp_path: Path) -> None:
    fill(tmp_path / "data", *SPLIT)
    names = ("train/cat", "train/dog", "val/cat", "val/dog")
    assert open_source(str(tmp_path / "data"), rules=1).class_names == names
    options: Any = {"resolution": 8, "cache": tmp_path / "cache"}
    old = load_dataset(str(tmp_path / "data"), rules=1, **options)
    new = load_dataset(str(tmp_path / "data"), **options)
    assert (old.class_names, len(old)) == (names, 4)
    assert (new.class_names, len(new)) == (("cat", "dog"), 2)  # the cache tells them apart
    with pytest.raises(ValueError, match="reading rules 4 are unknown; choose from 1 to 3"):
        load_dataset(str(tmp_path / "data"), rules=4, **options)


def test_the_test_split_is_the_other_side_with_the_training_labels(tmp_path: Path) -> None:
    fill(tmp_path / "data", *SPLIT)
    (tmp_path / "data/val/cat/2.png").unlink()
    (tmp_path / "data/val/cat").rmdir()
    options: Any = {"resolution": 8, "cache": tmp_path / "cache"}
    test = load_dataset(str(tmp_path / "data"), split="test", **options)
    assert (len(test), test.class_names) == (1, ("cat", "dog"))
    assert test.labels is not None
    assert test.labels.tolist() == [1]
    expected = np.asarray(Image.open(tmp_path / "data/val/dog/2.png"))
    assert np.array_equal(test.images[0].transpose(1, 2, 0), expected)


def test_the_doctor_says_what_is_kept_for_testing_and_what_leaks(tmp_path: Path) -> None:
    fill(tmp_path, *SPLIT)
    (tmp_path / "val/dog/broken.png").write_bytes(b"")
    report = examine(open_source(str(tmp_path)), Options(8))[0]
    assert (report.pictures, report.testing) == (2, 2)
    assert ("val/dog/broken.png", "empty file") in report.excluded
    assert "testing  2 pictures (folder, val/) are not trained on" in describe(report)
    assert not any("flatter" in advice for advice in report.advice)
    shutil.copy(tmp_path / "train/cat/1.png", tmp_path / "val/cat/2.png")
    report = examine(open_source(str(tmp_path)), Options(8))[0]
    assert report.duplicates_in_testing == 1
    assert any("flatter" in advice for advice in report.advice)
