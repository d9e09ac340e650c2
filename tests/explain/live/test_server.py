"""The live page's server: who is let in, what is refused, and that it stays small under load."""

import asyncio
import json
import threading

import httpx
import pytest
from attention_run import STEPS, make_run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from sagan.explain.live import server
from sagan.explain.live.server import MAX_WAITING, Gate, RenderQueue, make_app
from sagan.explain.live.studio import Studio
from sagan.explain.page import assemble

pytestmark = pytest.mark.fault(31)
HERE = "http://127.0.0.1:8377"
WANTED = {"step": STEPS[-1], "seed": 7, "label": 2}
PAGE = assemble({"mode": "live"}, title="run")


class Stub:
    """Stands in for the model: records requests, and answers once it may go."""

    def __init__(self):
        self.may_go = threading.Event()
        self.may_go.set()
        self.asked = []

    def facts(self):
        return {"about": "stub"}

    def render(self, request):
        self.asked.append(request)
        assert self.may_go.wait(25)
        return b"made"


LOOPBACK = Gate("127.0.0.1")


def app_of(renderer, gate=LOOPBACK):
    queue = RenderQueue()
    if renderer is not None:
        queue.open(renderer)
    return make_app(queue, PAGE, gate)


def client_of(renderer, gate=LOOPBACK):
    return TestClient(app_of(renderer, gate), base_url=HERE)


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    """A client of a server with a real run."""
    return client_of(Studio(make_run(tmp_path_factory.mktemp("server") / "run")))


def test_the_page_comes_with_its_policy(live):
    answer = live.get("/")
    assert answer.status_code == 200
    assert answer.text == PAGE.html
    policy = answer.headers["content-security-policy"]
    for part in ("default-src 'none'", "frame-ancestors 'none'", "connect-src 'self'", "sha256-"):
        assert part in policy
    assert "unsafe" not in policy
    assert "*" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"


def test_an_image_is_one_binary_answer(live):
    answer = live.post("/api/image", json=WANTED)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/octet-stream"
    length = int.from_bytes(answer.content[:4], "little")
    header = json.loads(answer.content[4 : 4 + length])
    assert [layer["network"] for layer in header["layers"]] == ["G", "G", "D"]
    assert header["change"] is None


@pytest.mark.parametrize("error", [RuntimeError("CUDA out of\nmemory"), OSError(5, "I/O")])
def test_an_image_that_the_machine_cannot_make_is_refused_in_words(error):
    class Fails(Stub):
        def render(self, request):
            raise error

    answer = client_of(Fails()).post("/api/image", json=WANTED)
    assert answer.status_code == 500
    assert answer.json() == {"error": " ".join(str(error).split())}
    assert "content-security-policy" in answer.headers


def test_a_change_comes_with_its_number_and_the_picture_before(live):
    answer = live.post("/api/image", json={**WANTED, "gamma_scale": 0})
    length = int.from_bytes(answer.content[:4], "little")
    header = json.loads(answer.content[4 : 4 + length])
    assert set(header["images"]) == {"picture", "before"}
    start, size = 4 + length, 16 * 16 * 3
    offsets = [start + header["images"][name]["offset"] for name in ("before", "picture")]
    before, after = (answer.content[offset : offset + size] for offset in offsets)
    seen = sum(abs(a - b) for a, b in zip(before, after, strict=True)) / size
    assert header["change"]["pixels"] == pytest.approx(seen, abs=0.5)
    assert seen > 0.5


def test_before_the_model_is_there_the_page_is_and_says_so():
    client = client_of(None)
    assert client.get("/").status_code == 200
    assert client.get("/api/run").json() == {"ready": False}
    answer = client.post("/api/image", json=WANTED)
    assert (answer.status_code, answer.json()) == (503, {"error": "the model is still loading"})


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "127.0.0.1:8377"}, 200),
        ({"Host": "localhost:8377"}, 200),
        ({"Host": "[::1]:8377"}, 200),
        ({"Host": "127.0.0.1:8377", "Origin": HERE}, 200),
        ({"Host": "rebound.example:8377"}, 403),
        ({"Host": "127.0.0.1.example.org"}, 403),
        ({"Host": "192.168.0.7:8377"}, 403),
        ({"Host": ""}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "https://127.0.0.1:8377"}, 403),
        ({"Origin": "http://127.0.0.1:9999"}, 403),
        ({"Origin": "http://localhost:8377"}, 403),  # not the Host that was asked
    ],
)
def test_host_and_origin(headers, status):
    client = client_of(Stub())
    for method, path in (("GET", "/"), ("GET", "/api/run"), ("POST", "/api/image")):
        answer = client.request(
            method, path, headers=headers, json=WANTED if method == "POST" else None
        )
        assert answer.status_code == status
        assert "content-security-policy" in answer.headers


def test_all_addresses_are_reached_by_address_and_not_by_a_foreign_name(monkeypatch):
    monkeypatch.setattr(server.socket, "gethostname", lambda: "Desk")
    long = client_of(Stub(), Gate("fd00:0:0::5", "t" * 16))  # browsers send its shortest form
    for host, status in (("[fd00::5]:8377", 200), ("[fd00::6]:8377", 403)):
        assert long.get("/", headers={"Host": host}).status_code == status
    client = client_of(Stub(), Gate("0.0.0.0", "t" * 16))
    for host, status in (("192.168.0.7:8377", 200), ("desk:1", 200), ("evil.example", 403)):
        assert client.get("/", headers={"Host": host}).status_code == status


def test_the_token_opens_the_data_but_the_page_is_anyones():
    client = client_of(Stub(), Gate("127.0.0.1", "a-long-enough-token"))
    right = {"Authorization": "Bearer a-long-enough-token"}
    assert client.get("/").status_code == 200
    for headers in ({}, {"Authorization": "a-long-enough-token"}, {"Authorization": "Bearer ä"}):
        raw = {k: v.encode() for k, v in headers.items()}
        assert client.get("/api/run", headers=raw).status_code == 401
        assert client.post("/api/image", json=WANTED, headers=raw).status_code == 401
    assert client.get("/api/run?token=a-long-enough-token").status_code == 401
    assert client.get("/api/run", headers=right).status_code == 200
    assert client.post("/api/image", json=WANTED, headers=right).content == b"made"


@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/api/run/../../config.json",
        "/config.json",
        "/static/page.js",
        "/docs",
        "/openapi.json",
        "/favicon.ico",
        "//127.0.0.1/etc/passwd",
        "/api/image?path=/etc/passwd",
    ],
)
def test_there_are_no_files(path):
    answer = client_of(Stub()).get(path)
    assert answer.status_code in (404, 405)
    assert list(answer.json()) == ["error"]


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"", 422, "Invalid JSON"),
        (b"[]", 422, "object"),
        (b"[" * 3000, 422, "Invalid JSON"),
        (b'{"step": 20, "seed": NaN}', 422, "seed"),
        (b'{"step": 20, "seed": 1, "gamma_scale": NaN}', 422, "gamma_scale"),
        (b'{"step": 20, "seed": 1, "gamma_scale": Infinity}', 422, "gamma_scale"),
        (b'{"step": 20, "seed": 1, "truncation": 1e-9}', 422, "truncation"),
        (b'{"step": 20, "seed": "1"}', 422, "seed"),
        (b'{"step": 20, "seed": true}', 422, "seed"),
        (b'{"step": 20, "seed": 1.5}', 422, "seed"),
        (b'{"step": 20, "seed": 99999999999999999999999999}', 422, "seed"),
        (b'{"step": 20, "seed": 1, "run": "/etc"}', 422, "run: Unexpected keyword argument"),
        (b'{"step": 20, "seed": 1, "direction": "../x"}', 422, "direction"),
        (b'{"step": 20, "seed": 1, "amounts": [1, 2, 3, 4, 5, 6]}', 422, "amounts"),
        (b'{"step": 20, "seed": 1, "region": [0.5, 0, 0.5, 1]}', 422, "region"),
        (b'{"seed": 1}', 422, "step"),
        (b"x" * 5000, 413, "4096"),
    ],
)
def test_bad_requests_are_refused_in_a_plain_line(body, status, said):
    stub = Stub()
    headers = {"Content-Type": "application/json"}
    answer = client_of(stub).post("/api/image", content=body, headers=headers)
    assert answer.status_code == status
    assert said in answer.json()["error"]
    assert "\n" not in answer.json()["error"]
    assert stub.asked == []


def test_a_form_of_another_page_is_refused_by_its_type():
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        headers = {"Content-Type": kind}
        answer = client_of(Stub()).post("/api/image", content=json.dumps(WANTED), headers=headers)
        assert answer.status_code == 415


NUMBERS = st.one_of(
    st.integers(-5, 30),
    st.integers(),
    st.floats(),
    st.sampled_from([0, 0.5, 1, -1, 2, 10, 20, 1e308, 2**31 - 1, 2**31, 2**63]),
)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, st.text(max_size=20)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=6), st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
EDGE = st.floats(0, 1)
LIKELY = {
    "step": st.sampled_from([0, 10, 20, 15]),
    "seed": st.integers(0, 2**31),
    "label": st.one_of(st.none(), st.integers(-1, 4)),
    "truncation": st.floats(0, 4),
    "to_seed": st.integers(0, 99),
    "to_label": st.one_of(st.none(), st.integers(-1, 4)),
    "between": st.floats(-0.1, 1.1),
    "direction": st.sampled_from(["sefa", "pca", "nonsense"]),
    "amounts": st.lists(st.floats(-11, 11), max_size=6),
    "layer": st.sampled_from([None, "G attention.0", "D attention.0", "G", "/etc/passwd", ""]),
    "gamma_scale": st.floats(-11, 11),
    "uniform": st.booleans(),
    "region": st.one_of(st.none(), st.lists(EDGE, min_size=3, max_size=5)),
}


@pytest.mark.parametrize("name", LIKELY)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_value_of_any_parameter_is_an_image_or_refused(live, name, data):
    """Each parameter in turn takes any value; the others are probably valid."""
    others = data.draw(st.sets(st.sampled_from(sorted(LIKELY)), max_size=4))
    wanted = {**WANTED, **{other: data.draw(LIKELY[other]) for other in others}}
    wanted[name] = data.draw(st.one_of(JSON, LIKELY[name]))
    body = json.dumps(wanted).encode()  # with NaN and Infinity as JavaScript would not write them
    answer = live.post("/api/image", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (200, 413, 422), answer.text
    if answer.status_code == 200:
        assert 0 <= wanted["seed"] < 2**31
        assert wanted["step"] in (0, 10, 20)
    else:
        assert isinstance(answer.json()["error"], str)
        assert len(answer.json()["error"]) < 300


@settings(max_examples=60)
@given(body=st.binary(max_size=200))
def test_any_bytes_are_refused(body):
    headers = {"Content-Type": "application/json"}
    assert client_of(Stub()).post("/api/image", content=body, headers=headers).status_code == 422


def test_of_a_hundred_clients_most_are_turned_away_at_once():
    stub = Stub()
    stub.may_go.clear()

    async def crowd():
        transport = httpx.ASGITransport(app=app_of(stub))
        async with httpx.AsyncClient(transport=transport, base_url=HERE) as client:
            asked = [
                asyncio.create_task(client.post("/api/image", json=WANTED)) for _ in range(100)
            ]
            async with asyncio.timeout(20):
                while sum(task.done() for task in asked) < 100 - MAX_WAITING - 1:
                    await asyncio.sleep(0.01)
            assert (await client.get("/api/run")).status_code == 200  # others are still answered
            stub.may_go.set()
            return [answer.status_code for answer in await asyncio.gather(*asked)]

    statuses = asyncio.run(crowd())
    assert statuses.count(200) == MAX_WAITING + 1 == len(stub.asked)
    assert statuses.count(429) == 100 - MAX_WAITING - 1


def test_a_slow_body_ends_and_keeps_nobody_waiting(monkeypatch):
    monkeypatch.setattr(server, "MAX_BODY_SEC", 0.05)
    sent = []

    async def trickle():
        await asyncio.sleep(0.01)
        return {"type": "http.request", "body": b" ", "more_body": True}

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/api/image",
        "query_string": b"",
        "headers": [(b"host", b"127.0.0.1"), (b"content-type", b"application/json")],
    }
    asyncio.run(app_of(Stub())(scope, trickle, send))
    assert sent[0]["status"] == 408


def test_a_damaged_checkpoint_is_a_reason_and_a_bug_is_not_hidden():
    from sagan.errors import CheckpointError

    class Broken(Stub):
        def __init__(self, error):
            super().__init__()
            self.error = error

        def render(self, request):
            raise self.error

    answer = client_of(Broken(CheckpointError("it is damaged"))).post("/api/image", json=WANTED)
    assert (answer.status_code, answer.json()) == (409, {"error": "it is damaged"})
    with pytest.raises(ZeroDivisionError):
        client_of(Broken(ZeroDivisionError())).post("/api/image", json=WANTED)
