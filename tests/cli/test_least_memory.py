"""Too little memory at the start is a sentence, not a crash."""

import resource
import subprocess
import sys

import pytest

from sagan.cli.least_memory import too_little_memory


@pytest.mark.parametrize("megabytes", [400, 600, 1000])
def test_a_small_limit_is_said_before_anything_is_imported(megabytes):
    limit = megabytes * 1_000_000
    done = subprocess.run(
        [sys.executable, "-m", "sagan", "train", "nowhere", "--device", "cpu"],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "ulimit -v" in done.stderr
    assert done.stderr.count("\n") == 1


def test_little_free_memory_is_said(tmp_path):
    file = tmp_path / "meminfo"
    file.write_text("MemTotal: 9000000 kB\nMemAvailable: 100000 kB\nSwapFree: 0 kB\n")
    assert "102 MB of memory are free" in too_little_memory(file)
    file.write_text("MemTotal: 9000000 kB\nMemAvailable: 100000 kB\nSwapFree: 400000 kB\n")
    assert too_little_memory(file) == ""
    assert too_little_memory(tmp_path / "missing") == ""
