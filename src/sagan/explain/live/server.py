"""The live page's server: the page, facts about the run, and images on request.

All input is checked before it is used: the Host (against DNS rebinding), the Origin, the token if
one is set, the length, and every value. No request names a file.
"""

import asyncio
import errno
import hmac
import ipaddress
import logging
import os
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import uvicorn
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from pydantic import TypeAdapter, ValidationError
from starlette.exceptions import HTTPException as StarletteHTTPException

from sagan.errors import CheckpointError
from sagan.explain.live.door import BACKLOG, ErrorRate, door
from sagan.explain.live.request import ImageRequest
from sagan.explain.page import Page
from sagan.text import one_line

MAX_BODY_BYTES = 4096
MAX_BODY_SEC = 5.0
MAX_WAITING = 8  # requests queued behind the image being rendered

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]


class Renderer(Protocol):
    """What the server needs of a `Studio`, which needs torch."""

    def facts(self) -> dict[str, Any]:
        """Describe the run."""

    def render(self, request: ImageRequest) -> bytes:
        """Render one image with its maps."""


class RenderQueue:
    """Renders one image at a time, once a renderer is ready."""

    def __init__(self) -> None:
        self._renderer: Renderer | None = None
        self._facts: dict[str, Any] = {}
        self._pending = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sagan-images")

    def open(self, renderer: Renderer) -> None:
        """Start taking requests."""
        self._facts = renderer.facts()
        self._renderer = renderer

    def facts(self) -> dict[str, Any]:
        """Describe the run, once it is loaded."""
        return {"ready": self._renderer is not None, **self._facts}

    async def render(self, request: ImageRequest) -> bytes:
        """Render an image in turn: HTTP 503 before the model is loaded, 429 if too many wait."""
        if self._renderer is None:
            raise HTTPException(503, "the model is still loading")
        if self._pending > MAX_WAITING:
            raise HTTPException(429, "too many images are queued; try again in a moment")
        self._pending += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._thread, self._renderer.render, request)
        finally:
            self._pending -= 1


@dataclass(frozen=True)
class Gate:
    """Who is let in."""

    host: str  # the address that the server listens on
    token: str | None = None  # required of requests for data, if set

    def refusal(self, headers: dict[str, str], path: str) -> tuple[int, str] | None:
        """The status and reason that a request is refused with, or None.

        Example:
            >>> Gate("127.0.0.1").refusal({"host": "example.org"}, "/")
            (403, 'this host name is not served here')
        """
        host = headers.get("host", "")
        if not self._serves(host):
            return 403, "this host name is not served here"
        origin = headers.get("origin")
        if origin is not None and origin != f"http://{host}":
            return 403, "requests from other pages are not served"
        if self.token is not None and path.startswith("/api/"):
            given = headers.get("authorization", "").encode()
            if not hmac.compare_digest(given, f"Bearer {self.token}".encode()):
                return 401, "the token is missing or wrong: open the address that was printed"
        return None

    def _serves(self, host: str) -> bool:
        name = _shortest(_without_port(host))
        if name in (_shortest(self.host), "localhost", "127.0.0.1", "::1"):
            return True
        if not _is_address(self.host) or not ipaddress.ip_address(self.host).is_unspecified:
            return False
        # bound to all addresses: a rebound foreign page arrives under a name, not an address
        return _is_address(name) or name == socket.gethostname().lower()


def _shortest(host: str) -> str:
    """An IPv6 address as a browser writes it; anything else as it is."""
    return str(ipaddress.ip_address(host)) if _is_address(host) else host


def is_loopback(host: str) -> bool:
    """Whether a host is this machine's loopback, by name or address.

    Example:
        >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0")
        (True, True, False)
    """
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


class Guard:
    """ASGI middleware: checks access and body size, and adds the security headers."""

    def __init__(self, app: App, *, gate: Gate, policy: str) -> None:
        self._app = app
        self._gate = gate
        self._headers = [
            (b"content-security-policy", f"{policy}; frame-ancestors 'none'".encode()),
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"no-referrer"),
            (b"cross-origin-opener-policy", b"same-origin"),
            (b"cross-origin-resource-policy", b"same-origin"),
            (b"cache-control", b"no-store"),
        ]

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *self._headers]
            await send(message)

        headers = {name.decode("latin-1"): v.decode("latin-1") for name, v in scope["headers"]}
        refusal = self._gate.refusal(headers, scope["path"])
        body = b""
        if refusal is None:
            try:
                body = await asyncio.wait_for(_whole_body(receive), MAX_BODY_SEC)
            except TimeoutError:
                refusal = 408, "the request took too long to arrive"
            except OverflowError:
                refusal = 413, f"a request may have at most {MAX_BODY_BYTES} bytes"
        if refusal is not None:
            status, reason = refusal
            await _refused(status, reason)(scope, receive, send_with_headers)
            return
        messages = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def receive_again() -> Message:
            return next(messages, None) or await receive()

        await self._app(scope, receive_again, send_with_headers)


async def _whole_body(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > MAX_BODY_BYTES:
            raise OverflowError
    return body


def _refused(status: int, reason: str) -> JSONResponse:
    return JSONResponse({"error": reason}, status)


_REQUESTS = TypeAdapter(ImageRequest)


def read_request(body: bytes) -> ImageRequest:
    """Read an image request: JSON of exactly the known names, types and ranges, or ValueError.

    Example:
        >>> read_request(b'{"step": 3, "seed": 7, "uniform": true}').seed
        7
        >>> read_request(b'{"step": 3, "seed": "../../secret"}')
        Traceback (most recent call last):
        ValueError: seed: Input should be a valid integer
    """
    try:
        return _REQUESTS.validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"])[:80]
        reason = first["msg"].removeprefix("Value error, ")
        raise ValueError(f"{place}: {reason}" if place else reason) from None


def make_app(queue: RenderQueue, page: Page, gate: Gate) -> FastAPI:
    """Make the application: `GET /`, `GET /api/run` and `POST /api/image`."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(Guard, gate=gate, policy=page.policy)

    @app.exception_handler(StarletteHTTPException)
    async def refuse(_: Request, error: StarletteHTTPException) -> Response:
        return _refused(error.status_code, str(error.detail))

    @app.get("/")
    async def show_page() -> Response:
        return HTMLResponse(page.html)

    @app.get("/api/run")
    async def show_run() -> Response:
        return JSONResponse(queue.facts())

    @app.post("/api/image")
    async def make_image(request: Request) -> Response:
        if request.headers.get("content-type", "").partition(";")[0] != "application/json":
            raise HTTPException(415, "a request must be application/json")
        try:
            bundle = await queue.render(read_request(await request.body()))
        except ValueError as error:
            raise HTTPException(422, str(error)) from None
        except CheckpointError as error:
            raise HTTPException(409, str(error)) from None
        except (RuntimeError, OSError, MemoryError) as error:  # of the device, or the disk
            said = one_line(error)
            logging.getLogger("uvicorn.error").error("the image cannot be made: %s", said)
            raise HTTPException(500, said) from None
        return Response(bundle, media_type="application/octet-stream")

    return app


def open_socket(host: str, port: int) -> socket.socket:
    """Listen on a port; a foreign host raises ValueError, a taken port an OSError with advice."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family)
    except OSError as error:
        if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
            raise ValueError(f"--host {host} is not an address of this machine") from None
        reason = os.strerror(error.errno or 0).lower()
        raise OSError(error.errno, f"port {port} of {host}: {reason}; try --port 0") from None


def serve(
    app: FastAPI, listening: socket.socket, *, started: Callable[[Callable[[], None]], None]
) -> None:
    """Serve until Ctrl-C or SIGTERM, which act as usual once connections are closed."""
    # `started` is called once requests are answered, with a function that stops the server
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        ws="none",
        lifespan="off",
        http=door(),
        backlog=BACKLOG,
        timeout_graceful_shutdown=2,
    )
    server = uvicorn.Server(config)
    rate = ErrorRate()
    logging.getLogger("uvicorn.error").addFilter(rate)

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(rate.handle)
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        while not server.started and not serving.done():
            await asyncio.sleep(0.005)
        started(lambda: setattr(server, "should_exit", True))
        await serving

    try:
        asyncio.run(main())
    finally:
        logging.getLogger("uvicorn.error").removeFilter(rate)
