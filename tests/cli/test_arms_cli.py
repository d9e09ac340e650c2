"""Runs with something else in attention's place: what they can do, and what is refused."""

from dataclasses import replace

import pytest
from attention_run import NETWORK
from command_line import sagan

from sagan.config import DataConfig, RunConfig
from sagan.models import build_discriminator, build_generator
from sagan.runs.run import Run


@pytest.fixture(params=["residual", "global-context"])
def run(request, tmp_path):
    network = replace(NETWORK, attention_form=request.param)
    config = RunConfig(network=network, data=DataConfig(class_names=("a", "b", "c")))
    made = Run(tmp_path / "run")
    made.write_config(config)
    tensors = {
        "ema": build_generator(network).state_dict(),
        "discriminator": build_discriminator(network).state_dict(),
    }
    made.save(1, tensors, config=config, keep=1)
    return made.path


@pytest.mark.parametrize("command", ["explain", "explore"])
def test_there_are_no_maps_to_look_at(run, command, capfd):
    more = ["--out", run.parent / "o"] if command == "explain" else []
    assert sagan(command, run, *more) == 2
    said = capfd.readouterr().err
    assert "blocks in attention's place, which have no maps" in said
    assert said.count("\n") == 1
    assert not (run.parent / "o").exists()


def test_it_is_sampled_and_exported_but_for_maps(run, capfd):
    assert sagan("sample", run, "--num", 3, "--out", run.parent / "s.png") == 0
    file = run.parent / "m.safetensors"
    assert sagan("export", run, "--format", "safetensors", "--out", file) == 0
    assert sagan("sample", file, "--num", 3, "--out", run.parent / "t.png") == 0
    assert (run.parent / "s.png").read_bytes() == (run.parent / "t.png").read_bytes()
    capfd.readouterr()
    pytest.importorskip("onnxruntime")
    onnx = run.parent / "m.onnx"
    assert sagan("export", run, "--format", "onnx", "--attention", "--out", onnx) == 2
    assert "has no attention maps in its generator" in capfd.readouterr().err
    assert not onnx.exists()


def test_spatial_latents_are_chosen_for_their_size(tmp_path, capfd):
    small = ["--g-width", 4, "--d-width", 8, "--batch-size", 16, "--images", 16, "--device", "cpu"]
    run = tmp_path / "run"
    command = ["train", run, "--data", "digits", *small, "--latent", "spatial"]
    assert sagan(*command) == 0
    assert Run(run).config().network.latent_dim == 8 * 4 * 4
    assert sagan("train", run, "--images", 32) == 0
    assert sagan("train", run, "--latent", "vector") == 2
    assert "network.latent: spatial -> vector" in capfd.readouterr().err
    other = ["train", tmp_path / "b", "--init", run, "--images", 16, "--device", "cpu"]
    assert sagan(*other, "--resolution", 16) == 2
    assert "spatial latents belong to their map" in capfd.readouterr().err
    assert sagan(*other, "--latent", "vector") == 2
    assert "--latent cannot be chosen with --init" in capfd.readouterr().err
