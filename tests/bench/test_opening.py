"""The first image's benchmark: what is run in which process, and whose time is counted."""

import sys

import pytest

from sagan.bench import Candidate, Comparison, compare, opening
from sagan.bench.child import output_of


def test_each_way_to_the_first_image_is_a_process_of_its_own(monkeypatch):
    calls = []
    monkeypatch.setattr(opening, "output_of", lambda command, *_, **__: calls.append(command[1:]))

    def refuse(*_):
        raise ValueError("ONNX needs packages that are not installed")

    monkeypatch.setattr(opening, "export_onnx", refuse)
    (comparison,) = opening.opening_case("quick")
    result = compare(comparison, rounds=1, scale="tiny")
    torch, run, file, onnx, command = result["candidates"]
    assert onnx == {"name": "ONNX file", "skipped": "ONNX needs packages that are not installed"}
    assert all("median_sec" in c for c in (torch, run, file, command))
    bare, from_run, from_file, by_command = {tuple(call): call for call in calls}.values()
    assert bare == ["-c", "import torch"]
    assert "sagan.load" in from_run[1]
    assert "sagan.load" in from_file[1]
    assert from_file[2] == f"{from_run[2]}/model.safetensors"
    assert by_command[:4] == ["-m", "sagan", "sample", from_run[2]]


def test_the_processor_time_of_a_candidates_processes_is_its_own():
    """Waiting for a process costs this one nothing; the work is still the candidate's."""
    work = "for _ in range(3_000_000): pass"
    command = [sys.executable, "-I", "-S", "-c", work]
    candidate = Candidate(name="child", prepare=lambda: lambda: output_of(command, "the work"))
    (found,) = compare(Comparison(label="x", candidates=[candidate]), rounds=1, scale="tiny")[
        "candidates"
    ]
    assert found["cpu_sec"] > 0.03


def test_a_program_that_fails_is_told_by_its_last_line():
    command = [sys.executable, "-I", "-S", "-c", "import sys; sys.exit('one\\ntwo')"]
    with pytest.raises(ChildProcessError, match="the work failed in its own process: two"):
        output_of(command, "the work")
    environment = {"SAGAN_TEST": "set"}
    command[-1] = "import os; print(os.environ['SAGAN_TEST'], len(os.environ) > 1)"
    assert output_of(command, "the work", environment=environment) == "set True\n"
