"""The doctor: what it counts, names and advises."""

import json
from pathlib import Path

import numpy as np
import pytest
from image_corpus import READABLE, SIDE, UNREADABLE, encoded, noise, put, rgb
from PIL import Image

from sagan.data.decode import ODD_KINDS
from sagan.data.doctor import Report, describe, examine
from sagan.data.load import pack_dataset
from sagan.data.packed import Options
from sagan.data.sheet import contact_sheet
from sagan.data.sources.open_source import open_source


def report_on(path: Path, resolution: int = SIDE, *, strict: bool = False) -> Report:
    return examine(open_source(str(path)), Options(resolution), strict=strict)[0]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("corpus")
    everything = {**READABLE, **UNREADABLE}
    return put(root, {f"all/{name}": content for name, (content, _) in everything.items()})


def test_every_damaged_file_is_named_with_its_reason(corpus: Path) -> None:
    report = report_on(corpus)
    assert report.pictures == len(READABLE)
    said = dict(report.excluded)
    assert set(said) == {f"all/{name}" for name in UNREADABLE}
    text = describe(report)
    for name, (_, reason) in UNREADABLE.items():
        assert reason in said[f"all/{name}"]
        assert name in text
    assert "\nname" not in text  # the odd name does not break a line
    assert report.without_end == ("all/half-end.jpg", "all/no-end.jpg")
    assert "without their end marker:\n  all/half-end.jpg" in text


def test_every_odd_kind_is_counted_with_what_is_done(corpus: Path) -> None:
    odd = report_on(corpus, SIDE + 1).to_dict()["odd"]
    assert odd["EXIF rotation"] == {"count": 7, "done": "turned upright"}
    assert odd["16-bit grey"]["count"] == 2
    assert odd["CMYK"]["count"] == 2
    assert odd["transparency"]["count"] == 2
    assert odd["animation"]["count"] == 1
    assert odd["wrong extension"]["count"] == 1
    assert odd["no end marker"]["count"] == 2
    assert odd["too small"]["count"] == len(READABLE)
    assert set(odd) <= set(ODD_KINDS)


def test_sizes_classes_and_modes_are_counted(tmp_path: Path) -> None:
    files = {f"cat/{i}.png": encoded(Image.new("L", (10 + i, 20), i)) for i in range(3)}
    files["dog/1.png"] = encoded(Image.new("RGB", (40, 5), "red"))
    report = report_on(put(tmp_path, files))
    widths, heights = report.widths_px, report.heights_px
    assert (widths.min, widths.median, widths.max) == (10, 11.5, 40)
    assert (heights.min, heights.median, heights.max) == (5, 20, 20)
    assert report.classes == {"cat": 3, "dog": 1}
    assert report.modes == {"L": 3, "RGB": 1}
    assert report.odd["not square"] == 4
    assert report.channels == 3
    assert report.problems == ()


def test_exact_duplicates_are_found_by_pixels_and_across_classes(tmp_path: Path) -> None:
    files = {
        "cat/1.png": encoded(rgb()),
        "cat/same.bmp": encoded(rgb(), "BMP"),
        "dog/same.png": encoded(rgb()),
        "dog/2.png": encoded(noise()),
        "dog/3.png": encoded(noise().rotate(90)),
    }
    report = report_on(put(tmp_path, files))
    assert report.duplicates == (("cat/1.png", "cat/same.bmp", "dog/same.png"),)
    assert report.duplicates_across_classes == 1
    assert any("several classes" in advice for advice in report.advice)
    (tmp_path / "dog/same.png").unlink()
    report = report_on(tmp_path)
    assert report.duplicates_across_classes == 0
    assert any("keep one of each" in advice for advice in report.advice)


def test_what_training_refuses_is_a_problem(tmp_path: Path) -> None:
    small = np.zeros((4, 8, 8), np.uint8)
    np.savez(tmp_path / "case.npz", images=small, labels=np.array(["Cat", "cat", "Cat", "cat"]))
    (problem,) = report_on(tmp_path / "case.npz").problems
    assert "'Cat' and 'cat' differ only in case" in problem
    put(tmp_path / "pictures", {"1.png": encoded(rgb()), "2.png": b"no picture"})
    pack_dataset(str(tmp_path / "pictures"), tmp_path / "packed", resolution=8)
    report = report_on(tmp_path / "packed", 8, strict=True)
    assert report.problems == ("1 files are left out, which --strict refuses",)


def images(count: int) -> dict[str, bytes]:
    rng = np.random.default_rng(0)
    shape = (8, 8, 3)
    return {
        f"{i}.png": encoded(Image.fromarray(rng.integers(0, 256, shape, np.uint8)))
        for i in range(count)
    }


@pytest.mark.parametrize(
    ("counts", "said", "unsaid"),
    [
        ({"": 4}, ["--preset quick-few"], ["--unconditional", "unequal"]),
        ({"cat/": 4}, ["--preset quick-few", "--unconditional"], ["unequal"]),
        (
            {"cat/": 60, "dog/": 60},
            ["--preset quick-few"],
            ["unequal", "merge classes", "one class"],
        ),
        ({"cat/": 60, "dog/": 12}, ["--fake-labels data", "merge classes"], []),
        ({"cat/": 60, "dog/": 13}, ["merge classes"], ["unequal"]),
    ],
)
def test_advice_fits_the_data(
    tmp_path: Path, counts: dict[str, int], said: list[str], unsaid: list[str]
) -> None:
    for prefix, count in counts.items():
        put(tmp_path, {f"{prefix}{name}": content for name, content in images(count).items()})
    advice = "\n".join(report_on(tmp_path).advice)
    for words in said:
        assert words in advice
    for words in unsaid:
        assert words not in advice


def test_much_data_need_no_augmentation(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.arange(10_000, dtype=np.int32)[:, None, None])
    report = examine(open_source(str(tmp_path / "a.npy")), Options(8))[0]
    assert report.pictures == 10_000
    assert not any("--augment" in advice for advice in report.advice)


def test_what_training_would_refuse_is_a_problem(tmp_path: Path) -> None:
    put(tmp_path, {"cat/1.png": encoded(rgb()), "dog/1.png": b"", "dog/2.png": b"x"})
    assert report_on(tmp_path).problems == ("no picture is readable in the class dog",)
    strict = report_on(tmp_path, strict=True)
    assert "2 files are left out, which --strict refuses" in strict.problems
    assert "problem: no picture is readable in the class dog" in describe(strict)


def test_the_report_goes_through_json(corpus: Path) -> None:
    values = json.loads(json.dumps(report_on(corpus).to_dict()))
    assert values["pictures"] == len(READABLE)
    assert {"name": "all/zero.png", "reason": "empty file"} in values["excluded"]
    assert values["widths_px"] == {"min": SIDE, "median": SIDE, "max": SIDE}


def test_the_contact_sheet_shows_examples_of_each_class_in_rows() -> None:
    red, blue = (np.full((64, 64, 3), colour, np.uint8) for colour in ((200, 0, 0), (0, 0, 200)))
    sheet = np.asarray(contact_sheet({"b": [blue], "a": [red, red]}))
    top, bottom = np.split(sheet, 2)
    assert (top == red[0, 0]).all(2).sum() == 2 * 64 * 64
    assert (bottom == blue[0, 0]).all(2).sum() == 64 * 64
    assert (top[:14].min(axis=(1, 2)) < 128).any()  # a label
    assert not (top == blue[0, 0]).all(2).any()
