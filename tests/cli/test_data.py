"""`sagan data`, and training on data of one's own."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from command_line import sagan
from image_corpus import READABLE, UNREADABLE, encoded, noise, rgb
from PIL import Image

from sagan.data.load import pack_dataset
from sagan.evaluation.real_side import open_real
from sagan.training import start

SMALL = [
    "--grow",
    "none",
    "--g-width",
    "4",
    "--d-width",
    "8",
    "--device",
    "cpu",
    "--batch-size",
    "8",
]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SAGAN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def mixed(tmp_path):
    """Photographs, drawings with alpha, grey scans, and damaged files among all of them."""
    root = tmp_path / "mixed"
    rng = np.random.default_rng(0)
    for i in range(8):
        for name, mode in (("photos", "RGB"), ("drawings", "RGBA"), ("scans", "L")):
            (root / name).mkdir(parents=True, exist_ok=True)
            shape = (20 + i, 30, 4)[: 2 if mode == "L" else 3]
            pixels = rng.integers(0, 256, shape, np.uint8)
            image = Image.fromarray(pixels[..., : len(mode)] if mode != "L" else pixels)
            image.save(root / name / f"{i}.png")
    for i, (name, (content, _)) in enumerate(UNREADABLE.items()):
        (root / ("photos", "drawings", "scans")[i % 3] / name).write_bytes(content)
    return root


@pytest.mark.fault(26)
def test_a_mixed_folder_trains_after_one_command_and_samples_by_class_name(mixed, tmp_path, capfd):
    run = tmp_path / "run"
    options = ["--data", mixed, "--resolution", "8", "--images", "32"]
    assert sagan("train", run, *SMALL, *options) == 0
    err = capfd.readouterr().err
    assert f"left out: {len(UNREADABLE)}" in err
    assert f"and {len(UNREADABLE) - 10} more" in err
    config = json.loads((run / "config.json").read_text())
    assert config["data"]["class_names"] == ["drawings", "photos", "scans"]
    assert config["network"]["channels"] == 3
    assert len(config["data"]["fingerprint"]) == 64
    listed = json.loads((run / "data.json").read_text())["excluded"]
    assert len(listed) == len(UNREADABLE)
    assert {"zero.png", "bomb.png"} <= {entry["name"].split("/")[1] for entry in listed}
    out = tmp_path / "samples"
    assert sagan("sample", run, "--num", "2", "--classes", "scans,photos", "--out", out) == 0
    assert len(list(out.iterdir())) == 2
    assert sagan("train", run) == 0  # the same again
    assert sagan("sample", run, "--num", "2", "--classes", "cat", "--out", out) == 2
    assert "it has drawings, photos, scans" in capfd.readouterr().err


@pytest.mark.fault(28)
def test_data_that_changed_are_refused_by_their_fingerprint(mixed, tmp_path, capfd):
    run = tmp_path / "run"
    options = ["--data", mixed, "--resolution", "8", "--images", "16"]
    assert sagan("train", run, *SMALL, *options) == 0
    file = mixed / "photos" / "3.png"
    times = file.stat()
    before = file.read_bytes()
    image = Image.open(file)
    pixel = image.getpixel((15, 11))
    image.putpixel((15, 11), tuple(255 - v for v in pixel))
    image.save(file)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    capfd.readouterr()
    assert sagan("train", run, "--images", "32") == 2
    err = capfd.readouterr().err.splitlines()[-1]
    assert "the data have changed since" in err
    assert "put the same pictures back" in err
    file.write_bytes(before)
    assert sagan("train", run, "--images", "32") == 0


def test_pictures_may_be_moved_and_named_otherwise(mixed, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    begun = [*SMALL, "--resolution", "8", "--images"]
    assert sagan("train", *begun, "8", "--data", "mixed") == 0
    run = "runs/mixed-quick-few"
    assert sagan("train", *begun, "16", "--data", "./mixed/") == 0
    assert sagan("train", run, "--images", "24", "--data", mixed) == 0  # absolute
    mixed.rename(tmp_path / "elsewhere")
    capfd.readouterr()
    assert sagan("train", run, "--images", "32") == 2
    said = f"the pictures of {run} are not at {mixed} any more: say with --data where they are"
    assert said in capfd.readouterr().err
    assert sagan("train", run, "--images", "32", "--data", "elsewhere") == 0
    assert sagan("train", run, "--images", "40") == 0
    config = json.loads((tmp_path / run / "config.json").read_text())
    assert (config["data"]["source"], config["training"]["images"]) == ("elsewhere", 40)
    (tmp_path / "elsewhere" / "photos" / "3.png").unlink()
    (tmp_path / "elsewhere").rename(mixed)
    capfd.readouterr()
    assert sagan("train", run, "--images", "48", "--data", "mixed") == 2
    assert "data.source: elsewhere -> mixed" in capfd.readouterr().err


def test_colour_is_not_dropped_by_a_grey_run_unasked(mixed, tmp_path, capfd):
    grey, new = tmp_path / "grey", tmp_path / "new"
    assert sagan("train", grey, *SMALL, "--images", "8") == 0  # digits, 8 px
    capfd.readouterr()
    command = ["train", new, "--init", grey, "--data", mixed, "--images", "8", "--batch-size", "8"]
    assert sagan(*command) == 2
    said = f"{mixed} is in colour and {grey} is grey: give --channels 1 to train on it in grey"
    assert said in capfd.readouterr().err
    assert not new.exists()
    assert sagan(*command, "--channels", "1") == 0
    assert sagan(*command) == 0  # done


def test_a_folder_of_other_things_does_not_become_a_run(mixed, capfd):
    before = sorted(mixed.rglob("*"))
    for folder in (mixed, mixed / "photos"):
        assert sagan("train", folder, *SMALL, "--images", "8") == 2
        err = capfd.readouterr().err
        assert f"{folder} is a folder of other things (" in err
        assert err.count("\n") == 1
    assert sorted(mixed.rglob("*")) == before


def test_a_folder_with_a_log_file_alone_becomes_a_run(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "out.txt").write_text("as of nohup sagan train run > run/out.txt")
    assert sagan("train", tmp_path / "run", *SMALL, "--images", "8") == 0


def test_an_unknown_size_is_refused_before_the_pictures_are_read(mixed, tmp_path, cache, capfd):
    options = ["--data", mixed, "--resolution", "100"]
    assert sagan("train", tmp_path / "run", *SMALL, *options) == 2
    assert capfd.readouterr().err.startswith("sagan: resolution 100 is unknown; choose from 8,")
    assert not cache.exists()


def test_the_batch_fits_the_images_that_are_not_held_out(mixed):
    options = {"data": str(mixed), "time": "1m", "device": "cpu", "resolution": 8}
    for more, batch in (({}, 16), ({"holdout": 0.4}, 8), ({"augment_p": "adaptive"}, 16)):
        more = {"augment": "color", **more}
        chosen, data, reason = start._with_default_plan({**options, **more}, progress=False)
        assert (len(data), chosen["batch_size"]) == (24, batch)
    assert reason.endswith("; batch 16, as there are 21 images")


def test_a_packed_folder_keeps_its_size_in_a_short_time(mixed, tmp_path):
    out = tmp_path / "packed"
    pack_dataset(str(mixed), out, resolution=64)
    options = {"data": str(out), "time": "1m", "device": "cpu"}
    chosen, data, _ = start._with_default_plan(options, progress=False)
    assert (chosen["resolution"], data.images.shape[2]) == (64, 64)
    options["data"] = str(mixed)
    assert start._with_default_plan(options, progress=False)[0]["resolution"] < 32


def test_strict_and_background_reach_training(mixed, tmp_path, capfd):
    run = tmp_path / "run"
    options = [*SMALL, "--data", mixed, "--resolution", "8", "--images", "8"]
    assert sagan("train", run, *options, "--strict") == 2
    assert "is left out" in capfd.readouterr().err
    assert not run.exists()
    assert sagan("train", run, *options, "--background", "nonsense") == 2
    assert "opaque colour" in capfd.readouterr().err
    assert sagan("train", run, *options, "--background", "red") == 0
    assert sagan("train", run, *options, "--background", "blue") == 2
    assert "data.background: red -> blue" in capfd.readouterr().err


def test_a_run_older_than_fingerprints_goes_on(mixed, tmp_path):
    run = tmp_path / "run"
    assert sagan("train", run, *SMALL, "--images", "8") == 0
    config = json.loads((run / "config.json").read_text())
    del config["data"]["fingerprint"], config["data"]["background"]
    (run / "config.json").write_text(json.dumps(config))
    assert sagan("train", run, "--images", "16") == 0


def test_a_run_is_named_after_its_data(mixed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert sagan("train", *SMALL, "--data", "mixed", "--resolution", "8", "--images", "8") == 0
    assert (tmp_path / "runs" / "mixed-quick-few" / "config.json").is_file()


def test_check_reports_and_draws(mixed, tmp_path, capfd):
    sheet = tmp_path / "deep" / "sheet.png"
    assert sagan("data", "check", mixed, "--resolution", "32", "--out", sheet) == 0
    out = capfd.readouterr().out
    for name in UNREADABLE:
        assert name in out
    few = "advice: 24 pictures are few, and in time the discriminator learns them by heart: "
    for words in ("24 pictures", "drawings", "transparency: 8", few):
        assert words in out
    with Image.open(sheet) as picture:
        assert min(picture.size) > 100
    assert not (tmp_path / "cache").exists()


def test_check_prints_json_for_programs(mixed, capfd):
    assert sagan("data", "check", mixed, "--json", "--channels", "1") == 0
    out, _ = capfd.readouterr()
    report = json.loads(out)
    assert report["pictures"] == 24
    assert report["classes"] == {"drawings": 8, "photos": 8, "scans": 8}
    assert report["channels"] == 1
    assert len(report["excluded"]) == len(UNREADABLE)


def test_check_fails_on_what_training_would_refuse(mixed, capfd):
    assert sagan("data", "check", mixed, "--strict") == 1
    (mixed / "dog").mkdir()
    (mixed / "dog" / "1.png").write_bytes(b"")
    assert sagan("data", "check", mixed) == 1
    assert "problem: no picture is readable in the class dog" in capfd.readouterr().out


@pytest.mark.parametrize("source", ["digits", "photographs", "fashion"])
def test_bundled_sets_are_in_good_health(source, capfd, monkeypatch):
    monkeypatch.setattr("sagan.data.sources.bundled._CROPS", 64)
    assert sagan("data", "check", source, "--resolution", "8", "--json") == 0
    report = json.loads(capfd.readouterr().out)
    assert report["problems"] == []
    assert report["excluded"] == []


def test_pack_makes_a_source_that_trains(mixed, tmp_path, capfd):
    out = tmp_path / "packed"
    assert sagan("data", "pack", mixed, "--resolution", "8", "--out", out) == 0
    assert "24 images, 3 classes" in capfd.readouterr().err
    run = tmp_path / "run"
    assert sagan("train", run, *SMALL, "--data", out, "--resolution", "8", "--images", "8") == 0
    assert not (tmp_path / "cache").exists()
    assert sagan("data", "check", out, "--resolution", "8") == 0
    content = bytearray((out / "images.u8").read_bytes())
    content[100] ^= 1
    (out / "images.u8").write_bytes(content)
    capfd.readouterr()
    assert sagan("data", "check", out) == 2
    assert "images.u8 is damaged" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["check", "nowhere"], "unknown data source"),
        (["check", "EMPTY"], "it holds no pictures"),
        (["check", "digits", "--out", "sheet.jpg"], "not a .png file"),
        (["check", "digits", "--resolution", "0"], "from 1 to 4096"),
        (["check", "digits", "--channels", "2"], "choose from 1, 3, 4"),
        (["pack", "digits", "--resolution", "8", "--out", "EMPTY/.."], "already exists"),
        (["pack", "digits", "--out", "new"], "--resolution"),
        (["pack", "hub:cats", "--resolution", "8", "--out", "new"], "HF_HUB_OFFLINE is set"),
        (["nonsense"], "nonsense"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(tmp_path, monkeypatch, capfd, arguments, said):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    code = sagan("data", *[a.replace("EMPTY", "empty") for a in arguments])
    out, err = capfd.readouterr()
    assert code == 2
    assert said in err
    assert err.count("\n") == 1
    assert out == ""
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


@pytest.mark.parametrize("command", ["check", "pack"])
def test_help_loads_nothing_heavy(command):
    code = (
        f"import sys; sys.argv = ['sagan', 'data', '{command}', '--help']\n"
        "from sagan.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "sys.exit(len({'torch', 'numpy', 'PIL'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--background" in done.stdout


def test_packing_loads_no_torch(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "1.png").write_bytes(encoded(rgb()))
    (folder / "2.png").write_bytes(encoded(noise()))
    (folder / "3.tif").write_bytes(READABLE["float-1.tif"][0])
    code = (
        "import sys\n"
        "from sagan.cli import app\n"
        "app(['data', 'pack', sys.argv[1], '--resolution', '8', '--out', sys.argv[2]])\n"
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, folder, tmp_path / "packed"])
    assert done.returncode == 0


def test_check_estimates_memory_and_time(capfd):
    assert sagan("data", "check", "digits", "--resolution", "8", "--json") == 0
    cost = json.loads(capfd.readouterr().out)["training"]
    assert cost["preset"] == "digits"
    assert cost["parameters"] == {"G": 99230, "D": 143050}
    expected = 1000 * cost["train_flop_per_image"] / cost["measured_flop_per_sec"]
    assert cost["least_sec_per_1000_images"] == pytest.approx(expected, abs=0.01)
    assert 1e6 < cost["peak_bytes"] < 1e9
    assert sagan("data", "check", "digits", "--resolution", "32", "--preset", "paper") == 0
    assert "preset paper at 32 px, batch 256: about" in capfd.readouterr().out
    assert sagan("data", "check", "digits", "--resolution", "28") == 0  # no preset has it
    out, err = capfd.readouterr()
    assert "1198 pictures" in out.replace(",", "")
    assert "what training would take is not known: resolution 28 is unknown" in err
    assert sagan("data", "check", "digits", "--preset", "nonsense") == 2
    assert "choose from digits, quick" in capfd.readouterr().err


def test_check_names_the_batch_that_training_takes(mixed, capfd):
    assert sagan("data", "check", mixed, "--resolution", "8") == 0
    assert "preset quick-few at 8 px, batch 16: about" in capfd.readouterr().out


def test_a_packed_folder_is_not_made_among_its_own_pictures(mixed, capfd):
    before = sorted(mixed.rglob("*"))
    for out in (mixed / "packed", mixed / "deep" / "packed"):
        assert sagan("data", "pack", mixed, "--resolution", "8", "--out", out) == 2
        assert "whose pictures it would be beside" in capfd.readouterr().err
    assert sorted(mixed.rglob("*")) == before


def test_a_source_with_train_and_val_is_trained_and_scored_by_its_own_split(tmp_path, capfd):
    root = tmp_path / "split"
    rng = np.random.default_rng(0)
    for part, count in (("train", 12), ("val", 5)):
        for name in ("cat", "dog"):
            (root / part / name).mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(0, 256, (8, 8, 3), np.uint8)
                Image.fromarray(pixels).save(root / part / name / f"{i}.png")
    run = tmp_path / "run"
    assert sagan("train", run, *SMALL, "--data", root, "--resolution", "8", "--images", "16") == 0
    data = json.loads((run / "config.json").read_text())["data"]
    assert data["class_names"] == ["cat", "dog"]
    assert data["rules"] == 3
    real = open_real(str(root), resolution=8, channels=3)
    assert real.split_by_seed is None
    assert (len(real), real.held_out.sum()) == (34, 10)
    capfd.readouterr()
    assert sagan("evaluate", run, "--metrics", "fd:pixel", "--num", "24") == 0
    assert json.loads(capfd.readouterr().out)["fd:pixel"]["n_real"] == 24


def test_a_run_inside_the_folder_of_its_pictures_is_refused(tmp_path, monkeypatch, capfd):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for i in range(8):
        Image.fromarray(np.full((8, 8), 9 * i, np.uint8)).save(pictures / f"{i}.png")
    before = sorted(tmp_path.rglob("*.png"))
    monkeypatch.chdir(pictures)
    for command in (["--data", "."], [".", "--data", "."], ["mine", "--data", pictures]):
        assert sagan("train", *command, "--resolution", "8", "--images", "16") == 2
        err = capfd.readouterr().err
        assert "would lie in the folder of the pictures" in err
        assert sorted(pictures.rglob("*")) == before
