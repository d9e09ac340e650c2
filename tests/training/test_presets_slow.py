"""Every preset takes ten real steps at its native size, narrow where memory forbids."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from sagan.config.presets import PRESETS
from sagan.runs.log import read_records
from sagan.runs.run import find_checkpoint

NARROW = ["--g-width", "8", "--d-width", "8"]
OPTIONS = {
    "digits": ["--data", "digits"],
    "quick": ["--data", "fashion", "--grow", "none"],
    "quick-few": ["--data", "photographs", "--grow", "none"],
    "article": ["--data", "photographs", "--batch-size", "16"],
    "article-quoted": ["--data", "photographs", "--batch-size", "16"],
    "paper": ["--data", "photographs", "--batch-size", "8", "--standing-batches", "2", *NARROW],
    "best": ["--data", "photographs", "--batch-size", "8", *NARROW],
    "cifar": ["--data", "photographs", "--batch-size", "16", "--g-width", "16"],
    "small": ["--data", "photographs"],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PRESETS)
def test_ten_steps_at_native_size(name, tmp_path):
    path = tmp_path / name
    network, training = PRESETS[name]
    options = OPTIONS[name]
    given = "--batch-size" in options
    batch = int(options[options.index("--batch-size") + 1]) if given else training.batch_size
    images = 10 * batch * training.d_steps
    command = [sys.executable, "-m", "sagan", "train", str(path), "--preset", name]
    command += [*options, "--images", str(images), "--log-every", str(images)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    checkpoint = find_checkpoint(path, verify_files=None)
    assert checkpoint.step == 10
    assert checkpoint.config.network.resolution == network.resolution
    (record,) = [r for r in read_records(path / "log.jsonl") if r["kind"] == "train"]
    assert all(np.isfinite(v) for k, v in record.items() if isinstance(v, float))
    first = checkpoint.tensors("g_optimizer")
    gammas = [v for k, v in first.items() if k.endswith("gamma.exp_avg_sq")]
    assert len(gammas) == len(network.g_attention)
    assert all(value > 0 for value in gammas)  # attention learns
    (grid,) = (path / "samples").iterdir()
    assert np.asarray(Image.open(grid)).std() > 1
    assert all(v.isfinite().all() for v in checkpoint.tensors("ema").values() if v.ndim)


@pytest.mark.slow
def test_article_at_64_px_batch_64_trains_within_its_memory(tmp_path):
    """At most 1.8 GB on the CPU, everything included (peak resident size of the process)."""
    code = (
        "import sys\n"
        "from sagan.bench.memory import peak_bytes\n"
        "from sagan.cli import app, run_safely\n"
        "from pathlib import Path\n"
        f"code = run_safely(lambda: app(['train', {str(tmp_path / 'run')!r}, '--preset', 'article',"
        " '--data', 'photographs', '--images', '256', '--device', 'cpu']))\n"
        "print(peak_bytes())\n"
        "sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 1.8e9


@pytest.mark.slow
@pytest.mark.parametrize("resolution", [8, 16, 32, 64, 128, 256])
def test_paper_takes_a_step_at_every_resolution(resolution, tmp_path):
    command = [sys.executable, "-m", "sagan", "train", str(tmp_path / "run"), "--preset", "paper"]
    command += ["--data", "photographs", "--resolution", str(resolution), "--batch-size", "4"]
    command += [*NARROW, "--images", "8", "--standing-batches", "1"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert torch.isfinite(
        find_checkpoint(tmp_path / "run", verify_files=None).tensors("ema")["norm.weight"]
    ).all()
