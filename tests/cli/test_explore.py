"""`sagan explore`: what it refuses, how fast it answers, and how it ends."""

import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest
from attention_run import NETWORK, STEPS, make_run

from sagan.cli import app, run_safely
from sagan.config import NetworkConfig, RunConfig
from sagan.runs.run import Run

DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def explore(*arguments):
    """Run the command in this process and give its exit code."""
    call = ["explore", *map(str, arguments)]
    return run_safely(lambda: app(call, exit_on_error=False, print_error=False))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("explore") / "run")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["nowhere"], "does not exist"),
        (["."], "is not a run folder"),
        (["RUN", "--port", "65536"], "--port must be from 0 to 65535"),
        (["RUN", "--port", "-1"], "--port must be from 0 to 65535"),
        (["RUN", "--token", "short"], "--token must be at least 16"),
        (["RUN", "--token", "sixteen characters?"], "--token must be at least 16"),
        (["RUN", "--token", "é" * 20], "--token must be at least 16"),
        (["RUN", "--host", "192.0.2.1"], "is not an address of this machine"),
        (["RUN", "--host", "no such host"], "is not an address of this machine"),
    ],
)
def test_bad_input_is_one_line(run, tmp_path, monkeypatch, capfd, options, said):
    monkeypatch.chdir(tmp_path)
    assert explore(*[run if o == "RUN" else o for o in options], "--no-open") == 2
    out, err = capfd.readouterr()
    assert said in err
    assert err.count("\n") == 1
    assert out == ""


def test_a_run_without_attention_is_refused_before_torch_is_there(tmp_path, capfd):
    Run(tmp_path).write_config(RunConfig(network=NetworkConfig()))
    assert explore(tmp_path, "--no-open") == 2
    assert "without attention" in capfd.readouterr().err


def test_a_port_in_use_is_one_line(run, capfd):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert explore(run, "--port", port, "--no-open") == 1
    err = capfd.readouterr().err
    assert f"port {port} of 127.0.0.1: address already in use; try --port 0" in err
    assert err.count("\n") == 1


def test_a_damaged_checkpoint_ends_it_with_one_line(run, tmp_path, monkeypatch, capfd):
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    shutil.copytree(run, tmp_path / "run")
    for file in (tmp_path / "run").rglob("ema.safetensors"):  # else another would be shown
        file.write_bytes(file.read_bytes()[:-1])
    before = signal.getsignal(signal.SIGTERM)
    assert explore(tmp_path / "run", "--port", "0", "--token", "t" * 16) == 1
    assert signal.getsignal(signal.SIGTERM) == before
    address, reason = capfd.readouterr().err.splitlines()
    assert "ema.safetensors is damaged" in reason
    assert re.match(r"http://127.0.0.1:\d+/#token=t{16} shows ", address)
    assert opened == [address.split()[0]]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_answers_at_once_and_ends_when_told(run, number):
    """The page is there before torch; 1 s on a quiet machine, where the model takes under 5."""
    command = [sys.executable, "-m", "sagan", "explore", str(run), "--port", "0", "--no-open"]
    began = time.monotonic()
    program = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    address = program.stderr.readline().split()[0]
    with DIRECT.open(address) as answer:
        assert b"Where attention looks" in answer.read()
    page_sec = time.monotonic() - began
    if number == signal.SIGINT:  # the other one is stopped while torch loads
        deadline = time.monotonic() + 60
        while not (facts := fetch(f"{address}api/run"))["ready"]:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert page_sec < time.monotonic() - began
        assert facts["resolution"] == NETWORK.resolution
        wanted = {"step": STEPS[0], "seed": 1, "label": 0}
        assert len(fetch(f"{address}api/image", wanted)) > 1000
        with pytest.raises(urllib.error.HTTPError, match="422"):
            fetch(f"{address}api/image", {**wanted, "label": 9})
    program.send_signal(number)
    _, err = program.communicate(timeout=30)
    assert program.returncode == 128 + number
    assert err == ""
    assert page_sec < 10


def fetch(url, wanted=None):
    headers = {"Content-Type": "application/json"}
    body = None if wanted is None else json.dumps(wanted).encode()
    with DIRECT.open(urllib.request.Request(url, body, headers)) as answer:
        content = answer.read()
    return content if body else json.loads(content)
