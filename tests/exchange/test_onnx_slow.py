"""Exported generators of large images: maps of 4096 by 4096 pixels that fit into memory."""

import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from sagan.bench.memory import peak_bytes
from sagan.config import RunConfig
from sagan.config.presets import preset
from sagan.exchange.onnx import export_onnx
from sagan.models import build_generator
from sagan.runs.run import Run

pytestmark = pytest.mark.slow

SAMPLING = """
import sys, sagan
from sagan.bench.memory import peak_bytes
sagan.sample(sagan.load(sys.argv[1]), 32, batch_size=32)
print(peak_bytes())
"""


@pytest.mark.skipif(peak_bytes() is None, reason="the system does not tell")
@pytest.mark.parametrize("name", ["article", "best"])
def test_a_narrow_network_of_128_px_is_exported_and_sampled_in_2_gb(name, tmp_path):
    network = replace(preset(name, 128)[0], g_width=8)
    assert max(network.g_attention) == 64
    generator = build_generator(network)
    for parameter_name, parameter in generator.named_parameters():
        if parameter_name.endswith("gamma"):
            torch.nn.init.constant_(parameter, 0.7)
    run = Run(tmp_path / "run")
    config = RunConfig(network=network)
    run.write_config(config)
    run.save(1, {"ema": generator.state_dict()}, config=config, keep=1)
    done = export_onnx(run.path, tmp_path / "model.onnx", attention=True)
    assert max(done.differences.values()) < 1e-5
    command = [sys.executable, "-c", SAMPLING, str(done.path)]
    peak = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert int(peak) < 2e9  # whole, the article's maps of 32 images would take 6 GB
