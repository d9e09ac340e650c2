"""The benchmarks: what is timed, in which order, and what is reported."""

import itertools
import json

import pytest
import torch
from command_line import sagan

from sagan.bench import Candidate, Comparison, compare, environment, harness, run_case, table
from sagan.bench.cases import CASES
from sagan.bench.child import peak_of_child
from sagan.bench.memory import peak_bytes


@pytest.fixture
def clock(monkeypatch):
    """A clock that only candidates advance; a matrix product runs at 100 FLOP/s."""
    now = [0.0]
    monkeypatch.setattr(harness.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(harness.time, "process_time", lambda: now[0] / 2)
    monkeypatch.setattr(harness, "measure_flop_per_sec", lambda device, seconds, precision: 100.0)
    return now


def lasting(clock, log, name, durations):
    durations = itertools.cycle(durations)

    def call():
        log.append(name)
        clock[0] += next(durations)

    return Candidate(name=name, prepare=lambda: call)


def test_candidates_take_turns_after_one_to_warm_up(clock):
    log = []
    candidates = [lasting(clock, log, name, [1.0]) for name in "abc"]
    compare(Comparison(label="x", candidates=candidates), rounds=3, scale="tiny")
    assert "".join(log) == "abc" + "abc" + "bca" + "cab"


def test_medians_quartiles_and_ratios_are_those_by_hand(clock):
    # the first duration is the warm-up's and counts nowhere
    slow = lasting(clock, [], "slow", [99.0, 2.0, 4.0, 12.0])
    fast = lasting(clock, [], "fast", [77.0, 1.0, 1.0, 2.0])
    work = Comparison(label="x", candidates=[slow, fast], items=8, flop=50)
    first, second = compare(work, rounds=3, scale="tiny")["candidates"]
    assert (first["median_sec"], first["quartiles_sec"], first["speedup"]) == (4.0, [3.0, 8.0], 1.0)
    assert (second["median_sec"], second["speedup"]) == (1.0, 4.0)  # of 2, 4 and 6
    assert second["speedup_quartiles"] == [3.0, 5.0]
    assert (first["cpu_sec"], second["cpu_sec"], second["cpu_speedup"]) == (2.0, 0.5, 4.0)
    assert (first["items_per_sec"], second["items_per_sec"]) == (2.0, 8.0)
    assert (first["mfu"], second["mfu"]) == (0.125, 0.5)


def test_short_calls_are_repeated_until_a_turn_is_long_enough(clock):
    log = []
    short = lasting(clock, log, "short", [0.01])
    result = compare(Comparison(label="x", candidates=[short]), rounds=2, scale="full")
    assert len(log) == 2 + 2 * 20  # 0.2 s a turn
    assert result["candidates"][0]["median_sec"] == pytest.approx(0.01)


def test_the_environment_says_what_was_measured_on():
    facts = environment()
    assert facts["torch"] == torch.__version__
    assert facts["threads"] == torch.get_num_threads()
    assert facts["cpu"]
    assert json.loads(json.dumps(facts)) == facts


@pytest.mark.slow
@pytest.mark.skipif(peak_bytes() is None, reason="the system does not tell")
def test_peak_memory_is_that_of_the_candidate_alone(monkeypatch):
    """A child that inherits this process's size, or runs another candidate, would give more."""
    ballast = torch.ones(200_000_000)  # 800 MB here
    (comparison,) = CASES["attention"]("tiny")
    (result,) = run_case("attention", lambda scale: [comparison], rounds=1, scale="tiny")
    peaks = [c["peak_bytes"] for c in result["candidates"]]
    assert peak_bytes() > ballast.nbytes
    assert all(50e6 < peak < ballast.nbytes for peak in peaks)


@pytest.mark.slow
def test_a_candidate_that_fails_in_its_own_process_is_one_line():
    with pytest.raises(ChildProcessError, match="nonsense failed in its own process: ValueError"):
        peak_of_child("attention", "4x4 paper C=8 b=2", "nonsense", "tiny", 1)


LONGER = "data", "opening", "sampling", "scaling"  # of seconds
BUILT = "device", "step"  # whose large networks are built to count their work


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] * (n in LONGER)) for n in CASES]
)
def test_each_case_runs_at_tiny_size(name):
    comparisons = CASES[name]("tiny")
    assert len({c.label for c in comparisons}) == len(comparisons)
    for comparison in comparisons:
        assert len({c.name for c in comparison.candidates}) == len(comparison.candidates)
        text = table(compare(comparison, rounds=1, scale="tiny"))
        assert text.count("\n") == len(comparison.candidates)


@pytest.mark.parametrize(
    ("name", "scale"),
    [
        pytest.param(n, s, marks=[pytest.mark.slow] * (s == "full" and n in BUILT))
        for n in CASES
        for s in ("quick", "full")
    ],
)
def test_labels_are_unique_at_every_scale(name, scale):
    labels = [c.label for c in CASES[name](scale)]
    assert len(set(labels)) == len(labels) > 0


def test_the_command_prints_json_and_writes_a_file_a_case(tmp_path, monkeypatch, capsys):
    calls = []

    def case(scale):
        calls.append(scale)
        return [
            Comparison(
                label="x",
                candidates=[Candidate(name=n, prepare=lambda: lambda: None) for n in "ab"],
                items=1,
            )
        ]

    monkeypatch.setattr("sagan.bench.cases.CASES", {"one": case, "two": case})
    assert sagan("bench", "two", "--quick", "--threads", "1", "--out", tmp_path / "new") == 0
    said = capsys.readouterr()
    printed = json.loads(said.out)
    assert calls == ["quick"]
    assert list(printed["cases"]) == ["two"]
    assert printed["environment"]["threads"] == 1
    assert "x  (matrix product" in said.err
    (path,) = (tmp_path / "new").iterdir()
    assert path.name.startswith("two-2")
    assert path.name.endswith("-1t.json")
    assert json.loads(path.read_text())["comparisons"] == printed["cases"]["two"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["nonsense"], "unknown case 'nonsense'; choose from attention"),
        (["--rounds", "0"], "--rounds must be at least 1, not 0"),
        (["--threads", "-1"], "--threads must be 0 or more, not -1"),
        (["--out", __file__], "is a file, not a folder"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(options, said, capsys):
    assert sagan("bench", *options) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
