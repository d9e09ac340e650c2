"""Progress on stderr: a bar on a terminal, otherwise a line now and then."""

import sys
import time
from collections import deque
from collections.abc import Callable
from datetime import timedelta

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

_PLAIN_EVERY_SEC = 15.0
_LONGEST_SEC = 1e9  # that is written out
_RATE_MARKS = 20  # log records over which the rate is averaged


def _start_bar(*columns: ProgressColumn, enabled: bool, transient: bool = False) -> Progress | None:
    """A running bar; None if disabled or not on a terminal."""
    console = Console(stderr=True)
    if not (enabled and console.is_terminal):
        return None
    bar = Progress(*columns, console=console, transient=transient)
    bar.start()
    return bar


class Meter:
    """Show how far training is, in images: done, rate, time left, and a note."""

    def __init__(self, total: int, done: int, *, enabled: bool = True) -> None:
        self._total = total
        self._last_line = time.monotonic()
        self._marks = deque([(time.monotonic(), done)], maxlen=_RATE_MARKS)
        self._enabled = enabled
        self._bar = _start_bar(
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("images · {task.fields[note]}"),
            enabled=enabled,
        )
        if self._bar is not None:
            self._task = self._bar.add_task("", total=total, completed=done, note="")

    @property
    def rate(self) -> float:
        """Images per second over the last few calls of `advance`."""
        return self._rate_since(0)

    @property
    def last_rate(self) -> float:
        """Images per second between the last two calls of `advance`."""
        return self._rate_since(-2)

    def _rate_since(self, mark: int) -> float:
        (start_sec, start), (end_sec, end) = self._marks[mark], self._marks[-1]
        return (end - start) / (end_sec - start_sec) if end_sec > start_sec else 0.0

    def retotal(self, total: int) -> None:
        """Change how many images there are to be done."""
        self._total = total
        if self._bar is not None:
            self._bar.update(self._task, total=total)

    def restart(self, done: int) -> None:
        """Reset to `done` images, and measure the rate from here on."""
        self._marks.clear()
        self._marks.append((time.monotonic(), done))

    def advance(self, done: int, left_sec: Callable[[float], float], note: str) -> None:
        """Show that `done` images are done; `left_sec` tells the time left, given the rate."""
        self._marks.append((time.monotonic(), done))
        rate, now = self.rate, time.monotonic()
        if self._bar is None and not (self._enabled and now - self._last_line > _PLAIN_EVERY_SEC):
            return
        if rate:
            left = timedelta(seconds=round(min(left_sec(rate), _LONGEST_SEC)))
            note = f"{rate:.0f}/s · {left} left · {note}"
        if self._bar is not None:
            self._bar.update(self._task, completed=done, note=note)
        else:
            self._last_line = now
            self.say(f"{done:,} of {self._total:,} images · {note}")

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        if self._bar is not None:
            self._bar.console.print(line, highlight=False, markup=False)
        elif self._enabled:
            print(line, file=sys.stderr, flush=True)

    def close(self) -> None:
        """Restore the terminal."""
        if self._bar is not None:
            self._bar.stop()


class Bar:
    """Show how far one pass over `total` things is; None if their number is unknown."""

    def __init__(self, title: str, total: int | None, *, enabled: bool = True) -> None:
        self._title, self._total, self._enabled = title, total, enabled
        self._done = 0
        self._last_line = time.monotonic()
        self._bar: Progress | None = None

    def __enter__(self) -> "Bar":
        self._bar = _start_bar(
            TextColumn(self._title),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            enabled=self._enabled,
            transient=True,
        )
        if self._bar is not None:
            self._task = self._bar.add_task("", total=self._total)
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def advance(self) -> None:
        """Count one more as done."""
        self._done += 1
        if self._bar is not None:
            self._bar.advance(self._task)
        elif self._enabled and time.monotonic() - self._last_line > _PLAIN_EVERY_SEC:
            self._last_line = time.monotonic()
            of = "" if self._total is None else f" of {self._total:,}"
            print(f"{self._title}: {self._done:,}{of}", file=sys.stderr, flush=True)
