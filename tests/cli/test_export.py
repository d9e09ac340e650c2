"""`sagan export`, and sampling from what it wrote."""

import contextlib
import hashlib
import io
import re

import numpy as np
import pytest
from command_line import sagan
from PIL import Image

from sagan.config import DataConfig, NetworkConfig, RunConfig
from sagan.models import build_generator
from sagan.runs.run import Run


def hashes(folder):
    """Its files, by what they hold."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run with averaged weights only, as a shared one."""
    network = NetworkConfig(resolution=8, classes=2, g_width=4)
    config = RunConfig(network=network, data=DataConfig(class_names=("cat", "dog")))
    run = Run(tmp_path_factory.mktemp("export") / "run")
    run.write_config(config)
    ema = build_generator(network).state_dict()
    for name, value in ema.items():
        if name.endswith("bias.weight"):  # the class tables
            value.normal_()
    run.save(7, {"ema": ema}, config=config, keep=1, facts={"images": 448})
    return run.path


@pytest.fixture(scope="module")
def written(run):
    """Its files by format, and what was said on stderr when each was written."""
    made = {}
    for kind in ("onnx", "safetensors"):
        folder = run / kind
        options = ["--format", kind, "--out", folder / f"model.{kind}", "--card", folder / "C.md"]
        said = io.StringIO()
        with contextlib.redirect_stderr(said):
            assert sagan("export", run, *options) == 0
        made[kind] = folder / f"model.{kind}", said.getvalue()
    return made


@pytest.fixture
def files(written):
    """The files alone."""
    return {kind: file for kind, (file, _) in written.items()}


@pytest.mark.parametrize("kind", ["onnx", "safetensors"])
def test_files_are_written_with_cards_and_parity_is_told(written, kind):
    out, said = written[kind]
    size, *parity, card = said.splitlines()
    assert size == f"{out}: {out.stat().st_size / 1e6:.1f} MB"
    assert card.endswith("model card and samples")
    assert {path.name for path in out.parent.iterdir()} == {out.name, "C.md", "C-samples.png"}
    if kind == "onnx":
        (parity,) = parity
        worst = max(float(number) for number in re.findall(r"(\S+) at batch", parity))
        assert 0 < worst < 1e-5
        assert parity.endswith("(limit 0.0001)")


@pytest.mark.parametrize("kind", ["onnx", "safetensors"])
def test_sampling_from_a_file_is_sampling_from_the_run(run, files, kind, tmp_path):
    options = ["--num", "10", "--seed", "4", "--truncation", "0.7"]
    for source, name in ((run, "ours"), (files[kind], "theirs")):
        assert sagan("sample", source, *options, "--out", tmp_path / name, "--batch-size", 3) == 0
    ours, theirs = (sorted((tmp_path / name).iterdir()) for name in ("ours", "theirs"))
    assert [p.name for p in ours] == [p.name for p in theirs]
    assert ours[9].name == "seed00000013-class1-dog.png"
    pictures = [[np.asarray(Image.open(p)).astype(int) for p in group] for group in (ours, theirs)]
    assert np.ptp(pictures[0]) > 50
    assert np.abs(np.subtract(*pictures)).max() <= 1


def test_interpolation_between_latents_works_with_a_file(files, tmp_path):
    options = ["--num", "4", "--interpolate", "1,2", "--classes", "dog"]
    assert sagan("sample", files["onnx"], *options, "--out", tmp_path / "strip.png") == 0
    assert (tmp_path / "strip.png").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["export", "RUN", "--out", "m.pt"], "m.pt must end in .onnx or .safetensors"),
        (["export", "RUN", "--format", "onnx", "--out", "m.safetensors"], "must end in .onnx"),
        (["export", "RUN", "--format", "torch", "--out", "m.onnx"], "torch"),
        (["export", "RUN"], "--out"),
        (["export", "RUN", "--out", "m.safetensors", "--attention"], "is for ONNX files"),
        (["export", "RUN", "--out", "m.onnx", "--card", "card"], "card must end in .md"),
        (["export", "RUN", "--out", "m.safetensors", "--card", "CARD"], "card.md is there already"),
        (["export", "RUN", "--out", "m.safetensors", "--card", "IN_TEXT/c.md"], "is not a folder"),
        (["export", "RUN", "--out", "m.onnx", "--card", "GRID"], "new-samples.png, for the card's"),
        (["export", "RUN", "--out", "m.onnx", "--card", "IN_RUN/c.md"], "is in a run, which has"),
        (["export", "RUN", "--out", "IN_RUN/m.onnx"], "is in a run, which has files of its own"),
        (["export", "RUN", "--out", "IN_CHECKPOINT/ema.safetensors"], "is in a run, which has"),
        (["export", "RUN", "--out", "FOLDER"], "m.safetensors is a folder"),
        (["export", "RUN", "--out", "IN_TEXT/m.onnx"], "text.onnx is not a folder"),
        (["export", "RUN", "--out", "IN_TEXT/new/folder"], "text.onnx is not a folder"),
        (["export", "RUN", "--out", "o/m.onnx", "--attention"], "has no attention maps"),
        (["export", "nowhere", "--out", "o/m.onnx"], "does not exist"),
        (["export", ".", "--out", "o/m.onnx"], "is not a run folder"),
        (["export", "EMPTY", "--out", "o/m.onnx"], "has no checkpoint yet"),
        (["sample", "m.onnx", "--num", "1", "--out", "o"], "does not exist"),
        (["sample", "ONNX", "--num", "1", "--out", "o", "--classes", "2"], "no class '2'"),
        (["sample", "ONNX", "--num", "1", "--out", "o", "--weights", "raw"], "averaged weights"),
        (
            ["sample", "ONNX", "--num", "3", "--out", "o", "--interpolate-classes", "0,1"],
            "to mix classes, use the run",
        ),
        (["sample", "TEXT", "--num", "1", "--out", "o"], "is not an ONNX model"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(
    run, files, tmp_path_factory, tmp_path, capfd, monkeypatch, options, said
):
    elsewhere = tmp_path_factory.mktemp("bad")
    (elsewhere / "text.onnx").write_text("no model")
    (elsewhere / "card.md").write_text("mine")
    (elsewhere / "m.safetensors").mkdir()
    empty = Run(elsewhere / "empty")
    empty.write_config(RunConfig())
    names = {"RUN": run, "EMPTY": empty.path, "ONNX": files["onnx"], "CARD": elsewhere / "card.md"}
    names |= {"TEXT": elsewhere / "text.onnx", "FOLDER": elsewhere / "m.safetensors"}
    names["GRID"] = elsewhere / "new.md"
    (elsewhere / "new-samples.png").write_text("mine")
    monkeypatch.chdir(tmp_path)
    (checkpoint,) = Run(run).checkpoint_paths()
    folders = {"IN_TEXT": names["TEXT"], "IN_RUN": run, "IN_CHECKPOINT": checkpoint}
    for name, folder in folders.items():
        options = [o.replace(name, str(folder)) for o in options]
    before = hashes(run)
    code = sagan(*[names.get(o, o) for o in options])
    assert hashes(run) == before
    out, err = capfd.readouterr()
    assert code == 2, err
    assert said in err
    assert err.count("\n") == 1
    assert out == ""
    assert list(tmp_path.iterdir()) == []
    for name in ("card.md", "new-samples.png"):
        assert (elsewhere / name).read_text() == "mine"


@pytest.mark.parametrize("name", ["m.onnx", "new/m.onnx", "new/m.safetensors", "new/folder"])
def test_weights_that_are_not_there_are_one_line(run, tmp_path, capfd, name):
    assert sagan("export", run, "--out", tmp_path / name, "--weights", "raw") == 1
    err = capfd.readouterr().err
    assert "has no generator.safetensors" in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
