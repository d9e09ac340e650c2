"""An exported generator is the generator: its images and maps, whatever opens it."""

import dataclasses
import json
import re
import sys
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
import safetensors
import torch
from torch import nn

import sagan
from sagan.config import DataConfig, InitConfig, NetworkConfig, RunConfig
from sagan.config.channels import generator_blocks
from sagan.config.presets import preset
from sagan.errors import ExportError
from sagan.exchange import onnx as exchange_onnx
from sagan.exchange.onnx import OnnxGenerator, export_onnx, onnx_bytes
from sagan.exchange.open_exported import open_generator
from sagan.exchange.run_card import write_card
from sagan.exchange.safetensors_file import export_weights
from sagan.exchange.truncation import truncated
from sagan.models import build_generator
from sagan.nn import ConditionalBatchNorm
from sagan.nn.attention import record_attention
from sagan.runs.log import append_records
from sagan.runs.run import Run
from sagan.sharing.facts import Facts

NETWORKS = {
    "dcgan": replace(preset("article", 32)[0], g_width=8, d_width=8),
    "conditional": NetworkConfig(resolution=16, classes=3, g_width=8, g_attention=(8,)),
    "unconditional": NetworkConfig(
        resolution=8, channels=1, g_width=8, g_attention=(8,), attention_form="article"
    ),
}


def lively(config, *, seed=0):
    """A generator as after some training: every table, statistic and gamma of it counts."""
    torch.manual_seed(seed)
    network = build_generator(config, seed=seed).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
        if isinstance(module, ConditionalBatchNorm):
            nn.init.normal_(module.gain.weight, 0, 0.3)
            nn.init.normal_(module.bias.weight)
    for name, parameter in network.named_parameters():
        if name.endswith("gamma"):
            nn.init.constant_(parameter, 0.7)
    return network


def made_run(path, kind):
    """A run of a lively generator, the averaged and the raw one apart."""
    network = NETWORKS[kind]
    names = ("cat", "dog | cow", "eel")[: network.classes]
    config = RunConfig(
        network=network,
        data=DataConfig(source="/home/me/pets", class_names=names),
        init=InitConfig(source="/home/me/runs/animals", sha256="0" * 64),
    )
    run = Run(path)
    run.write_config(config)
    tensors = {
        "ema": lively(network).state_dict(),
        "generator": lively(network, seed=1).state_dict(),
    }
    run.save(7, tensors, config=config, keep=1, facts={"images": 448})
    return run


def without_path(config):
    """The configuration as it is exported."""
    assert config.data.source == "/home/me/pets"
    data, init = config.data, config.init
    return dataclasses.replace(
        config,
        data=dataclasses.replace(data, source="pets"),
        init=dataclasses.replace(init, source="animals"),
    )


@pytest.fixture(scope="module", params=NETWORKS)
def exported(request, tmp_path_factory):
    """A run and its ONNX file with attention maps: each takes the exporter some seconds."""
    run = made_run(tmp_path_factory.mktemp(request.param) / "pets", request.param)
    done = export_onnx(run.path, run.path / "model.onnx", attention=True)
    return run, done


def inputs(config, batch):
    labels = torch.arange(batch).flip(0) % config.classes if config.classes else None
    return torch.randn(batch, config.latent_dim), labels


@pytest.mark.parametrize("batch", [1, 2, 5, 16])
def test_images_and_maps_are_those_of_the_run_at_any_batch(exported, batch):
    run, done = exported
    ours, theirs = sagan.load(run.path), sagan.load(done.path)
    assert isinstance(theirs, OnnxGenerator)
    latents, labels = inputs(ours.config, batch)
    with record_attention(ours) as maps:
        images = ours(latents, labels)
    assert images.std() > 0.02
    torch.testing.assert_close(theirs(latents, labels), images, rtol=0, atol=1e-5)
    found = theirs.attention(latents, labels)
    assert list(found) == list(maps)
    assert len(found) > 0
    for name, expected in maps.items():
        torch.testing.assert_close(found[name], expected.weights, rtol=0, atol=1e-5)


def test_samples_of_the_same_seeds_are_the_same(exported):
    run, done = exported
    ours, theirs = (sagan.sample(sagan.load(p), 9, seed=3) for p in (run.path, done.path))
    assert ours.float().std() > 10
    assert (ours.int() - theirs.int()).abs().max() <= 1


@pytest.mark.parametrize("truncation", [0.05, 0.7, 2.0, 1])
def test_truncation_is_an_input_that_may_be_left_out(exported, truncation):
    run, done = exported
    ours, theirs = sagan.load(run.path), sagan.load(done.path)
    latents, labels = inputs(ours.config, 4)
    less = truncated(latents, torch.tensor(float(truncation)))
    with torch.no_grad():
        assert torch.allclose(
            theirs(latents, labels, truncation=truncation), ours(less, labels), rtol=0, atol=1e-5
        )
    assert torch.equal(theirs(latents, labels, truncation=0), theirs(latents, labels))
    feed = {"latents": latents.numpy()} | ({} if labels is None else {"labels": labels.numpy()})
    session = onnxruntime.InferenceSession(done.path)
    of_none, of_zero = (
        session.run(["images"], feed | more)[0]
        for more in ({}, {"truncation": np.zeros((), np.float32)})
    )
    assert np.array_equal(of_none, of_zero)
    for wrong in (-1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="truncation must be 0"):
            theirs(latents, labels, truncation=wrong)


@pytest.mark.parametrize("batch", [0, 1, 2, 5])
def test_maps_are_made_for_so_many_images_at_once_as_memory_allows(exported, batch, monkeypatch):
    _, done = exported
    generator = sagan.load(done.path)
    latents, labels = inputs(generator.config, batch)
    whole, whole_maps = generator(latents, labels), generator.attention(latents, labels)
    of_one = generator.attention(*inputs(generator.config, 1))
    most_bytes = 2 * max(weights.nbytes for weights in of_one.values())
    monkeypatch.setattr(exchange_onnx, "_MAX_MAP_BYTES", most_bytes)
    session, sizes = generator._session, []

    class Watched:
        def run(self, names, feed):
            sizes.append(len(feed["latents"]))
            return session.run(names, feed)

    generator._session = Watched()
    assert torch.allclose(generator(latents, labels), whole, rtol=0, atol=1e-5)
    assert sizes == {0: [0], 1: [1], 2: [2], 5: [2, 2, 1]}[batch]
    for name, weights in generator.attention(latents, labels).items():
        assert torch.allclose(weights, whole_maps[name], rtol=0, atol=1e-5)


def test_the_parity_that_is_told_was_measured(exported):
    _, done = exported
    assert list(done.differences) == [1, 2, 7]
    assert all(0 < difference < 1e-4 for difference in done.differences.values())
    assert done.n_bytes == done.path.stat().st_size


def test_any_reader_finds_inputs_outputs_and_facts(exported):
    run, done = exported
    network = run.config().network
    session = onnxruntime.InferenceSession(done.path)
    wanted = [("latents", "tensor(float)", ["batch", network.latent_dim])]
    if network.classes:
        wanted.append(("labels", "tensor(int64)", ["batch"]))
    assert [(i.name, i.type, i.shape) for i in session.get_inputs()] == wanted
    first, *maps = session.get_outputs()
    side = network.resolution
    assert (first.name, first.shape) == ("images", ["batch", network.channels, side, side])
    strings = session.get_modelmeta().custom_metadata_map
    shapes = json.loads(strings["sagan.attention"])
    assert [m.name for m in maps] == list(shapes)
    for found in maps:
        shape = shapes[found.name]
        queries = shape["height"] * shape["width"]
        assert found.shape == ["batch", queries, queries // shape["key_stride"] ** 2]
    assert json.loads(strings["class_names"]) == list(run.config().data.class_names)
    assert (strings["sagan.step"], strings["sagan.weights"]) == ("7", "ema")
    assert strings["sagan.version"] == sagan.__version__
    assert open_generator(done.path).config == without_path(run.config())


def test_every_doubling_is_one_transposed_convolution(exported):
    run, done = exported
    network = run.config().network
    operations = [node.op_type for node in onnx.load(done.path).graph.node]
    blocks = len(generator_blocks(network))
    resnet = network.family == "resnet"
    assert operations.count("ConvTranspose") == (blocks if resnet else blocks + 1)  # and the image
    assert operations.count("Resize") == (blocks if resnet else 0)  # the shortcuts


def test_no_path_of_the_machine_that_wrote_it_is_in_the_file(exported):
    _, done = exported
    assert b".py" not in done.path.read_bytes()


def test_what_cannot_be_generated_is_refused(exported):
    run, done = exported
    generator, config = sagan.load(done.path), run.config().network
    latents, labels = inputs(config, 2)
    with pytest.raises(ValueError, match=f"latents must be b x {config.latent_dim}, not"):
        generator(latents[:, 1:], labels)
    if not config.classes:
        with pytest.raises(ValueError, match="takes no labels"):
            generator(latents, torch.tensor([0, 0]))
        return
    for wrong in (-1, 3):  # -1 would be the last class there
        with pytest.raises(ValueError, match=f"class {wrong} is not in 0 to 2"):
            generator(latents, torch.tensor([0, wrong]))
    with pytest.raises(ValueError, match="are needed"):
        generator(latents)
    with pytest.raises(ValueError, match="takes class numbers; to mix classes, use the run"):
        generator(latents, torch.ones(2, 3) / 3)


@pytest.fixture(scope="module")
def plain():
    """The smallest file there is, without maps, as bytes."""
    config = RunConfig(network=NETWORKS["unconditional"])
    return onnx_bytes(lively(config.network), Facts(config, 7, "ema"))


def test_spatial_latents_are_exported_at_any_batch():
    sizes = {"resolution": 8, "channels": 1, "g_width": 8}
    network = lively(NetworkConfig(**sizes, latent="spatial", latent_dim=32))
    content = onnx_bytes(network, Facts(RunConfig(network=network.config), 7, "ema"))
    exported = OnnxGenerator(content, "model.onnx")
    for batch in (1, 2, 5):
        latents, _ = inputs(network.config, batch)
        with torch.no_grad():
            torch.testing.assert_close(exported(latents), network(latents), rtol=0, atol=1e-5)


def test_maps_are_there_only_when_asked_for(plain):
    generator = OnnxGenerator(plain, "model.onnx")
    with pytest.raises(ValueError, match="has no attention maps: export with --attention"):
        generator.attention(torch.randn(1, 128))
    assert [o.name for o in onnx.load_from_string(plain).graph.output] == ["images"]


def test_what_no_file_can_hold_is_refused_before_the_work(tmp_path, monkeypatch):
    run = made_run(tmp_path / "pets", "unconditional")
    n_bytes = sum(t.nbytes for t in sagan.load(run.path).state_dict().values())
    monkeypatch.setattr(exchange_onnx, "_MAX_FILE_BYTES", n_bytes - 1)
    with pytest.raises(ValueError, match="GiB, and an ONNX file holds at most 2"):
        export_onnx(run.path, tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()


def test_a_file_that_differs_is_not_written(tmp_path, monkeypatch, plain):
    run = made_run(tmp_path / "pets", "unconditional")
    model = onnx.load_from_string(plain)
    weight = next(t for t in model.graph.initializer if len(t.dims) == 4)
    changed = onnx.numpy_helper.to_array(weight).copy()
    for value in (changed.flat[0] + 0.1, float("nan")):
        changed.flat[0] = value
        weight.CopyFrom(onnx.numpy_helper.from_array(changed, weight.name))
        broken = model.SerializeToString()
        monkeypatch.setattr(exchange_onnx, "onnx_bytes", lambda *_, broken=broken, **__: broken)
        with pytest.raises(ExportError, match=r"differ from PyTorch's by .* was not written"):
            export_onnx(run.path, tmp_path / "model.onnx")
        assert not (tmp_path / "model.onnx").exists()


def test_a_file_that_cannot_be_run_is_not_written(tmp_path, monkeypatch, plain):
    short = replace(NETWORKS["unconditional"], latent_dim=64)
    monkeypatch.setitem(NETWORKS, "short", short)
    run = made_run(tmp_path / "pets", "short")
    model = onnx.load_from_string(plain)  # takes latents of 128
    onnx.helper.set_model_props(model, Facts(RunConfig(network=short), 7, "ema").to_strings())
    monkeypatch.setattr(exchange_onnx, "onnx_bytes", lambda *_, **__: model.SerializeToString())
    with pytest.raises(ExportError, match=r"ONNX Runtime cannot run .* was not written") as error:
        export_onnx(run.path, tmp_path / "model.onnx")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "model.onnx").exists()


def test_files_that_are_no_model_of_ours_are_told(tmp_path, plain):
    file = tmp_path / "model.onnx"
    for content in (b"", b"no model", plain[: len(plain) // 2]):
        file.write_bytes(content)
        with pytest.raises(ValueError, match=r"model\.onnx is not an ONNX model that can be run: "):
            sagan.load(file)
    model = onnx.load_from_string(plain)
    del model.metadata_props[:]
    file.write_bytes(model.SerializeToString())
    with pytest.raises(ValueError, match="was not written by sagan export"):
        sagan.load(file)
    onnx.helper.set_model_props(model, {"sagan.config": '{"network": 3}'})
    file.write_bytes(model.SerializeToString())
    with pytest.raises(ValueError, match="has a configuration that cannot be read"):
        sagan.load(file)
    with pytest.raises(ValueError, match="does not exist"):
        sagan.load(tmp_path / "nowhere.onnx")
    file.write_bytes(plain)
    with pytest.raises(ValueError, match="on the CPU, not on cuda"):
        sagan.load(file, device="cuda")
    with pytest.raises(ValueError, match="has the averaged weights only"):
        sagan.load(file, weights="raw")


def test_a_missing_extra_is_one_line_that_says_how_to_install_it(tmp_path, monkeypatch, plain):
    (tmp_path / "model.onnx").write_bytes(plain)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ValueError, match=re.escape("pip install 'sagan[onnx]'")):
        sagan.load(tmp_path / "model.onnx")
    run = made_run(tmp_path / "pets", "unconditional")
    with pytest.raises(ValueError, match=re.escape("pip install 'sagan[onnx]'")):
        export_onnx(run.path, tmp_path / "other.onnx")
    assert not (tmp_path / "other.onnx").exists()


@pytest.mark.parametrize("weights", ["ema", "raw"])
def test_a_weights_file_is_the_runs_generator_and_says_so(tmp_path, weights):
    run = made_run(tmp_path / "pets", "conditional")
    file = tmp_path / "model.safetensors"
    assert export_weights(run.path, file, weights=weights) == file.stat().st_size
    ours, theirs = sagan.load(run.path, weights=weights), sagan.load(file)
    state = theirs.state_dict()
    assert all(torch.equal(state[name], value) for name, value in ours.state_dict().items())
    latents, labels = inputs(ours.config, 3)
    assert torch.equal(theirs(latents, labels), ours(latents, labels))
    folded = sagan.load(file, fold=True)(latents, labels)
    torch.testing.assert_close(folded, ours(latents, labels), rtol=0, atol=1e-5)
    assert open_generator(file).config == without_path(run.config())
    if weights == "ema":
        with pytest.raises(ValueError, match="averaged weights only"):
            sagan.load(file, weights="raw")


def test_weights_files_that_are_none_of_ours_are_told(tmp_path):
    run = made_run(tmp_path / "pets", "unconditional")
    file = tmp_path / "model.safetensors"
    export_weights(run.path, file)
    whole = file.read_bytes()
    for content in (b"", whole[:-1]):
        file.write_bytes(content)
        with pytest.raises(ValueError, match=r"is damaged|is not a safetensors file"):
            sagan.load(file)
    safetensors.torch.save_file({"weight": torch.zeros(2)}, file)
    with pytest.raises(ValueError, match="was not written by sagan export"):
        sagan.load(file)
    strings = Facts(run.config(), 7, "ema").to_strings()
    safetensors.torch.save_file({"weight": torch.zeros(2)}, file, strings)
    with pytest.raises(ValueError, match="other weights than its configuration says"):
        sagan.load(file)


def test_a_card_says_what_the_run_knows_and_its_code_runs(tmp_path, monkeypatch, plain):
    run = made_run(tmp_path / "pets", "conditional")
    score = {"title": "cas", "metric": "cas", "value": 0.9512, "spread": 0.004, "n_generated": 600}
    score |= {"better": "higher", "real_vs_real": {"value": 0.99, "spread": None}, "n_real": 599}
    mine = {**score, "step": 7, "weights": "ema"}
    others = [{**mine, "step": 6, "value": 0.1}, {**mine, "weights": "raw", "value": 0.2}]
    others += [{**mine, "standing_batches": 5, "value": 0.4}]  # other statistics
    evaluations = run.path / "evaluations.jsonl"
    append_records(evaluations, {**mine, "value": 0.3}, mine, *others)
    append_records(evaluations, {**mine, "title": "fd", "data": "/home/me/zoo", "value": 3})
    append_records(evaluations, {**mine, "title": "kid", "value": None})  # it was not finite
    with evaluations.open("a") as torn:
        torn.write('{"metric": "fd:pix')
    file = tmp_path / "here" / "model.safetensors"
    file.parent.mkdir()
    export_weights(run.path, file)
    grid = file.with_name("grid.png")
    write_card(run.path, file, file.with_name("README.md"), grid)
    text = file.with_name("README.md").read_text()
    assert "| cas | 0.9512 ± 0.004 | higher | 0.99 | 600 against 599 |" in text
    assert "| fd | 3 ± 0.004 | higher | 0.99 | 600 against 599 of zoo |" in text
    assert "| kid | - | higher | 0.99 |" in text
    assert len(re.findall(r"^\| cas ", text, flags=re.MULTILINE)) == 1  # of these weights, the last
    assert r"| classes | 3: cat, dog \| cow, eel |" in text
    assert "| data | pets |" in text  # not where it lay
    assert "| fine-tuned from | animals |" in text
    assert "/home/me" not in text
    assert "| images seen | 448 |" in text
    assert "](grid.png)" in text
    assert grid.is_file()
    monkeypatch.chdir(file.parent)
    names = {}
    for code in re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL):
        exec(code, names)
    assert names["images"].shape == (16, 3, 16, 16)


def test_the_card_of_an_onnx_file_runs_without_us_too(exported, monkeypatch):
    run, done = exported
    card = done.path.with_name("README.md")
    write_card(run.path, done.path, card, card.with_name("grid.png"))
    monkeypatch.chdir(card.parent)
    ours, alone = re.findall(r"```python\n(.*?)```", card.read_text(), flags=re.DOTALL)
    assert "sagan" not in alone
    side = run.config().network.resolution
    for code in (ours, alone):
        names = {}
        exec(code, names)
        assert names["images"].shape == (16, run.config().network.channels, side, side)
    assert names["images"].min() >= -1
    assert "## Scores" not in card.read_text()  # there are none
