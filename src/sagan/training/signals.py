"""Ctrl-C and SIGTERM: finish the step, save, and report how the run ended."""

import signal
from types import FrameType, TracebackType

from sagan.training.engine import Engine


class StopSignals:
    """Record SIGINT and SIGTERM for the loop to poll; a second Ctrl-C interrupts at once.

    Outside the main thread signals cannot be caught, so none are recorded.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._before: dict[int, object] = {}

    def exit_code(self, engine: Engine) -> int:
        """143 after SIGTERM to any process, 130 after Ctrl-C, else 0."""
        if engine.any(self.received == signal.SIGTERM):
            return 128 + signal.SIGTERM
        return 128 + signal.SIGINT if engine.any(self.received is not None) else 0

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if self.received == signal.SIGINT == number:
            raise KeyboardInterrupt
        self.received = number

    def __enter__(self) -> "StopSignals":
        for number in (signal.SIGINT, signal.SIGTERM):
            try:
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
            signal.signal(number, handler)  # type: ignore[arg-type]
