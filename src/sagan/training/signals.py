"""Signals that stop a run, or have it save and go on.

SIGINT (Ctrl-C), SIGTERM, SIGHUP, SIGXCPU and SIGUSR2, which a scheduler may send before it ends a
job, finish the step and save; the exit code is 128 and the signal's number. SIGUSR1 only saves.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Literal

from sagan.training.engine import Engine

_STOPPING = ("SIGTERM", "SIGINT", "SIGHUP", "SIGXCPU")  # first the one that counts of several
_USER = "SIGUSR1", "SIGUSR2"  # one stops, the other saves


class StopAsked(BaseException):  # no error: nothing that handles errors may handle it
    """A signal to stop has come in a block that it may cut short."""


class StopSignals:
    """Record signals for the loop to poll; a second Ctrl-C interrupts at once.

    Outside the main thread signals cannot be caught, so none are recorded.

    Args:
        further: which of USR1 and USR2 stops too; the other saves, and training goes on.
    """

    def __init__(self, further: Literal["USR1", "USR2"] = "USR2") -> None:
        self.received: int | None = None
        self.save_asked = False  # agreed on in the last poll
        # systems that are not Unix lack some
        numbers = {name: getattr(signal, name, None) for name in (*_STOPPING, *_USER)}
        self._saving = numbers.pop(*(name for name in _USER if not name.endswith(further)))
        self._stopping = [number for number in numbers.values() if number is not None]
        self._save = self._cut_short = False
        self._before: dict[int, object] = {}

    def exit_code(self, engine: Engine) -> int:
        """128 and the number of a signal to any process that stops the run; 0 without."""
        said = [*(self.received == number for number in self._stopping), self._save]
        *stops, self.save_asked = engine.any_each(said)
        if self.save_asked:
            self._save = False
        return next((128 + n for n, stop in zip(self._stopping, stops, strict=True) if stop), 0)

    @contextmanager
    def cutting_short(self) -> Iterator[None]:
        """Raise StopAsked where a stop signal finds this block, or has come before it."""
        if self.received is not None:
            raise StopAsked
        self._cut_short = True
        try:
            yield
        finally:
            self._cut_short = False

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if number == self._saving:
            self._save = True
            return
        if self.received == signal.SIGINT == number:
            raise KeyboardInterrupt
        self.received = number
        if self._cut_short:
            self._cut_short = False
            raise StopAsked

    def __enter__(self) -> "StopSignals":
        for number in {*self._stopping, self._saving} - {None}:
            try:
                if number == getattr(signal, "SIGHUP", None) and (
                    signal.getsignal(number) is signal.SIG_IGN  # by nohup
                ):
                    continue
                self._before[number] = signal.signal(number, self._note)
            except ValueError:  # not the main thread
                break
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            if number == self.received == getattr(signal, "SIGXCPU", None):
                _no_further_warning()  # it would come every second from now on
            signal.signal(number, handler)  # type: ignore[arg-type]


def _no_further_warning() -> None:
    """Take back the soft limit of processor time, which has done its work; the hard one stays."""
    import resource  # Unix has it, as it has SIGXCPU

    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (hard, hard))
