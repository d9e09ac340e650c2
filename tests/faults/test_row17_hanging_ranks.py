"""Row 17: a rank that hangs is named after the time-out, and all end."""

import os
import signal
import sys
import threading
import time

import pytest
from command_line import sagan
from faults.rank_processes import alive, child_of, trained, two, until

from sagan.training import ranks
from sagan.training.ranks import Children, Pulse

pytestmark = [
    pytest.mark.fault(17),
    pytest.mark.skipif(sys.platform != "linux", reason="finds the other process in /proc"),
]


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_stopped_process_is_named_and_all_end(tmp_path, rank):
    with two(tmp_path, "--log-every", 64, "--timeout", "5s") as (main, found):
        found.append(child_of(main))
        trained(tmp_path, main, 2)
        os.kill((main.pid, found[0])[rank], signal.SIGSTOP)
        began = time.monotonic()
        _, said = main.communicate(timeout=120)
        assert 4 < time.monotonic() - began < 60
        assert f"process {rank} of 2 has not answered for 5 s (--timeout), last at step" in said
        assert said.count("sagan: ") == 1
        assert "Traceback" not in said
        assert main.returncode == (1 if rank else -signal.SIGKILL)
        until(lambda: not alive(found[0]))


@pytest.fixture
def ended(monkeypatch):
    said = []

    def end(line, processes=(), parent=0):
        said.append((threading.current_thread().name, line))  # and the thread ends

    monkeypatch.setattr(ranks, "_end_all", end)
    return said


def pulses(folder, number, timeout_sec=1.0):
    return [
        Pulse(folder, rank, number, timeout_sec=timeout_sec, children=Children())
        for rank in range(number)
    ]


def test_one_that_stands_still_alone_may_if_it_is_busy(tmp_path, ended):
    first, second = pulses(tmp_path, 2)
    first._children.busy = True
    with first.beating(), second.beating():
        time.sleep(2.5)
        first._children.busy = False  # that time does not count
        time.sleep(0.6)
    assert ended == []
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_all_that_stand_still_end(tmp_path, ended):
    first, second = pulses(tmp_path, 2)
    with first.beating(), second.beating():
        for step in range(5):
            first.step = second.step = step
            time.sleep(0.3)
        assert ended == []
        time.sleep(2.5)
    lines = sorted(line for _, line in ended)
    assert len(lines) == 2
    assert "no process has taken a step for 1 s (--timeout), last at step 4" in lines[1]


def test_the_first_that_answers_speaks(tmp_path, ended):
    first, second, third = pulses(tmp_path, 3)
    with second.beating(), third.beating():
        for step in range(10):
            second.step = third.step = step
            time.sleep(0.3)
    assert not first._thread.is_alive()
    lines = sorted(line for _, line in ended)
    assert lines[0] == ""
    assert "process 0 of 3 has not answered for 1 s (--timeout)" in lines[1]


@pytest.mark.parametrize("text", ["0s", "soon", "10", "0.1s"])
def test_a_senseless_time_out_is_refused(text, tmp_path, capfd):
    assert sagan("train", tmp_path / "run", "--timeout", text) == 2
    assert not (tmp_path / "run").exists()
