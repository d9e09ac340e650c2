"""Progress on the terminal: a bar, or a line now and then. Everything goes to stderr."""

import sys
import time
from collections import deque

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

_PLAIN_EVERY_SEC = 15.0
_RATE_MARKS = 20  # log records over which the rate is taken


class Meter:
    """Show how far training is: images done, rate, time left, and a few numbers.

    A bar on a terminal, otherwise a line now and then. Everything goes to stderr.

    Args:
        total: images to train for.
        done: images already done.
        enabled: show anything at all.
    """

    def __init__(self, total: int, done: int, *, enabled: bool = True) -> None:
        self._total = total
        self._last_line = time.monotonic()
        self._marks = deque([(time.monotonic(), done)], maxlen=_RATE_MARKS)
        console = Console(stderr=True)
        self._enabled = enabled
        self._bar = None
        if enabled and console.is_terminal:
            self._bar = Progress(
                TextColumn("training"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("images · {task.fields[rate]:.0f}/s ·"),
                TimeRemainingColumn(),
                TextColumn("left · {task.fields[note]}"),
                console=console,
            )
            self._task = self._bar.add_task("", total=total, completed=done, rate=0.0, note="")
            self._bar.start()

    @property
    def rate(self) -> float:
        """Images a second over the last while."""
        (start_sec, start), (end_sec, end) = self._marks[0], self._marks[-1]
        return (end - start) / (end_sec - start_sec) if end_sec > start_sec else 0.0

    @property
    def last_rate(self) -> float:
        """Images a second since the last time but one that it was advanced."""
        (start_sec, start), (end_sec, end) = self._marks[-2], self._marks[-1]
        return (end - start) / (end_sec - start_sec) if end_sec > start_sec else 0.0

    def restart(self, done: int) -> None:
        """Go back to so many images, and take the rate from here on."""
        self._marks.clear()
        self._marks.append((time.monotonic(), done))

    def advance(self, done: int, note: str) -> None:
        """Show that so many images are done."""
        self._marks.append((time.monotonic(), done))
        if self._bar is not None:
            self._bar.update(self._task, completed=done, rate=self.rate, note=note)
        elif self._enabled and time.monotonic() - self._last_line > _PLAIN_EVERY_SEC:
            self._last_line = time.monotonic()
            left_sec = (self._total - done) / max(self.rate, 1e-9)
            self.say(
                f"{done:,} of {self._total:,} images · {self.rate:.0f}/s · "
                f"{left_sec:.0f} s left · {note}"
            )

    def say(self, line: str) -> None:
        """Print a line beside the bar."""
        if self._bar is not None:
            self._bar.console.print(line, highlight=False, markup=False)
        elif self._enabled:
            print(line, file=sys.stderr, flush=True)

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._bar is not None:
            self._bar.stop()


class Bar:
    """Show how far one pass over many things is, on stderr: a bar, or a line now and then.

    Args:
        title: of what is done.
        total: how many things; None where unknown.
        enabled: show anything at all.

    Example:
        >>> with Bar("packing", 3, enabled=False) as bar:
        ...     bar.advance()
    """

    def __init__(self, title: str, total: int | None, *, enabled: bool = True) -> None:
        self._title, self._total, self._enabled = title, total, enabled
        self._done = 0
        self._last_line = time.monotonic()
        self._bar: Progress | None = None

    def __enter__(self) -> "Bar":
        console = Console(stderr=True)
        if self._enabled and console.is_terminal:
            columns = (TextColumn(self._title), BarColumn(), MofNCompleteColumn())
            self._bar = Progress(*columns, TimeRemainingColumn(), console=console, transient=True)
            self._task = self._bar.add_task("", total=self._total)
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def advance(self) -> None:
        """One more is done."""
        self._done += 1
        if self._bar is not None:
            self._bar.advance(self._task)
        elif self._enabled and time.monotonic() - self._last_line > _PLAIN_EVERY_SEC:
            self._last_line = time.monotonic()
            of = "" if self._total is None else f" of {self._total:,}"
            print(f"{self._title}: {self._done:,}{of}", file=sys.stderr, flush=True)
