"""Running an experiment: order, what fails, what is stopped, what is kept, and its report."""

import json
import os
import signal
import sys
import threading
import time
from dataclasses import replace

import pytest
from made_up_experiment import TINY, make_experiment

from sagan.ablation import experiment as experiment_module
from sagan.ablation.experiment import ablate
from sagan.ablation.protocol import BUSY, make_plan, read_plan, run_folder
from sagan.ablation.report import report_on
from sagan.ablation.worker import work
from sagan.runs.open_run import load_run_generator
from sagan.runs.run import Run

# Instead of training: notes when it ran, and does what `plan.json`'s neighbour says.
FAKE = """
import pathlib, signal, sys, time
out, arm, seed, device = sys.argv[1:]
folder = pathlib.Path(out) / "runs" / f"{arm}-{seed}"
does = (pathlib.Path(out) / "does").read_text().split()
def note(what):
    with open(pathlib.Path(out) / "notes", "a") as file:
        file.write(f"{what} {arm}-{seed}\\n")
def stop(*_):
    note("saved")
    sys.exit(143)
signal.signal(signal.SIGTERM, stop)
note("began")
if f"{arm}-{seed}" in does:
    print("the reason", file=sys.stderr)
    sys.exit(1)
if f"busy:{arm}-{seed}" in does:
    sys.exit(75)
if f"long:{arm}-{seed}" in does:
    time.sleep(60)
time.sleep(0.1)
(folder / "done").touch()
"""


@pytest.fixture
def faked(tmp_path, monkeypatch):
    """A planned experiment whose runs are pretended; returns what starts it."""
    script = tmp_path / "fake.py"
    script.write_text(FAKE)
    monkeypatch.setattr(experiment_module, "_WORKER", (sys.executable, str(script)))
    monkeypatch.setattr(experiment_module, "_POLL_SEC", 0.02)
    monkeypatch.setattr(experiment_module, "report_on", lambda *_, **__: "verdict")
    out = tmp_path / "out"
    make_experiment(out, None, done=())

    def run(does="", **options):
        (out / "does").write_text(does)
        return ablate(out, device="cpu", progress=False, **options), notes(out)

    return run


def notes(out):
    file = out / "notes"
    return file.read_text().splitlines() if file.is_file() else []


def test_seeds_are_outermost_and_the_same_command_goes_on(faked):
    first, said = faked(jobs=1, only="0-1")
    runs = ["none-0", "attention-0", "residual-0", "none-1", "attention-1", "residual-1"]
    assert said == [f"began {run}" for run in runs]
    assert (len(first.done), len(first.left), first.exit_code) == (6, 18, 0)
    assert first.verdict == "verdict"
    second, said = faked(jobs=2)
    assert len(said) == 24
    assert len(set(said)) == 24
    assert not second.left


def test_what_fails_is_told_and_the_others_go_on(faked):
    found, said = faked("attention-0 busy:none-1", jobs=2, only="0-1")
    assert found.failed == {("attention", 0): "the reason"}
    assert len(found.done) == 4
    assert len(said) == 6
    assert BUSY == 75
    again, _ = faked(jobs=2, only="0-1")
    assert len(again.done) == 6


def test_the_time_is_kept_and_what_runs_may_save(faked):
    began = time.monotonic()
    found, said = faked("long:none-0 long:attention-0", jobs=2, until_sec=1.0)
    assert time.monotonic() - began < 20
    assert (found.done, found.exit_code) == ([], 0)
    assert sorted(said) == sorted(
        [f"{what} {run}" for what in ("began", "saved") for run in ("none-0", "attention-0")]
    )


def test_a_signal_stops_it_and_its_runs(faked):
    threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGTERM)).start()
    found, said = faked("long:none-0", jobs=1)
    assert found.exit_code == 143
    assert said == ["began none-0", "saved none-0"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"seeds": 9}, r"seeds: 8 -> 9\), and a plan does not change once it is written"),
        ({"only": "8"}, "is not of the seeds 0 to 7"),
        ({"jobs": 0}, "--jobs must be at least 1"),
    ],
)
def test_what_does_not_fit_the_plan_is_refused(faked, options, said):
    with pytest.raises(ValueError, match=said):
        faked(**options)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"jobs": 0}, "--jobs must be at least 1, not 0"),
        ({"only": "6"}, "--only '6' is not of the seeds 0 to 5"),
    ],
)
def test_what_cannot_begin_leaves_no_plan(tmp_path, wrong, said):
    out = tmp_path / "out"
    asked = {"arms": "none,attention", "seeds": 6, "metrics": "fd:pixel", "device": "cpu"}
    with pytest.raises(ValueError, match=said):
        ablate(out, options=TINY, **asked, **wrong, progress=False)
    assert not out.exists()


def test_other_folders_are_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ValueError, match="is not an experiment, and not empty"):
        ablate(tmp_path)
    with pytest.raises(ValueError, match="is a file"):
        ablate(tmp_path / "thesis.txt")


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A whole experiment, as small as can be, its runs trained in this process."""
    out = tmp_path_factory.mktemp("small")
    options = TINY | {"snapshot_every": 32, "standing_batches": 0}
    asked = {"arms": "none,attention", "seeds": 2, "underpowered": True}
    make_plan(options, **asked, metrics="fd:pixel", num=120, curve_num=60).write(out)
    for seed in range(2):
        for arm in ("none", "attention"):
            assert work(out, arm, seed, "cpu") == 0
    return out


def test_a_run_is_scored_at_every_snapshot_and_keeps_its_averaged_networks(small):
    run = Run(run_folder(small, "attention", 1))
    scores = [json.loads(line) for line in (run.path / "scores.jsonl").read_text().splitlines()]
    assert [(r["images"], r["num"]) for r in scores] == [(32, 60), (64, 60), (64, 120)]
    assert all(r["metric"] == "fd:pixel" and r["value"] > 0 for r in scores)
    first, last = run.checkpoint_paths()
    assert {p.name for p in first.iterdir()} == {"ema.safetensors", "manifest.json"}
    assert (last / "discriminator.safetensors").is_file()
    for path in (first, last):
        assert load_run_generator(path).facts.weights == "ema"
    assert json.loads((run.path / "cost.jsonl").read_text())["images"] == 64


def test_a_finished_run_is_not_trained_or_scored_again(small):
    folder = run_folder(small, "none", 0)
    before = (folder / "scores.jsonl").read_bytes(), (folder / "latest").read_bytes()
    assert work(small, "none", 0, "cpu") == 0
    assert ((folder / "scores.jsonl").read_bytes(), (folder / "latest").read_bytes()) == before


def test_runs_are_trained_as_planned_whatever_presets_become(small):
    plan, config = read_plan(small), Run(run_folder(small, "attention", 1)).config()
    assert config == plan.run_config("attention", 1)
    changed = replace(plan, configs=json.loads(json.dumps(plan.configs)))
    changed.configs["none"]["data"]["fingerprint"] = "0" * 64
    other = small.parent / "other"
    changed.write(other)
    with pytest.raises(ValueError, match="digits has changed since the plan was made"):
        work(other, "none", 0, "cpu")
    assert not (run_folder(other, "none", 0) / "config.json").exists()


def test_the_report_stands_alone(small):
    said = report_on(small, read_plan(small), failed={("none", 3): "out of memory"})
    assert said.startswith("Too few seeds for a verdict")
    page = (small / "report.html").read_text()
    assert said.split(":")[0] in page
    assert "src=" in page
    assert 'src="data:image/png;base64,' in page
    assert "http" not in page.replace("http-equiv", "")
    text = (small / "report.md").read_text()
    for heading in ("What came out", "When", "Is it attention?", "What it costs", "What failed"):
        assert f"## {heading}" in text
    assert "- none-3: out of memory" in text
    for name in ("curves-fd-pixel", "pairs", "differences", "samples-none", "attention-attention"):
        assert (small / "figures" / f"{name}.png").is_file()
        assert f"figures/{name}.png" in text
    results = json.loads((small / "results.json").read_text())
    assert results["verdict"] == said
    checks = results["checks"]["attention-0"]
    assert set(checks["changed"]) == {"as trained", "gamma 0", "uniform maps"}
    lines = (run_folder(small, "attention", 0) / "scores.jsonl").read_text().splitlines()
    assert checks["changed"]["as trained"] == json.loads(lines[1])["value"]
    assert results["checks"]["none-0"] == {"gamma": {}}
