"""Row 32: no connection leaves the machine, and none is tried.

The programs run in a network namespace of their own, which has only a loopback, under strace, which
sees each connect and each packet that names an address.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.fault(32)]
PROGRAM = Path(__file__).with_name("every_command.py")
CALLS = "connect,sendto,sendmsg,sendmmsg"
ADDRESS = re.compile(r"(?:sin_addr=inet_addr\(|inet_pton\(AF_INET6, )\"([^\"]+)\"")
HERE = re.compile(r"127\.|::1$|::ffff:127\.|0\.0\.0\.0$|::$")


def missing():
    if not shutil.which("strace"):
        return "no strace"
    if not shutil.which("unshare") or not shutil.which("ip"):
        return "no unshare or no ip"
    can = subprocess.run(["unshare", "-n", "strace", "-f", "true"], capture_output=True)
    return "" if can.returncode == 0 else "no right to a network namespace, or to trace"


def addresses(folder, *command, timeout=500):
    """The addresses that a program has tried to reach, and how it ended."""
    trace = folder / "trace"
    traced = ["strace", "-f", "--seccomp-bpf", "-qq", "-e", f"trace={CALLS}", "-o", str(trace)]
    inside = ["unshare", "-n", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", *traced]
    done = subprocess.run(
        [*inside, *command], capture_output=True, text=True, timeout=timeout, cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", "SAGAN_CACHE": str(folder / "cache")},
    )  # fmt: skip
    found = set(ADDRESS.findall(trace.read_text()))
    return {address for address in found if not HERE.match(address)}, found, done


def resolvers():
    """The addresses of this machine's name servers."""
    return set(re.findall(r"^nameserver (\S+)", Path("/etc/resolv.conf").read_text(), re.MULTILINE))


@pytest.fixture(autouse=True)
def can_see():
    if why := missing():
        pytest.skip(why)


CONTROL = """
import socket
for kind, address in ((socket.SOCK_STREAM, "192.0.2.1"), (socket.SOCK_DGRAM, "192.0.2.2")):
    with socket.socket(socket.AF_INET, kind) as s:
        try: s.connect((address, 80))
        except OSError: pass
try: socket.getaddrinfo("example.org", 80)
except OSError: pass
"""


def test_a_program_that_tries_is_seen(tmp_path):
    outside, _, done = addresses(tmp_path, sys.executable, "-S", "-c", CONTROL)
    assert done.returncode == 0, done.stderr
    assert {"192.0.2.1", "192.0.2.2"} <= outside


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_no_command_reaches_out(tmp_path, processes, counted):
    outside, found, done = addresses(tmp_path, sys.executable, str(PROGRAM), str(processes))
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["train", "sample", "evaluate", "explain", "export", "explore"]
    if processes > 1:  # PyTorch asks the resolver for the name of 127.0.0.1
        outside -= resolvers()
    commands = len(done.stdout.split())
    tried = {"addresses outside that they tried": len(outside)}
    counted({"commands in a network namespace": commands, **tried})
    assert outside == set()
    assert found  # the page was asked for, so the trace sees connections


def test_the_libraries_send_no_statistics():
    program = (
        "import sagan, os; from huggingface_hub import constants as c; "
        "print(c.HF_HUB_DISABLE_TELEMETRY, os.environ['DO_NOT_TRACK'])"
    )
    env = {k: v for k, v in os.environ.items() if "TELEMETRY" not in k and k != "DO_NOT_TRACK"}
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True)
    assert done.stdout.split() == ["True", "1"], done.stderr
