"""Two processes that train together, for the tests that stop, kill or starve one."""

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

OPTIONS = ["--g-width", "4", "--d-width", "8", "--batch-size", "32", "--device", "cpu"]
WAIT_SEC = 240


def command(path, *options):
    return [sys.executable, "-m", "sagan", "train", str(path), *OPTIONS, *map(str, options)]


@contextmanager
def two(path, *options, images=10_000_000):
    """Rank 0, which starts rank 1; both are gone at the end."""
    args = command(path, "--images", images, "--devices", 2, *options)
    main = subprocess.Popen(args, stderr=subprocess.PIPE, text=True)
    found = []
    try:
        yield main, found
    finally:
        main.kill()
        for pid in found:
            if alive(pid):
                os.kill(pid, signal.SIGKILL)
        main.wait()
        main.stderr.close()


def child_of(process):
    """The process id of rank 1, as soon as it has been started."""
    file = Path(f"/proc/{process.pid}/task/{process.pid}/children")

    def started():
        assert process.poll() is None, process.stderr.read()
        return file.read_text().split()

    (pid,) = until(started)
    return int(pid)


def trained(path, process, records=1):
    """Wait until so many log records are there."""
    log = Path(path) / "log.jsonl"

    def logged():
        assert process.poll() is None, process.stderr.read()
        return log.exists() and log.read_text().count('"kind": "train"') >= records

    until(logged)


def until(happened):
    end = time.monotonic() + WAIT_SEC
    while not (found := happened()):
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)
    return found


def alive(pid):
    """Whether a process is there and has not ended."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"
