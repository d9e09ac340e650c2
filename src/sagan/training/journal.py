"""What a run reports while it trains: log, terminal, curves and TensorBoard.

Everything goes through log records. The health watch reads each as it is written, and replays the
log on resuming.
"""

import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
from torch import Tensor

from sagan.config import RunConfig
from sagan.files import write_atomically
from sagan.images import image_grid, png
from sagan.progress import Meter
from sagan.runs.log import append_records, read_lines, read_records, rewrite_records
from sagan.runs.run import Run
from sagan.training.alarms import Alarm, Record, Watch
from sagan.training.curves import CurveDrawer
from sagan.training.stopwatch import Stopwatch
from sagan.training.tensorboard import Board


class Journal:
    """Keep a run's log, and report it."""

    def __init__(
        self,
        run: Run,
        config: RunConfig,
        *,
        images_at: Callable[[int], int],  # real images shown by a step
        step: int,  # where this call starts; records of later steps are dropped
        total: int,  # images to train for
        stopwatch: Stopwatch,
        progress: bool,
        tensorboard: bool,
        writes: bool,  # false in all processes but the first
    ) -> None:
        self._run, self._config, self._writes = run, config, writes
        self._images_at = images_at
        self._tensorboard = tensorboard and writes
        self._board: Board | None = None
        self._curves = CurveDrawer(run.path / "curves.png")
        self._watch = Watch(config)
        self.meter = Meter(total, images_at(step), enabled=progress and writes)
        self.rewind(step)
        self._stopwatch = stopwatch

    def rewind(self, step: int) -> None:
        """Drop the records of later steps, and restore the watch to this one."""
        self._watch = Watch(self._config)
        self.meter.restart(self._images_at(step))
        if not self._writes:
            return
        kept = self._sound_records(step)
        if self._run.log_path.exists():
            rewrite_records(self._run.log_path, kept)
        if self._tensorboard:
            if self._board is not None:
                self._board.close()
            images = self._images_at(step)
            self._board = Board(self._run.path / "tensorboard", images=images)

    def _sound_records(self, step: int) -> list[Record]:
        """Replay the log up to a step through the watch; move broken records aside."""
        kept: list[Record] = []
        broken: list[bytes] = []
        for line, record in read_lines(self._run.log_path):
            try:
                if record is None or not isinstance(record["kind"], str):
                    raise ValueError
                if int(record["step"]) <= step:
                    self._watch.see(record)
                    kept.append(record)
            except (ValueError, KeyError, TypeError, AttributeError):  # a field is missing or wrong
                broken.append(line)
        if broken:
            aside = self._run.log_path.with_name("log.broken.jsonl")
            with open(aside, "ab") as file:
                file.write(b"".join(broken))
            self.meter.say(
                f"{self._run.log_path}: {len(broken)} broken "
                f"{'record' if len(broken) == 1 else 'records'} set aside in {aside.name}"
            )
        return kept

    @property
    def retries(self) -> int:
        """How often the run was rolled back, by its log."""
        if not self._writes:
            return 0
        records = read_records(self._run.log_path)
        return max((r.get("retry", 0) for r in records if r["kind"] == "rollback"), default=0)

    @property
    def serious(self) -> tuple[Alarm, ...]:
        """Serious alarms at the last check."""
        return self._watch.serious

    def record(self, kind: str, *, step: int, **values: Any) -> None:
        """Write a record and the alarms that it raises."""
        if not self._writes:
            return
        head = {"step": step, "images": self._images_at(step)}
        elapsed = round(self._stopwatch.elapsed_sec, 3)
        clock = {"time": round(time.time(), 3), "elapsed": elapsed}
        record = {"kind": kind, **head, **clock, **values}
        alarms = self._watch.see(record)
        health = [{"kind": "health", **head, **clock, **asdict(alarm)} for alarm in alarms]
        append_records(self._run.log_path, record, *health)
        if "error" in record:
            what = f"could not be scored by {record['metric']} ({record['error']})"
            self.meter.say(f"at {head['images']:,} images: {what}; training continues.")
        for alarm in alarms:
            self.meter.say(f"at {head['images']:,} images: {alarm.said}. {alarm.advice}.")
        if self._board is not None:
            self._board.record(record)

    def grid(self, samples: Tensor, *, columns: int, step: int) -> None:
        """Save samples, uint8 `b c h w`, as a grid."""
        images = self._images_at(step)
        picture = image_grid(samples, columns)
        path = self._run.samples_path / f"images-{images:010d}.png"
        write_atomically(path, png(picture), durably=False)
        if self._board is not None:
            self._board.grid(np.asarray(picture), images=images)

    def draw(self, *, now: bool = False) -> None:
        """Redraw the curves if it is due or asked for `now`."""
        if not self._writes:
            return
        try:
            self._curves.draw(lambda: read_records(self._run.log_path), now=now)
        except Exception as error:  # a missing picture must not stop training
            self.meter.say(f"curves.png could not be drawn: {error}")

    def draw_if_behind(self) -> None:
        """Draw the curves if the newest checkpoint is newer: the run was killed before it did."""
        newest = self._run.pointed_to("latest")
        curves = self._run.path / "curves.png"
        if newest is not None and not (
            curves.exists() and curves.stat().st_mtime >= (newest / "manifest.json").stat().st_mtime
        ):
            self.draw(now=True)

    def close(self) -> None:
        """Restore the terminal and flush TensorBoard."""
        self.meter.close()
        if self._board is not None:
            self._board.close()
