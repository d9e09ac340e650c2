"""Runs beside each other: the table, the curves and the samples."""

import json
import shutil

import numpy as np
import pytest
from command_line import SMALL, sagan
from PIL import Image

from sagan.evaluation.compare_runs import compare_runs
from sagan.runs.log import append_records, read_records
from sagan.runs.run import Run
from sagan.training.curves import draw_together

SCORED = ["--evaluate-every", "64", "--metric", "cas", "--evaluate-num", "20"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs on digits, one of them scored while training, and one without classes."""
    folder = tmp_path_factory.mktemp("compare")
    options = [*SMALL, "--images", "128", "--log-every", "32"]
    assert sagan("train", folder / "a", *options, *SCORED) == 0
    assert sagan("train", folder / "b", *options, "--resolution", "16", "--seed", "1") == 0
    assert sagan("train", folder / "c", *options, "--unconditional") == 0
    for name, value, num in (("a", 0.4, 100), ("a", 0.5, 200), ("b", 0.6, 200)):
        facts = {"data": "digits", "n_generated": num, "n_real": 599, "better": "higher"}
        record = {**facts, "metric": "cas", "value": value, "spread": 0.01}
        append_records(folder / name / "evaluations.jsonl", record)
    return folder


def size_of(path):
    with Image.open(path) as picture:
        return picture.size


def test_the_table_has_a_line_a_run_and_stdout_the_same_as_json(runs, capfd):
    assert sagan("compare", runs / "a", runs / "b", runs / "c") == 0
    out, err = capfd.readouterr()
    head, a, b, c, note = err.splitlines()
    assert head.split() == ["run", "preset", "px", "images", "minutes", "cas", "best", "cas"]
    assert a.split()[:4] == ["a", "digits", "8", "128"]
    assert "0.5 ± 0.01" in a  # the newest
    assert b.split()[:4] == ["b", "digits", "16", "128"]
    assert b.rstrip().endswith("0.6 ± 0.01")
    assert len(c.split()) == 5
    assert note == (
        "cas: scored with other data, sizes, numbers of images, statistics, weights or features, "
        "so the values do not compare"
    )
    given = json.loads(out)
    assert given["files"] == []
    assert [run["run"] for run in given["runs"]] == ["a", "b", "c"]
    first = given["runs"][0]
    assert first["scores"]["cas"]["n_generated"] == 200
    logged = [r for r in read_records(runs / "a/log.jsonl") if r["kind"] == "score"]
    best = first["log_scores"]["cas"]
    assert best["value"] == max(r["value"] for r in logged)
    assert first["minutes"] >= 0
    assert given["runs"][1]["log_scores"] == {}


def test_a_folder_gets_curves_samples_and_the_summary(runs, tmp_path, capfd):
    out = tmp_path / "deep" / "comparison"
    assert sagan("compare", runs / "a", runs / "b", "--out", out, "--seed", "5") == 0
    given = json.loads(capfd.readouterr().out)
    assert given == json.loads((out / "comparison.json").read_text())
    names = ["curves.png", "samples.png", "comparison.json"]
    assert given["files"] == [str(out / name) for name in names]
    assert sorted(path.name for path in out.iterdir()) == sorted(names)
    samples = np.asarray(Image.open(out / "samples.png"))
    side = 64 + 4
    assert samples.shape == (32 + 10 * side + 4 + 16, 16 + 2 * (6 * side + 4 + 16), 3)
    # the second run's class 3 of seed 6, as sample makes it
    one = ["--num", "1", "--seed", "6", "--classes", "3", "--out", tmp_path / "one"]
    assert sagan("sample", runs / "b", *one) == 0
    (file,) = (tmp_path / "one").iterdir()
    left, top = 16 + 6 * side + 4 + 16 + 4 + side, 32 + 4 + 3 * side
    cell = samples[top : top + 64 : 4, left : left + 64 : 4, 0].astype(int)
    assert np.abs(cell - np.asarray(Image.open(file)).astype(int)).max() <= 1


def test_runs_without_common_classes_are_shown_with_their_own(runs, tmp_path, capfd):
    assert sagan("compare", runs / "a", runs / "c", "--out", tmp_path / "o") == 0
    capfd.readouterr()
    size = 16 + 2 * (6 * 68 + 4 + 16), 32 + 10 * 68 + 4 + 16
    assert size_of(tmp_path / "o/samples.png") == size


def test_every_run_keeps_its_colour_in_every_panel(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr("sagan.training.curves._draw", lambda path, panels, _: drawn.extend(panels))
    loss = {"kind": "train", "images": 64, "d_loss": 1.0, "g_loss": 0.5}
    score = {"kind": "score", "metric": "cas", "better": "higher", "images": 64, "value": 0.5}
    assert draw_together(tmp_path / "c.png", {"a": [loss], "b": [loss, score]})
    titles = [title for title, _ in drawn]
    assert titles == ["loss of D", "loss of G", "cas, higher is better"]
    assert [[name for name, *_ in curves] for _, curves in drawn] == [["a", "b"]] * 3
    assert drawn[2][1] == [("a", [], []), ("b", [64.0], [0.5])]
    assert not draw_together(tmp_path / "c.png", {"a": [], "b": []})


def test_scores_that_do_not_count_are_not_the_best(runs, tmp_path):
    shutil.copytree(runs / "a", tmp_path / "a")
    head = {"kind": "score", "metric": "cas", "better": "higher", "images": 128}
    spoilt = [{"value": None}, {"value": float("nan")}, {"value": 1.0, "alarms": ["collapse"]}]
    append_records(tmp_path / "a/log.jsonl", *({**head, **how} for how in spoilt))
    plain, copy = (
        compare_runs([path, runs / "c"]).runs[0].log_scores for path in (runs / "a", tmp_path / "a")
    )
    assert plain == copy


def test_a_score_that_was_not_finite_is_a_dash(runs, tmp_path, capfd):
    shutil.copytree(runs / "a", tmp_path / "a")
    record = {"metric": "fd:own", "value": None, "spread": None, "better": "lower"}
    append_records(tmp_path / "a/evaluations.jsonl", record)
    assert sagan("compare", tmp_path / "a", runs / "c") == 0
    head, a, *_ = capfd.readouterr().err.splitlines()
    assert a[head.index("fd:own") :].split()[0] == "-"


def test_scores_of_other_weights_are_said_not_to_compare(runs, tmp_path):
    for name, weights in (("x", "ema"), ("y", "raw")):
        shutil.copytree(runs / "b", tmp_path / name)
        record = {"metric": "kid:own", "value": 0.1, "weights": weights}
        append_records(tmp_path / name / "evaluations.jsonl", record)
    (note,) = compare_runs([tmp_path / "x", tmp_path / "y"]).notes
    assert note.startswith("kid:own: ")


def test_a_run_that_lost_its_pointer_is_shown_by_its_newest_checkpoint(runs, tmp_path):
    shutil.copytree(runs / "a", tmp_path / "a")
    for pointer in ("latest", "best"):
        (tmp_path / "a" / pointer).unlink(missing_ok=True)
    given = compare_runs([tmp_path / "a", runs / "b"], out=tmp_path / "o")
    assert not [note for note in given.notes if "checkpoint" in note]


def test_pictures_of_an_earlier_comparison_do_not_stay(runs, tmp_path):
    new = [Run(tmp_path / name) for name in ("x", "y")]
    for run in new:
        run.write_config(Run(runs / "a").config())
    compare_runs([runs / "a", runs / "b"], out=tmp_path / "o")
    (tmp_path / "o/notes.txt").write_text("mine")
    compare_runs([run.path for run in new], out=tmp_path / "o")
    assert {path.name for path in (tmp_path / "o").iterdir()} == {"comparison.json", "notes.txt"}


def test_runs_of_one_name_are_told_apart_by_their_paths(runs, tmp_path):
    shutil.copytree(runs / "a", tmp_path / "a")
    names = [run.run for run in compare_runs([runs / "a", tmp_path / "a"]).runs]
    assert names == [str(runs / "a"), str(tmp_path / "a")]


def test_a_run_without_a_checkpoint_is_in_the_table_alone(runs, tmp_path):
    Run(tmp_path / "new").write_config(Run(runs / "a").config())
    comparison = compare_runs([runs / "a", tmp_path / "new"], out=tmp_path / "o")
    assert (comparison.runs[1].images, comparison.runs[1].minutes) == (None, None)
    assert comparison.notes == ["new has no checkpoint yet, so no samples"]
    assert size_of(tmp_path / "o/samples.png")[0] == 16 + 6 * 68 + 4 + 16


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "name at least two runs"),
        (["A"], "name at least two runs"),
        (["A", "A"], "is named twice"),
        (["A", "nowhere"], "nowhere does not exist: name a run folder"),
        (["A", "."], "is not a run folder"),
        (["A", "A/checkpoints/step-00000004"], "is a checkpoint: name its run's folder"),
        (["A", "B", "--seed", "-1"], "--seed must be 0 or more"),
        (["A", "B", "--out", "A/config.json"], "is a file; name a folder"),
        (["A", "B", "--out", "A/config.json/x"], "config.json is not a folder"),
    ],
)
def test_bad_input_is_one_line(runs, tmp_path, monkeypatch, capfd, arguments, said):
    monkeypatch.chdir(tmp_path)
    named = [a.replace("A", str(runs / "a")).replace("B", str(runs / "b")) for a in arguments]
    assert sagan("compare", *named) == 2
    out, err = capfd.readouterr()
    assert said in err
    assert err.count("\n") == 1
    assert out == ""
    assert list(tmp_path.iterdir()) == []


def test_a_run_is_not_written_into(runs, tmp_path, capfd):
    shutil.copytree(runs / "a", tmp_path / "a")
    before = {p: p.read_bytes() for p in (tmp_path / "a").rglob("*") if p.is_file()}
    assert sagan("compare", runs / "b", tmp_path / "a", "--out", tmp_path / "a") == 2
    assert "is a run, which has files of its own" in capfd.readouterr().err
    assert {p: p.read_bytes() for p in (tmp_path / "a").rglob("*") if p.is_file()} == before
