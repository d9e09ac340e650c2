"""How long a run has been training."""

import time

from sagan.runs.extent import elapsed_sec
from sagan.runs.run import Run


class Stopwatch:
    """Count a run's seconds of training, over all calls of `train`."""

    def __init__(self, before_sec: float = 0.0) -> None:
        self._before_sec, self._began_sec = before_sec, time.monotonic()

    @classmethod
    def of(cls, run: Run) -> "Stopwatch":
        """Go on from a run's log, steps included that will be run again."""
        return cls(elapsed_sec(run.log_path))

    @property
    def elapsed_sec(self) -> float:
        """The seconds so far."""
        return self._before_sec + time.monotonic() - self._began_sec
