"""Row 16: a rank that is killed ends all at once, in one line; none outlives its parent."""

import os
import signal
import subprocess
import sys
import time

import pytest
from digits_run import fingerprint
from faults.rank_processes import alive, child_of, command, trained, two, until

from sagan.training.ranks import Children

pytestmark = [
    pytest.mark.fault(16),
    pytest.mark.skipif(sys.platform != "linux", reason="finds the other process in /proc"),
]


def test_the_child_that_a_signal_ended_is_named_first():
    children = Children()
    codes = ["0", "1", "-9"]
    program = "import os, sys; n = int(sys.argv[1]); os.kill(os.getpid(), -n) if n < 0 else exit(n)"
    children._processes = [
        subprocess.Popen([sys.executable, "-S", "-c", program, code]) for code in codes
    ]
    for process in children._processes:
        process.wait()
    assert children.lost() == "process 3 of 4 was ended by SIGKILL"


@pytest.mark.slow
def test_the_survivor_ends_at_once_with_one_line_and_the_run_goes_on_exactly(tmp_path):
    with two(tmp_path / "broken", "--log-every", 64, "--snapshot-every", 128) as (main, found):
        found.append(child_of(main))
        trained(tmp_path / "broken", main, 4)
        os.kill(found[0], signal.SIGKILL)
        began = time.monotonic()
        _, said = main.communicate(timeout=60)
        assert time.monotonic() - began < 20
    assert main.returncode == 1
    assert "Traceback" not in said
    (line,) = [line for line in said.splitlines() if line.startswith("sagan: ")]
    assert line.startswith("sagan: process 1 of 2 was ended by SIGKILL; the last checkpoint stands")
    images = 32 * (int(latest(tmp_path / "broken")) + 2)
    cut_to_images(tmp_path / "broken", images)
    options = ["--devices", "2", "--images", images, "--log-every", 64, "--snapshot-every", 128]
    for path in ("broken", "unbroken"):
        subprocess.run(command(tmp_path / path, *options), check=True, timeout=240)
    assert fingerprint(tmp_path / "broken") == fingerprint(tmp_path / "unbroken")


def latest(path):
    return (path / "latest").read_text().strip().removeprefix("step-")


def cut_to_images(path, images):
    """Let a run that was to be endless end soon."""
    import json

    from sagan.files import hashed_json

    for file in (path / "config.json", *path.glob("checkpoints/*/manifest.json")):
        content = json.loads(file.read_text())
        config = content.get("config", content)
        config["training"]["images"] = images
        manifest = file.name == "manifest.json"
        file.write_bytes(hashed_json(content) if manifest else json.dumps(content).encode())


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["starting", "running"])
def test_kill_9_of_the_parent_ends_the_others_in_seconds(tmp_path, phase):
    with two(tmp_path, "--log-every", 64) as (main, found):
        found.append(child_of(main))
        if phase == "running":
            trained(tmp_path, main)
        main.kill()
        main.wait()
        began = time.monotonic()
        until(lambda: not alive(found[0]))
        # one that is starting looks once Python itself has started
        assert time.monotonic() - began < (20 if phase == "starting" else 5)


@pytest.mark.slow
def test_killed_while_starting_it_is_named(tmp_path):
    with two(tmp_path) as (main, found):
        found.append(child_of(main))
        os.kill(found[0], signal.SIGKILL)
        _, said = main.communicate(timeout=60)
    assert main.returncode == 1
    assert "process 1 of 2 was ended by SIGKILL" in said
    assert "Traceback" not in said


def test_what_a_killed_process_had_started_to_train_beside_it_ends(tmp_path):
    child = "import sagan, time; print('on', flush=True); time.sleep(120)"
    parent = (
        "import os, subprocess, sys, time\n"
        "os.environ['SAGAN_PARENT'] = str(os.getpid())\n"
        f"started = subprocess.Popen([sys.executable, '-c', {child!r}], stdout=subprocess.PIPE)\n"
        "started.stdout.readline()\n"
        "print(started.pid, flush=True)\n"
        "time.sleep(120)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True)
    pid = int(process.stdout.readline())
    process.kill()
    process.communicate()
    began = time.monotonic()
    until(lambda: not alive(pid))
    assert time.monotonic() - began < 5


def test_a_process_whose_parent_has_ended_before_ends(tmp_path):
    """Not even the first moments are left out: the parent may end before the child looks."""
    program = "import sagan; print('on')"
    env = {**os.environ, "SAGAN_PARENT": "1"}
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, timeout=60)
    assert (done.returncode, done.stdout) == (1, b"")
