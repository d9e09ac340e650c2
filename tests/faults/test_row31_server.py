"""Row 31: the page's server under attack, as a process of its own with real connections.

What it refuses by content (foreign hosts, null origins, traversal, huge bodies, wrong values, a
hundred in the queue) is in tests/explain/live/test_server.py, of the same row.
"""

import logging
import os
import resource
import socket
import subprocess
import sys
import time
from contextlib import suppress

import httpx
import pytest

from sagan.explain.live.door import MAX_HEADER_SEC, ErrorRate, door

pytestmark = pytest.mark.fault(31)
SERVER = """
import sys
from sagan.explain.live import server
from sagan.explain.page import assemble

class Stub:
    def facts(self): return {"about": "stub"}
    def render(self, request): return b"made"

queue = server.RenderQueue()
queue.open(Stub())
app = server.make_app(queue, assemble({"mode": "live"}, title="run"), server.Gate("127.0.0.1"))
listening = server.open_socket("127.0.0.1", 0)
print(listening.getsockname()[1], flush=True)
server.serve(app, listening, started=lambda stop: None)
"""


class Serving:
    """A running server."""

    def __init__(self, folder, files, program=SERVER):
        limit = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
        self.said = folder / "said"
        with open(self.said, "wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=file,
                preexec_fn=limit,
            )  # fmt: skip
        self.port = int(self.process.stdout.readline())

    def connect(self, sent=b""):
        client = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        client.sendall(sent)
        return client

    def get(self, path="/api/run"):
        return httpx.get(f"http://127.0.0.1:{self.port}{path}", timeout=20, trust_env=False)

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))


@pytest.fixture
def serving(tmp_path, request):
    if sys.platform != "linux":
        pytest.skip("counts descriptors in /proc")
    server = Serving(tmp_path, getattr(request, "param", 1024))
    yield server
    server.close()


HALF_OPEN = {
    "nothing": b"",
    "half a header": b"POST /api/image HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: ",
    "half a body": b"POST /api/image HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99\r\n\r\n{",
}


@pytest.mark.parametrize(
    "serving", [pytest.param(1024, marks=pytest.mark.slow), 128], indirect=True
)
def test_a_visitor_is_answered_beside_300_half_open_requests(serving):
    assert serving.get().status_code == 200
    crowd = []
    for sent in HALF_OPEN.values():
        crowd += [serving.connect(sent) for _ in range(100)]
    began = time.monotonic()
    for _ in range(5):
        assert serving.get().status_code == 200
        assert serving.get("/").status_code == 200
    assert time.monotonic() - began < 10
    assert serving.descriptors() < 128
    assert serving.said.stat().st_size < 5_000
    for client in crowd:
        client.close()


def test_a_header_that_does_not_come_ends_the_connection(serving):
    clients = [serving.connect(HALF_OPEN[name]) for name in ("nothing", "half a header")]
    kept = serving.connect(b"GET /api/run HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    answer = b""
    while not answer.endswith(b"}"):
        answer += kept.recv(4096)
    assert b"200 OK" in answer
    kept.sendall(b"GET /api/run HT")  # and again, on the same connection
    began = time.monotonic()
    for client in (*clients, kept):
        client.settimeout(MAX_HEADER_SEC + 10)
        with suppress(ConnectionResetError):
            assert client.recv(4096) == b""
        client.close()
    assert time.monotonic() - began < MAX_HEADER_SEC + 10


HASTY = SERVER.replace('b"made"', "bytes(32 << 20)").replace(
    "queue =", "import sagan.explain.live.door as door\ndoor.MAX_HEADER_SEC = 0.5\nqueue ="
)
REQUEST = b'{"step": 1, "seed": 1}'
HEADER = (
    f"POST /api/image HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(REQUEST)}\r\n"
    "Content-Type: application/json\r\n\r\n"
)


@pytest.fixture
def hasty(tmp_path):
    server = Serving(tmp_path, 1024, HASTY)
    yield server
    server.close()


def test_an_answer_may_take_longer_to_read_than_a_request_to_come(hasty):
    with hasty.connect(HEADER.encode() + REQUEST) as client:
        read = len(client.recv(4096))
        time.sleep(1.5)  # three times as long as a header may take
        while part := client.recv(1 << 20):
            read += len(part)
            if read > 32 << 20:
                break
    assert read > 32 << 20


def test_a_connection_in_use_stays(hasty):
    with hasty.connect() as client:
        for _ in range(6):
            client.sendall(b"GET /api/run HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            answer = b""
            while not answer.endswith(b"}"):
                part = client.recv(4096)
                assert part, "the server has closed the connection"
                answer += part
            time.sleep(0.3)


def test_nonsense_is_not_written_down_each_time(serving):
    for _ in range(200):
        with serving.connect(b"nonsense\r\n\r\n") as client:
            client.recv(4096)
    assert serving.get().status_code == 200
    said = serving.said.read_text()
    assert said.count("Invalid HTTP request") <= 5
    assert said.count("are left out") == 1


def test_there_are_places_for_visitors_however_few_descriptors():
    assert door(None).most == door(10_000).most == 64
    assert 4 <= door(128).most < 64
    assert door(10).most == 4


def test_errors_are_said_again_a_minute_later(capsys):
    now = [0.0]
    rate = ErrorRate(lambda: now[0])
    record = logging.makeLogRecord({"msg": "x"})
    assert [rate.filter(record) for _ in range(7)] == [True] * 5 + [False] * 2
    now[0] = 61.0
    assert rate.filter(record)
    rate.handle(None, {"message": "no more", "exception": OSError("descriptors")})
    said = capsys.readouterr().err
    assert said.count("left out") == 1
    assert "sagan: the page's server: no more: descriptors" in said
