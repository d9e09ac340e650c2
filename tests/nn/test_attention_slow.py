"""Attention over a map whose literal form no machine of ours can hold."""

import subprocess
import sys

import pytest

CODE = """
import torch
from pathlib import Path
from sagan.nn import attend

torch.set_num_threads(1)
b, n, c = 16, 128 * 128, 64
query, key, value = (torch.randn(b, n, w, requires_grad=True) for w in (c // 8, c // 8, c))
attend(query, key, value).backward(torch.ones(b, n, c))
assert all(t.grad.isfinite().all() for t in (query, key, value))
(line,) = [s for s in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in s]
print(int(line.split()[1]) * 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_map_of_128_by_128_goes_forward_and_backward_in_less_than_3_gb():
    """16 images, 64 channels, no pooling: one literal map of them takes 17 GB."""
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 3e9
