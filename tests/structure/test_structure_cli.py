"""`sagan data make`, `sagan structure` and `--data twins`, as a user calls them."""

import json

import numpy as np
import pytest
from command_line import SMALL, sagan
from PIL import Image

from sagan.data import load_dataset
from sagan.data.procedural import render


@pytest.fixture(scope="module")
def twins(tmp_path_factory):
    folder = tmp_path_factory.mktemp("twins") / "made"
    assert (
        sagan(
            "data", "make", "twins", "--out", folder, "--resolution", 16, "--num", 300, "--seed", 7
        )
        == 0
    )
    return folder


def test_what_is_made_is_what_is_rendered(twins):
    made = load_dataset(str(twins), resolution=16)
    np.testing.assert_array_equal(
        made.images, render("twins", range(300), resolution=16, seed=7)[0]
    )
    assert made.labels is None


def test_classes_are_made_too(tmp_path):
    out = tmp_path / "animals"
    assert sagan("data", "make", "quadrupeds", "--out", out, "--num", 50) == 0
    assert load_dataset(str(out), resolution=32).class_names == ("dog", "horse", "pig")


def test_a_packed_folder_is_scored(twins, capfd):
    assert sagan("structure", "score", "twins", twins) == 0
    out, err = capfd.readouterr()
    record = json.loads(out)
    assert record["n"] == 300
    assert record["lift"] > 0.97
    assert record["rules"]["first_pair_same"]["value"] == 1
    assert "structure lift 0.9" in err
    assert "hue difference first pair deg" in err


def test_pictures_and_arrays_are_scored_alike(twins, tmp_path, capfd):
    images = render("twins", range(300), resolution=16, seed=7)[0][:100]
    np.save(tmp_path / "images.npy", images)
    (tmp_path / "pictures").mkdir()
    for row, image in enumerate(images):
        Image.fromarray(image.transpose(1, 2, 0)).save(tmp_path / f"pictures/{row:03}.png")
    for name in ("images.npy", "pictures"):
        assert sagan("structure", "score", "twins", tmp_path / name, "--num", 90) == 0
        record = json.loads(capfd.readouterr().out)
        assert (record["n"], record["pass_rate"]) == (90, 1)


def test_a_run_on_a_name_trains_and_its_samples_are_scored(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr("sagan.data.procedural.sets._NUM", {"train": 128, "test": 64})
    monkeypatch.setenv("SAGAN_CACHE", str(tmp_path / "cache"))
    run = tmp_path / "run"
    assert sagan("train", run, "--data", "twins", "--resolution", 16, "--images", 32, *SMALL) == 0
    capfd.readouterr()
    assert sagan("structure", "score", "twins", run, "--num", 100) == 2  # it has learnt nothing
    assert_refused(capfd, "of 100 images cannot be read as twins, more than 20%")


def assert_refused(capfd, says):
    out, err = capfd.readouterr()
    assert out == ""
    assert says in err
    assert len(err.splitlines()) == 1
    assert err.startswith("sagan: ")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["structure", "score", "triplets", "TWINS"], "choose from twins, quadrupeds, barcode"),
        (["structure", "score", "quadrupeds", "TWINS"], "at 32, 64 px, not at 16"),
        (["structure", "score", "twins", "nowhere"], "nowhere does not exist"),
        (["structure", "score", "barcode", "TWINS"], "cannot be read as barcode"),
        (["structure", "score", "twins", "TWINS", "--num", "301"], "there are 300 images"),
        (["structure", "score", "twins", "TWINS", "--num", "0"], "at least 1, not 0"),
        (["structure", "score", "twins", "TWINS", "--num", "20"], "too few: 70 at least"),
        (["structure", "score", "twins", "TWINS", "--seed", "-1"], "at least 0, not -1"),
        (["structure", "selftest", "--num", "0"], "at least 1, not 0"),
        (["structure", "selftest", "--seed", "-2"], "must be 0 or more, not -2"),
        (["data", "make", "triplets", "--out", "X"], "choose from twins, quadrupeds, barcode"),
        (["data", "make", "twins", "--out", "TWINS"], "already exists"),
        (["data", "make", "twins", "--out", "X", "--resolution", "24"], "16, 32, 64 px, not at 24"),
        (["data", "make", "twins", "--out", "X", "--num", "0"], "at least 1, not 0"),
        (["data", "make", "twins", "--out", "X", "--seed", "-1"], "0 or more, not -1"),
    ],
)
def test_bad_input_is_one_line_and_code_2(arguments, says, twins, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    given = [str(twins) if argument == "TWINS" else argument for argument in arguments]
    assert sagan(*given) == 2
    assert_refused(capfd, says)
    assert not (tmp_path / "X").exists()


def test_the_selftest_prints_its_table(capfd):
    assert sagan("structure", "selftest", "--num", 3) == 0
    out, err = capfd.readouterr()
    rates = json.loads(out)["rates"]
    assert len(rates) == 3 * 3 * (2 + 3 + 2)
    assert "| twins | 16 | clean | 0.0 % | one wrong twin 0.0 % | 0.0 % |" in err
