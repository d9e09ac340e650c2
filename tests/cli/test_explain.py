"""`sagan explain`: what it writes and prints, and how it refuses bad input."""

import json
import shutil
from functools import partial

import numpy as np
import pytest
import torch
from command_line import sagan
from PIL import Image

from sagan.explain import writing
from sagan.nn.attention import AttentionNumbers
from sagan.runs.open_run import load_run_generator
from sagan.runs.run import Run, find_checkpoint

SMALL = ["--g-width", "4", "--d-width", "8", "--batch-size", "32", "--device", "cpu"]
SMALL += ["--standing-batches", "1"]
FIGURES = ("attention-g", "attention-d", "attention-history", "causal", "directions")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("explain") / "run"
    assert sagan("train", path, *SMALL, "--images", "64", "--snapshot-every", "32") == 0
    return path


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    path = tmp_path_factory.mktemp("picture") / "seven.png"
    Image.fromarray(np.arange(300, dtype=np.uint8).reshape(15, 20)).save(path)
    return path


def test_everything_is_drawn_and_told(run, picture, tmp_path, capfd):
    out = tmp_path / "o"
    options = ["--classes", "3", "--num", "2", "--points", "3", "--image", picture]
    assert sagan("explain", run, "--out", out, *options) == 0
    stdout, err = capfd.readouterr()
    assert stdout == ""
    files = {f"{name}.png" for name in (*FIGURES, "attention-real")}
    files |= {"attention.json", "causal.json"}
    assert {file.name for file in out.iterdir()} >= files
    for name in files:
        assert str(out / name) in err
    for name in (name for name in files if name.endswith(".png")):
        pixels = np.asarray(Image.open(out / name).convert("RGB"))
        assert min(pixels.shape[:2]) > 200, name
        assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 50, name

    told = json.loads((out / "attention.json").read_text())
    origins = [(i["seed"], i["file"], i["class"]) for i in told["images"]]
    assert origins == [(0, None, "3"), (1, None, "3"), (None, "seven.png", "3")]
    networks = [[layer["network"] for layer in i["layers"]] for i in told["images"]]
    assert networks == [["G", "D"], ["G", "D"], ["D"]]
    layer = told["images"][0]["layers"][0]
    assert set(AttentionNumbers._fields) <= set(layer)
    assert (layer["size_px"], layer["keys_px"], len(layer["query_points"])) == (8, 8, 3)

    causal = json.loads((out / "causal.json").read_text())
    assert causal["threshold"] == 0.1
    names = ["gamma-0", "uniform", "hidden-most", "hidden-others"]
    for image in causal["images"]:
        for network in image["networks"]:
            assert list(network["changes"]) == names
    assert [v["network"] for v in causal["verdicts"]] == ["G", "D"]
    assert err.splitlines()[-2:] == [v["sentence"] for v in causal["verdicts"]]


def test_the_log_and_the_figures_speak_of_the_same_numbers(run):
    records = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    layers = [layer for r in records if r["kind"] == "attention" for layer in r["layers"]]
    assert len(layers) == 4
    assert all(set(AttentionNumbers._fields) <= set(layer) for layer in layers)


def test_a_network_with_gamma_0_is_said_not_to_need_attention(run, tmp_path, capfd):
    network = load_run_generator(run, weights="raw")  # after two steps gamma has hardly moved
    assert all(abs(layer.gamma.item()) < 0.01 for layer in network.attention.values())
    assert sagan("explain", run, "--out", tmp_path, "--num", "1") == 0
    assert "Attention does not matter here: taking it away" in capfd.readouterr().err


def test_a_network_that_lives_off_its_attention_is_said_to_need_it(run, tmp_path, capfd):
    """The same weights with a large gamma; and no log, so that no history is drawn."""
    checkpoint, other = find_checkpoint(run, verify_files=None), Run(tmp_path / "other")
    tensors = {name: checkpoint.tensors(name) for name in ("ema", "discriminator")}
    for group in tensors.values():
        (name,) = (name for name in group if name.endswith("gamma"))
        group[name] = torch.full((1,), 20.0)
    other.write_config(checkpoint.config)
    other.save(2, tensors, config=checkpoint.config, keep=1)
    (tmp_path / "o").mkdir()
    for name in ("attention-real.png", "attention-history.png", "notes.txt"):  # of another run
        (tmp_path / "o" / name).write_text("old")
    assert sagan("explain", other.path, "--out", tmp_path / "o", "--num", "1") == 0
    g, d = json.loads((tmp_path / "o" / "causal.json").read_text())["verdicts"]
    assert (g["matters"], d["matters"]) == (True, True)
    assert capfd.readouterr().err.count("matters here") == 2
    written = {file.stem for file in (tmp_path / "o").iterdir()}
    assert written >= {"attention-g", "attention-d", "causal", "directions", "notes"}
    assert not {"attention-history", "attention-real"} & written


@pytest.mark.slow
def test_the_same_call_writes_the_same_numbers(run, tmp_path):
    for name in ("a", "b"):
        assert sagan("explain", run, "--out", tmp_path / name, "--num", "1", "--seed", "5") == 0
    for file in ("attention.json", "causal.json"):
        assert (tmp_path / "a" / file).read_text() == (tmp_path / "b" / file).read_text()


def test_a_checkpoint_has_its_runs_history_and_a_region_is_what_is_hidden(run, tmp_path):
    (checkpoint, *_) = sorted((run / "checkpoints").iterdir())
    options = ["--num", "1", "--region", "0, 0,8,4"]
    assert sagan("explain", checkpoint, "--out", tmp_path, *options) == 0
    assert (tmp_path / "attention-history.png").exists()
    (image,) = json.loads((tmp_path / "causal.json").read_text())["images"]
    for network in image["networks"]:
        assert list(network["changes"]) == ["gamma-0", "uniform", "hidden-region"]


def test_a_run_without_attention_has_nothing_to_explain(tmp_path, capfd, picture):
    no = ["--g-attention", "none", "--d-attention", "none"]
    assert sagan("train", tmp_path / "plain", *SMALL, *no, "--images", "32") == 0
    assert sagan("explain", tmp_path / "plain", "--out", tmp_path / "o") == 2
    assert "without attention" in capfd.readouterr().err
    assert not (tmp_path / "o").exists()


def test_an_unconditional_run_with_attention_in_g_alone(tmp_path, capfd, picture):
    path = tmp_path / "g"
    options = ["--d-attention", "none", "--unconditional", "--images", "32"]
    assert sagan("train", path, *SMALL, *options) == 0
    assert sagan("explain", path, "--out", tmp_path / "o", "--num", "1") == 0
    told = json.loads((tmp_path / "o" / "causal.json").read_text())
    assert [v["network"] for v in told["verdicts"]] == ["G"]
    assert not (tmp_path / "o" / "attention-d.png").exists()
    capfd.readouterr()
    for more, said in (
        (["--image", picture], "no attention in D"),
        (["--classes", "3"], "has no classes"),
    ):
        assert sagan("explain", path, "--out", tmp_path / "p", *more) == 2
        assert said in capfd.readouterr().err
        assert not (tmp_path / "p").exists()


def test_a_run_without_a_discriminator_is_explained_by_its_generator(run, picture, tmp_path, capfd):
    """As an imported one may be."""
    checkpoint, other = find_checkpoint(run, verify_files=None), Run(tmp_path / "other")
    other.write_config(checkpoint.config)
    other.save(2, {"ema": checkpoint.tensors("ema")}, config=checkpoint.config, keep=1)
    assert sagan("explain", other.path, "--out", tmp_path / "o", "--num", "1") == 0
    told = json.loads((tmp_path / "o" / "causal.json").read_text())
    assert [v["network"] for v in told["verdicts"]] == ["G"]
    capfd.readouterr()
    assert sagan("explain", other.path, "--out", tmp_path / "p", "--image", picture) == 2
    assert "no attention in D" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["nowhere"], "does not exist"),
        (["RUN", "--points", "99"], "from 1 to 8"),
        (["RUN", "--num", "0"], "num must be from 1 to 100, not 0"),
        (["RUN", "--num", "9" * 20], "num must be from 1 to 100"),
        (["RUN", "--seed", "-1"], "0 or more"),
        (["RUN", "--classes", "x"], "no class 'x'"),
        (["RUN", "--image", "nowhere.png"], "nowhere.png does not exist"),
        (["RUN", "--image", "RUN"], "is not a file"),
        (["RUN", "--image", "RUN/config.json"], "config.json is not a readable picture"),
        (["RUN", "--image", "PICTURE", "--classes", "3,8"], "has one class"),
        (["RUN", "--region", "0,0,9,4"], "which is 8x8 pixels"),
        (["RUN", "--region", "0,0,99999999999999999999,4"], "which is 8x8 pixels"),
        (["RUN", "--region", "4,4,4,8"], "is empty"),
        (["RUN", "--region", "5,0,3,8"], "is empty"),
        (["RUN", "--region", "0,0,8"], "is not X0,Y0,X1,Y1"),
        (["RUN", "--region=-1,0,8,8"], "is not X0,Y0,X1,Y1"),
        (["RUN", "--region", "a,b,c,d"], "is not X0,Y0,X1,Y1"),
        (["RUN", "--region", "0,0,8,8"], "hides all 8x8 keys"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(
    run, picture, tmp_path, capfd, monkeypatch, options, said
):
    monkeypatch.chdir(tmp_path)
    options = [o.replace("RUN", str(run)).replace("PICTURE", str(picture)) for o in options]
    assert sagan("explain", *options, "--out", "o") == 2
    out, err = capfd.readouterr()
    assert said in err
    assert err.count("\n") == 1
    assert out == ""
    assert list(tmp_path.iterdir()) == []


def test_a_report_that_would_be_too_large_writes_nothing(run, tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(writing, "write_report", partial(writing.write_report, max_bytes=10))
    assert sagan("explain", run, "--num", "1", "--out", tmp_path / "o") == 2
    assert "take fewer" in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_folder_inside_a_file_is_refused_first(run, tmp_path, capfd):
    (tmp_path / "notes").write_text("mine")
    assert sagan("explain", run, "--out", tmp_path / "notes/o") == 2
    err = capfd.readouterr().err
    assert f"{tmp_path / 'notes'} is a file, not a folder to write to" in err
    assert err.count("\n") == 1


def test_both_networks_are_of_one_checkpoint(run, tmp_path):
    mixed = tmp_path / "mixed"
    shutil.copytree(run, mixed)
    first, last = Run(mixed).checkpoint_paths()[-2:]
    file = last / "discriminator.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert sagan("explain", mixed, "--out", tmp_path / "a", "--num", "1") == 0
    assert sagan("explain", first, "--out", tmp_path / "b", "--num", "1") == 0
    a, b = (json.loads((tmp_path / x / "attention.json").read_text())["images"] for x in "ab")
    assert a == b
