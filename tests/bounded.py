"""The program under limits of memory and time, forked from one process that has torch loaded.

    with ForkServer() as server:
        ended = server.sagan("sample", file, "--num", 1, "--out", "x.png")

A start of Python with torch takes two seconds and a fork a few milliseconds, so that hundreds of
hostile files can be tried, each in a process of its own that may be killed.
"""

import json
import os
import resource
import select
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

PROMPT = "ready"


class Ended(NamedTuple):
    """How a command ended."""

    code: int  # the exit code; minus the signal that killed it
    said: str  # on stderr
    grown_mb: float  # its peak of memory, above what the program takes before it opens anything
    seconds: float


class ForkServer:
    """Runs commands one after another, each in a fork of one warm process."""

    def __init__(self, *, preload=()):
        command = [sys.executable, __file__, *preload]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout.readline().strip() == PROMPT

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(timeout=60)
        self.process.stdout.close()

    def sagan(self, *arguments, room_mb=600, seconds=30, kill_after=None, **limits):
        """Run a command; `limits` are those of `resource` by name, as FSIZE=1000."""
        # `kill_after` seconds it is killed with SIGKILL, if it has not ended
        with tempfile.TemporaryDirectory() as folder:
            order = {
                "arguments": [str(a) for a in arguments],
                "room_mb": room_mb,
                "seconds": seconds,
                "kill_after": kill_after,
                "limits": limits,
                "stderr": str(Path(folder) / "stderr"),
                "cwd": os.getcwd(),
            }
            Path(order["stderr"]).touch()  # it may be killed before it says anything
            self.process.stdin.write(json.dumps(order) + "\n")
            self.process.stdin.flush()
            ended = json.loads(self.process.stdout.readline())
            said = Path(order["stderr"]).read_text(errors="replace")
        return Ended(ended["code"], said, ended["grown_mb"], ended["seconds"])


def one_line(said):
    """The last line that an expected failure prints, and nothing like a traceback."""
    assert "Traceback" not in said, said
    lines = said.strip().splitlines()
    assert lines, "nothing was said"
    assert lines[-1].startswith("sagan: "), said
    return lines[-1]


def _status(name):
    """A line of this process's status, in MB."""
    text = Path("/proc/self/status").read_text()
    return int(next(line for line in text.splitlines() if line.startswith(name)).split()[1]) / 1024


def _child(order):
    before = _status("VmRSS:")
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    os.dup2(os.open(order["stderr"], os.O_WRONLY | os.O_CREAT), 2)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.chdir(order["cwd"])
    limit = int((_status("VmSize:") + order["room_mb"]) * 2**20)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    for name, value in order["limits"].items():
        number = getattr(resource, f"RLIMIT_{name}")
        resource.setrlimit(number, (value, resource.getrlimit(number)[1]))
    signal.alarm(order["seconds"])
    from command_line import sagan

    code = sagan(*order["arguments"])
    return code, _status("VmHWM:") - before


def _serve():
    import torch

    import sagan.cli
    import sagan.exchange.open_exported
    import sagan.training.start  # noqa: F401

    torch.set_num_threads(1)
    for module in sys.argv[1:]:
        __import__(module)
    print(PROMPT, flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        start = time.monotonic()
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            code, grown = 99, -1.0
            try:
                code, grown = _child(order)
            except BaseException:
                import traceback

                traceback.print_exc()
            os.write(writing, json.dumps(grown).encode())
            sys.stderr.flush()
            os._exit(code)
        os.close(writing)
        if order["kill_after"] is not None:
            select.select([reading], [], [], order["kill_after"])  # readable once it ends
            os.kill(pid, signal.SIGKILL)  # it has not been waited for
        with os.fdopen(reading) as pipe:
            grown = pipe.read()
        _, status = os.waitpid(pid, 0)
        ended = {
            "code": os.waitstatus_to_exitcode(status),
            "grown_mb": json.loads(grown or "-1"),
            "seconds": round(time.monotonic() - start, 2),
        }
        print(json.dumps(ended), flush=True)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    _serve()
