"""`sagan train --init` from the command line."""

import shutil

import pytest
from command_line import SMALL, sagan

from sagan.explain.live.studio import Studio
from sagan.runs.run import Run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("cli") / "old"
    assert sagan("train", path, *SMALL, "--images", "64") == 0
    return path


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--init", "nowhere"], "nowhere does not exist: name a run folder"),
        (["--init", "."], "is not a run folder"),
        (["--init", "hub:me/cats"], "hub:me/cats is a generator alone: a run's folder is needed"),
        (["--init", "RUN", "--g-width", "8"], "--g-width cannot be chosen with --init"),
        (["--init", "RUN", "--d-width", "8"], "--d-width cannot be chosen with --init"),
        (["--init", "RUN", "--resolution", "24"], "choose from 8, 16, 32, 64, 128, 256"),
        (["--init", "RUN", "--g-attention", "64"], "it has 8"),
        (["--init", "RUN", "--freeze-d", "4"], "freeze_d must be at most 3"),
        (["--init", "RUN", "--freeze-d", "100000000000"], "freeze_d must be at most 3"),
        (["--init", "RUN", "--freeze-d", "-1"], "freeze_d must be 0 or more"),
        (["--init", "RUN", "--preset", "nonsense"], "unknown preset 'nonsense'"),
        (["--init", "RUN", "--data", "nonsense"], "choose from digits, photographs"),
        (["--freeze-d", "1"], "--freeze-d keeps what was trained before: it needs --init"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(run, tmp_path, monkeypatch, capfd, options, said):
    monkeypatch.chdir(tmp_path)
    assert sagan("train", "new", *[run if o == "RUN" else o for o in options]) == 2
    out, err = capfd.readouterr()
    assert said in err
    assert err.count("\n") == 1
    assert out == ""
    assert list(tmp_path.iterdir()) == []


def test_the_recipe_and_the_data_are_the_old_runs_unless_told_otherwise(
    run, tmp_path, monkeypatch, capfd
):
    monkeypatch.chdir(tmp_path)
    command = ["train", "--init", run, "--device", "cpu", "--seed", "3"]
    assert sagan(*command) == 0
    err = capfd.readouterr().err
    assert "G: 100.0% of its weights kept" in err
    assert "Classes" not in err
    new = tmp_path / "runs/digits-from-old"
    old, config = Run(run).config(), Run(new).config()
    assert config.network == old.network
    assert (config.training.seed, config.training.batch_size) == (3, 32)
    assert config.init.source == str(run)
    assert sagan(*command) == 0  # done
    assert sagan("train", new) == 0
    assert sagan("train", new, "--init", tmp_path) == 2
    assert f"init.source: {run} -> {tmp_path}" in capfd.readouterr().err
    stops = Studio(new).training_points
    assert [stop.path is None for stop in stops.values()] == [False, False]  # none is untrained


def test_a_run_on_other_settings_says_how_to_begin_from_it(run, capfd):
    assert sagan("train", run, "--unconditional") == 2
    assert f"--init {run} begins it from this one" in capfd.readouterr().err


def test_other_resolution_recipe_and_classes_are_taken(run, tmp_path, capfd):
    options = ["--resolution", "16", "--preset", "small", "--images", "32", "--unconditional"]
    assert sagan("train", tmp_path / "new", "--init", run, *options, "--device", "cpu") == 0
    assert "the 10 old ones are dropped" in capfd.readouterr().err
    config = Run(tmp_path / "new").config()
    assert (config.network.resolution, config.network.classes) == (16, 0)
    assert config.network.g_channels == (16, 16, 16)
    assert config.training.augment == ("color", "translation", "cutout")
    assert config.preset == "small"


def test_beginning_again_without_the_old_run_is_refused_and_moves_nothing(tmp_path, capfd):
    assert sagan("train", tmp_path / "old", *SMALL, "--images", "64") == 0
    new = ["train", tmp_path / "new"]
    options = ["--init", tmp_path / "old", "--images", "64", "--device", "cpu"]
    assert sagan(*new, *options) == 0
    shutil.rmtree(tmp_path / "old")
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    assert sagan(*new, "--from-scratch") == 2
    assert "does not exist" in capfd.readouterr().err
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before
