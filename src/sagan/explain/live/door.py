"""Connections to the live page's server: how many there may be, and for how long without a request.

Whoever opens connections and asks nothing is let go first, so that a visitor is still answered.
"""

import asyncio
import logging
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

MAX_CONNECTIONS = 64  # one browser opens six
MAX_HEADER_SEC = 5.0
BACKLOG = 32  # connections taken in at once
_RESERVED_FILES = 32  # beside the connections, for what the program opens
_ERRORS_A_MINUTE = 5
_FULL = b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class Door(H11Protocol):
    """One connection, of those that `guests` holds, oldest first."""

    guests: dict["Door", None]
    most = MAX_CONNECTIONS
    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Let it in, in place of one that asks nothing if all places are taken."""
        super().connection_made(transport)
        idle = next((guest for guest in self.guests if guest.is_idle()), None)
        if len(self.guests) >= self.most:
            if idle is None:
                transport.write(_FULL)
                transport.close()
                return
            del self.guests[idle]
            idle.transport.abort()
        self.guests[self] = None
        self._expect_request()

    def data_received(self, data: bytes) -> None:
        """Take in a part of a request, which must be whole in a few seconds."""
        if self._late is None:
            self._expect_request()
        super().data_received(data)
        if self._is_asked() and not self.cycle.more_body and self._late is not None:
            self._late.cancel()  # it is whole, and however long its answer takes to read
            self._late = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Give its place back."""
        self.guests.pop(self, None)
        if self._late is not None:
            self._late.cancel()
        super().connection_lost(exc)

    def is_idle(self) -> bool:
        """Whether it waits for its client: to send a request, or to read an answer."""
        return (
            not self._is_asked()
            or self.cycle.more_body
            or self.transport.get_write_buffer_size() > 0
        )

    def _is_asked(self) -> bool:
        """Whether a request has begun to come, of which the answer is not yet made."""
        return self.cycle is not None and not self.cycle.response_complete

    def _expect_request(self) -> None:
        self._late = self.loop.call_later(MAX_HEADER_SEC, self._give_up)

    def _give_up(self) -> None:
        self._late = None
        if not self._is_asked():
            self.transport.abort()


def door(files_limit: int | None = None) -> type[Door]:
    """The class of a server's connections, with as many places as there are file descriptors for.

    `files_limit` is the process's; by default as the system says.
    """
    limit = _files_limit() if files_limit is None else files_limit
    most = MAX_CONNECTIONS
    if limit is not None:
        free = limit - _open_files() - _RESERVED_FILES - BACKLOG
        most = max(4, min(MAX_CONNECTIONS, free))
    return type("Door", (Door,), {"guests": {}, "most": most})


def _files_limit() -> int | None:
    try:
        import resource
    except ImportError:  # not on Windows
        return None
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft


def _open_files() -> int:
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.is_dir() else 32


class ErrorRate(logging.Filter):
    """Lets a few messages a minute through, then says once that it leaves some out."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock, self._began_sec, self._count = clock, clock(), 0

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to write a message."""
        now = self._clock()
        if now - self._began_sec > 60:
            self._began_sec, self._count = now, 0
        self._count += 1
        if self._count == _ERRORS_A_MINUTE + 1:
            print("sagan: more errors of the page's server are left out", file=sys.stderr)
        return self._count <= _ERRORS_A_MINUTE

    def handle(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Write an error of the event loop as one line, if it is one of the few."""
        said = f"{context.get('message')}: {context.get('exception')}"
        if self.filter(logging.makeLogRecord({"msg": said})):
            print(f"sagan: the page's server: {said}", file=sys.stderr)
