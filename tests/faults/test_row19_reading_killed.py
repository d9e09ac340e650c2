"""Row 19: who reads the images is killed: nothing is skipped. They are read in threads, so what a
system can kill is their process; what can fail in one is an error.
"""

import os
import signal
import time

import numpy as np
import pytest
from PIL import Image

from sagan.data import load_dataset, threads

pytestmark = pytest.mark.fault(19)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for i in range(60):
        path = tmp_path / "pictures" / f"class{i % 3}" / f"{i:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8), 4 * i, np.uint8)).save(path)
    return tmp_path / "pictures"


def opened(folder):
    return load_dataset(str(folder), resolution=8, progress=False)


def test_killed_while_it_reads_the_next_call_reads_all(folder, tmp_path, monkeypatch):
    child = os.fork()
    if not child:
        read, count = threads._read, []

        def slow(*args):
            count.append(1)
            if len(count) == 30:
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(0.001)
            return read(*args)

        threads._read = slow
        try:
            opened(folder)
        finally:
            os._exit(0)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    after = opened(folder)
    assert len(after) == 60
    assert after.excluded == ()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another"))
    untouched = opened(folder)
    assert after.fingerprint == untouched.fingerprint
    assert np.array_equal(after.images, untouched.images)


@pytest.mark.parametrize("error", [RuntimeError("gone"), SystemExit(3), KeyboardInterrupt()])
def test_a_thread_that_fails_fails_the_whole_and_leaves_nothing(folder, monkeypatch, error):
    read, count = threads._read, []

    def fails(*args):
        count.append(1)
        if len(count) == 20:
            raise error
        return read(*args)

    with monkeypatch.context() as patch:
        patch.setattr(threads, "_read", fails)
        with pytest.raises(type(error)):
            opened(folder)
    assert len(opened(folder)) == 60
