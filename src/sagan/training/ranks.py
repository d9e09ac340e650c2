"""Processes that train together: none outlives the one that started it, and one that ends or hangs
is named, and ends the others. No torch here: a process begins to follow its parent at once.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

from sagan.config.duration import in_words

PARENT = "SAGAN_PARENT"  # in the environment of a process that `Engine.launch` starts: who did
_PULSE = ".pulse-"  # prefix of a process's file in the run's folder
_SET_PDEATHSIG = 1  # of Linux' prctl: the signal to get when the parent ends
_LOOK_SEC = 0.2
_GRACE_SEC = 5.0  # for a process to notice itself that another has ended
_STANDS = "the last checkpoint stands, and the same command resumes"


def launched(environment: Mapping[str, str]) -> tuple[int, int] | None:
    """Processes per machine and number of machines, from torchrun or SLURM's srun; else None."""
    if "TORCHELASTIC_RUN_ID" in environment:
        local = int(environment["LOCAL_WORLD_SIZE"])
        return local, int(environment["WORLD_SIZE"]) // local
    interactive = environment.get("SLURM_JOB_NAME") in ("bash", "interactive")
    if "SLURM_NTASKS" in environment and "SLURM_PROCID" in environment and not interactive:
        machines = int(environment.get("SLURM_NNODES", "1"))
        return int(environment["SLURM_NTASKS"]) // machines, machines
    return None


def is_first_process(environment: Mapping[str, str]) -> bool:
    """Whether this process is, or will be, the first of those that train together."""
    if "TORCHELASTIC_RUN_ID" in environment:
        rank = environment["RANK"]
    elif launched(environment):
        rank = environment["SLURM_PROCID"]
    else:  # set in the processes that the engine starts
        rank = environment.get("LOCAL_RANK", "0")
    return int(rank) == 0


def follow_parent() -> None:
    """End with the process that started this one to train beside it, however that ends."""
    parent = int(os.environ.pop(PARENT, "0"))  # not for what this process may start
    if not parent:
        return
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_PDEATHSIG, signal.SIGKILL)
    else:
        threading.Thread(target=_wait_for_end_of, args=[parent], daemon=True).start()
    if os.getppid() != parent:  # it had ended before
        os._exit(1)


def _wait_for_end_of(parent: int) -> NoReturn:
    while os.getppid() == parent:
        time.sleep(_LOOK_SEC)
    os._exit(1)


class Children:
    """The processes that this one has started to train beside it."""

    def __init__(self) -> None:
        self._processes: Sequence[subprocess.Popen[bytes]] = ()
        self.released = False  # from then on they may end
        self.busy = False  # whether this process does something that it should end first

    def watch(self, processes: Sequence[subprocess.Popen[bytes]]) -> None:
        """End this process too, with one line, soon after one of these has failed."""
        self._processes = processes
        threading.Thread(target=self._watch, daemon=True, name="sagan-children").start()

    def _watch(self) -> None:
        while not self.released and not self.lost():
            time.sleep(_LOOK_SEC)
        seen_sec = time.monotonic()
        # what it does with the others fails by itself, unless they are still being started
        while not self.released and (self.busy or time.monotonic() - seen_sec < _GRACE_SEC):
            time.sleep(_LOOK_SEC)
        if not self.released:
            _end_all(f"{self.lost()}; {_STANDS}", self._processes)

    def lost(self) -> str:
        """Say which has failed and how, those first that a signal ended; empty if none has."""
        codes = [process.poll() for process in self._processes]
        failed = sorted((code, rank) for rank, code in enumerate(codes, 1) if code)
        if not failed:
            return ""
        code, rank = failed[0]
        how = f"was ended by {_signal(-code)}" if code < 0 else f"ended with exit code {code}"
        return f"process {rank} of {len(codes) + 1} {how}"

    def kill(self) -> None:
        """End those that are left, stopped ones too."""
        for process in self._processes:
            process.kill()


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _end_all(said: str, processes: Sequence[subprocess.Popen[bytes]] = (), parent: int = 0) -> None:
    print(f"sagan: {said}", file=sys.stderr, flush=True) if said else None
    for process in processes:
        process.kill()
    if parent:
        os.kill(parent, signal.SIGKILL)
    os._exit(1)


class Pulse:
    """Shows the others that this process lives, and ends it when another no longer does.

    Each writes a file in the run's folder every second, with how many steps it has taken, and reads
    the others'. One that has not written for the time-out hangs; so do all together if none takes a
    step. A process that is `busy` alone may take its time.

    Args:
        folder: the run's.
        rank, of: this process's number, and how many there are.
        timeout_sec: how long to wait.
        children: started by this process.
        parent: the process that started this one, or 0.
    """

    def __init__(
        self,
        folder: Path,
        rank: int,
        of: int,
        *,
        timeout_sec: float,
        children: Children,
        parent: int = 0,
    ) -> None:
        self.step = 0
        self._files = [folder / f"{_PULSE}{number}" for number in range(of)]
        self._rank, self._timeout_sec = rank, timeout_sec
        self._children, self._parent = children, parent
        self._every_sec = min(1.0, timeout_sec / 5)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True, name="sagan-pulse")

    @contextmanager
    def beating(self) -> Iterator[None]:
        """Beat inside."""
        self._thread.start()
        try:
            yield
        finally:
            self._ended.set()
            self._thread.join()
            self._files[self._rank].unlink(missing_ok=True)

    def _beat(self) -> None:
        seen = {rank: "" for rank in range(len(self._files)) if rank != self._rank}
        steps: dict[int, str] = {}
        now = time.monotonic()
        heard_sec, moved_sec, looked_sec = dict.fromkeys(seen, now), now, now
        beat = 0
        while not self._ended.wait(self._every_sec):
            beat += 1
            self._write(beat)
            now = time.monotonic()
            if now - looked_sec > 3 * self._every_sec + 1:  # this one was stopped itself
                heard_sec, moved_sec = dict.fromkeys(seen, now), now
            looked_sec = now
            busy = self._children.busy
            for rank in seen:
                said = self._read(rank)
                if said != seen[rank] or (not said and seen[rank]):  # gone: it has ended well
                    heard_sec[rank] = now
                if said:
                    seen[rank] = said
                    _, step, its_busy = said.split()
                    busy |= its_busy == "1"
                    if steps.get(rank) != step:
                        steps[rank], moved_sec = step, now
            silent = [r for r in seen if now - heard_sec[r] > self._timeout_sec]
            if silent and not self._children.busy:
                return self._end(silent, steps.get(silent[0], "0"))
            if busy:  # its time does not count
                moved_sec = now
            elif now - moved_sec > self._timeout_sec:
                return self._end([], str(self.step))

    def _write(self, beat: int) -> None:
        said = f"{beat:012} {self.step:012} {int(self._children.busy)}"
        with suppress(OSError), open(self._files[self._rank], "r+b" if beat > 1 else "wb") as file:
            file.write(said.encode())  # in place, so that a full disk does not matter

    def _read(self, rank: int) -> str:
        try:
            said = self._files[rank].read_text()
        except OSError:
            return ""
        return said if len(said.split()) == 3 else ""

    def _end(self, silent: list[int], step: str) -> None:
        wait = f"{in_words(self._timeout_sec)} (--timeout)"
        if silent:
            names = " and ".join(str(rank) for rank in silent)
            what = f"process {names} of {len(self._files)} has not answered for {wait}"
        else:
            what = f"no process has taken a step for {wait}"
        speaks = min(rank for rank in range(len(self._files)) if rank not in silent) == self._rank
        said = f"{what}, last at step {int(step)}; {_STANDS}" if speaks else ""
        self._children.kill()
        _end_all(said, parent=self._parent if 0 in silent else 0)
