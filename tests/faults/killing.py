"""Processes that are killed at a chosen call or byte of what they write, and what is left then."""

import builtins
import os
import resource
import shutil
import signal
from pathlib import Path

from sagan.runs.run import Run

CALLS = ("open", "fsync", "rename", "replace", "mkdir", "unlink", "rmdir")


def in_fork(function, *, fsize=None):
    """Run a function in a fork; what killed it, or 0 if nothing did."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            if fsize is not None:  # the kernel kills the process at this byte of any file
                signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
                resource.setrlimit(resource.RLIMIT_FSIZE, (fsize, fsize))
                resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            function()
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    assert not os.WIFEXITED(status) or os.WEXITSTATUS(status) == 0, "the save itself failed"
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


class Killer:
    """Counts the calls that change what is on the disk, and kills this process at one of them."""

    def __init__(self, kill_at, *, after=False):
        self.kill_at, self.after, self.count = kill_at, after, 0

    def install(self):
        for name in CALLS:
            module = builtins if name == "open" else os
            setattr(module, name, self._counting(getattr(module, name)))

    def _counting(self, call):
        def counted(*args, **kwargs):
            self.count += 1
            if self.count == self.kill_at and not self.after:
                os.kill(os.getpid(), signal.SIGKILL)
            result = call(*args, **kwargs)
            if self.count == self.kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return counted


def killed_at_call(function, number, *, after):
    """Kill a function before or after one of its calls; whether it got so far."""

    def armed():
        Killer(number, after=after).install()
        function()

    return in_fork(armed) == signal.SIGKILL


def states_lost(pattern, folder, *, offsets):
    """Of kills inside saves by a pattern: how many there were, and after how many nothing whole is.

    Each begins with a whole state 1 on the disk and is killed while state 2 is saved: before and
    after each call, and at each of the byte offsets.
    """
    kills = lost = 0
    first = folder.with_name("first")
    first.mkdir()
    pattern.save(first, 1)

    def begin():
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(first, folder)

    for after in (False, True):
        number = 1
        while True:
            begin()
            if not killed_at_call(lambda: pattern.save(folder, 2), number, after=after):
                break
            kills, lost = kills + 1, lost + (not pattern.has_whole(folder))
            number += 1
    for offset in offsets:
        begin()
        if in_fork(lambda: pattern.save(folder, 2), fsize=offset) == signal.SIGXFSZ:
            kills, lost = kills + 1, lost + (not pattern.has_whole(folder))
    return kills, lost


class Ours:
    """A run that keeps one checkpoint, so that each save also drops the one before."""

    def __init__(self, state, config):
        self.state, self.config = state, config

    def save(self, folder, step):
        Run(folder).save(step, self.state(step), config=self.config, keep=1)

    def has_whole(self, folder):
        found, faults = Run(folder).newest_sound_checkpoint()
        usable = Run(folder).checkpoint(verify_files=None)
        Run(folder).remove_leftovers()
        left = [path for path in folder.rglob("*") if path.name.startswith(".")]
        return found is not None and faults == [] and usable.step in (1, 2) and not left


class InPlace:
    """The first of two patterns that peers have: each file is written over the one before."""

    def __init__(self, contents):
        self.contents = contents  # bytes by file name, of a step

    def save(self, folder, step):
        for name, content in self.contents(step).items():
            with open(folder / name, "wb") as file:
                file.write(content)

    def has_whole(self, folder):
        found = {path.name: path.read_bytes() for path in folder.iterdir()}
        return found in (self.contents(1), self.contents(2))


class DeleteThenSave(InPlace):
    """The second: the old folder is removed, then the new one is written."""

    def save(self, folder, step):
        place = Path(folder) / "checkpoint"
        shutil.rmtree(place, ignore_errors=True)
        os.mkdir(place)
        super().save(place, step)

    def has_whole(self, folder):
        place = Path(folder) / "checkpoint"
        return place.is_dir() and super().has_whole(place)
