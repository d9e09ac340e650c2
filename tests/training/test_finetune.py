"""Fine-tuning: what is kept of another run, and how it is fitted."""

import dataclasses

import digits_run
import numpy as np
import pytest
import torch
from digits_run import fingerprint

from sagan.config import DataConfig, InitConfig, NetworkConfig, Runtime, TrainingConfig
from sagan.config.resized import resized
from sagan.data import ImageDataset
from sagan.errors import CheckpointError, TrainingFailure
from sagan.exchange.open_exported import load
from sagan.models import build_discriminator, build_generator
from sagan.nn.attention import record_attention
from sagan.runs.log import read_records
from sagan.runs.open_run import load_discriminator
from sagan.runs.run import Run, find_checkpoint
from sagan.training import init_from, train
from sagan.training import update as update_module
from sagan.training.finetune import transferred
from sagan.training.finetune_classes import Classes, reclassed, reclassed_moments
from sagan.training.start import train_run

CPU = Runtime(device="cpu")
NETWORK = NetworkConfig(
    resolution=16,
    channels=1,
    classes=3,
    latent_dim=8,
    g_width=4,
    d_width=8,
    g_attention=(8,),
    d_attention=(8,),
)
TRAINING = TrainingConfig(images=32, batch_size=8, log_every=8, snapshot_every=16)
NAMES = ("ant", "bee", "cat")


def pictures(names, resolution=16):
    draws = np.random.default_rng(0)
    labels = np.arange(24) % len(names) if names else None
    images = draws.integers(0, 256, (24, 1, resolution, resolution), np.uint8)
    return ImageDataset(images, labels, tuple(names))


def configure(names=NAMES, network=NETWORK, init=None, **training):
    network = dataclasses.replace(network, classes=len(names))
    config = digits_run.configure(network, TRAINING, **training)
    data = DataConfig(source="pictures", class_names=tuple(names))
    return dataclasses.replace(config, data=data, init=init or InitConfig())


def fit(path, config, **options):
    data = pictures(config.data.class_names, config.network.resolution)
    train(config, Run(path), data, **{"runtime": CPU, "progress": False, **options})
    return path


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A run of three classes, trained for a moment."""
    return fit(tmp_path_factory.mktemp("source") / "run", configure(g_lr=1e-2, d_lr=1e-2))


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """The same, with the class in the generator's first layer."""
    network = dataclasses.replace(NETWORK, class_input=True)
    config = configure(network=network, g_lr=1e-2, d_lr=1e-2)
    return fit(tmp_path_factory.mktemp("told") / "run", config)


def into(source, names, network=NETWORK, **training):
    config = configure(names, network, init_from(str(source)), **training)
    return (*transferred(find_checkpoint(source, verify_files=None), config), config)


def generator_of(tensors, config):
    generator = build_generator(config.network).eval()
    generator.load_state_dict(tensors["ema"])
    return generator


def test_the_same_classes_in_another_order_give_the_same_images(source):
    tensors, parts, _, config = into(source, ("cat", "ant"))
    latents = torch.randn(5, 8)
    with torch.no_grad():
        for label, before in enumerate((2, 0)):
            ours = generator_of(tensors, config)(latents, torch.full((5,), label))
            theirs = load(source)(latents, torch.full((5,), before))
            assert torch.allclose(ours, theirs, atol=1e-6)
    assert [part.share for part in parts] == [1, 1]
    assert not any(part.fresh or part.left for part in parts)


def test_the_same_classes_keep_everything_but_the_size_of_normalised_weights(source):
    tensors, _, classes, _ = into(source, NAMES)
    assert classes.same
    checkpoint = find_checkpoint(source, verify_files=None)
    for name, group in tensors.items():
        before = checkpoint.tensors(name)
        assert group.keys() == before.keys()
        kept = [k for k in group if ".layer.weight" not in k]
        assert len(kept) > len(group) / 3
        assert all(torch.equal(group[key], before[key]) for key in kept)


def test_normalised_weights_are_as_large_as_fresh_ones_and_adam_knows(source):
    tensors, _, _, config = into(source, NAMES)
    checkpoint = find_checkpoint(source, verify_files=None)
    for file, optimizer, build in (
        ("generator", "g_optimizer", build_generator),
        ("discriminator", "d_optimizer", build_discriminator),
    ):
        fresh = build(config.network).state_dict()
        before, after = checkpoint.tensors(file), tensors[file]
        old_adam, new_adam = checkpoint.tensors(optimizer), tensors[optimizer]
        names = [name for name in after if name.endswith(".layer.weight")]
        assert len(names) > 5
        for name in names:
            assert torch.allclose(after[name].norm(), fresh[name].norm(), rtol=1e-4)
            excess = (before[name].norm() / fresh[name].norm()).item()
            assert torch.allclose(after[name] * excess, before[name], rtol=1e-4, atol=1e-7)
            # A weight k times smaller has a gradient k times larger.
            for moment, power in (("exp_avg", 1), ("exp_avg_sq", 2)):
                old, new = old_adam[f"{name}.{moment}"], new_adam[f"{name}.{moment}"]
                assert torch.allclose(new, old * excess**power, rtol=1e-4)
            assert torch.equal(new_adam[f"{name}.step"], old_adam[f"{name}.step"])


def test_the_gradient_of_a_smaller_weight_is_as_much_larger(source):
    """What Adam's moments are scaled by."""
    tensors, _, _, config = into(source, NAMES)
    latents, labels, gradients = torch.randn(4, 8), torch.tensor([0, 1, 2, 0]), []
    for state in (
        find_checkpoint(source, verify_files=None).tensors("generator"),
        tensors["generator"],
    ):
        generator = build_generator(config.network).eval()
        generator.load_state_dict(state)
        generator(latents, labels).square().sum().backward()
        weight = generator.linear.layer.weight
        gradients.append((weight.grad, weight.detach().norm()))
    (before, large), (after, small) = gradients
    assert torch.allclose(after, before * large / small, rtol=1e-3, atol=1e-6)


def test_a_new_class_begins_fresh(source):
    tensors, _, classes, _ = into(source, ("bee", "owl"))
    assert classes.known == (1, None)
    before, after = find_checkpoint(source, verify_files=None).tensors("ema"), tensors["ema"]
    tables = [name for name in before if ".gain.weight" in name or ".bias.weight" in name]
    assert len(tables) == 8
    for name in tables:
        assert torch.equal(after[name][0], before[name][1])
        assert (after[name][1] == 0).all()
    embedding = find_checkpoint(source, verify_files=None).tensors("discriminator")[
        "embedding.layer.weight"
    ]
    bee, owl = tensors["discriminator"]["embedding.layer.weight"]
    assert torch.allclose(bee / bee.norm(), embedding[1] / embedding[1].norm(), atol=1e-6)
    assert 0.3 < owl.norm() / bee.norm() < 3


def test_the_embeddings_new_norm_is_known_at_once(source):
    tensors, _, _, config = into(source, ("bee", "owl", "cat", "dog"))
    discriminator = build_discriminator(config.network)
    discriminator.load_state_dict(tensors["discriminator"])
    sigma = torch.linalg.matrix_norm(discriminator.embedding.layer.weight, 2)
    assert 0.8 < discriminator.embedding.sigma() / sigma < 1.0001


def test_adams_state_comes_along_row_by_row(source):
    tensors, _, _, _ = into(source, ("owl", "bee"))
    before, after = (
        find_checkpoint(source, verify_files=None).tensors("g_optimizer"),
        tensors["g_optimizer"],
    )
    assert after.keys() == before.keys()
    linear = "linear.layer.bias.exp_avg_sq"
    assert torch.equal(after[linear], before[linear])
    table = "blocks.0.norm1.norm.gain.weight"
    assert torch.equal(after[f"{table}.step"], before[f"{table}.step"])
    assert torch.equal(after[f"{table}.exp_avg"][1], before[f"{table}.exp_avg"][1])
    assert (after[f"{table}.exp_avg"][0] == 0).all()
    assert torch.equal(after[f"{table}.exp_avg_sq"][0], before[f"{table}.exp_avg_sq"][1])


def test_a_tables_state_goes_where_none_of_its_classes_is_known(source):
    tensors, _, _, _ = into(source, ("owl", "dog"))
    names = {name.rsplit(".", 1)[0] for name in tensors["g_optimizer"]}
    assert "linear.layer.weight" in names
    assert not any(".gain." in name or ".bias.weight" in name for name in names)


def test_losing_the_classes_keeps_their_mean(source):
    tensors, parts, _, config = into(source, ())
    generator = generator_of(tensors, config)
    labels = torch.full((4, 3), 1 / 3)  # all classes mixed alike
    latents = torch.randn(4, 8)
    with torch.no_grad():
        assert torch.allclose(generator(latents), load(source)(latents, labels), atol=1e-6)
    assert parts[1].left == ("embedding",)
    assert not any(part.fresh for part in parts)


def test_the_first_layers_classes_go_where_those_of_the_norms_go(told):
    network = dataclasses.replace(NETWORK, class_input=True)
    before = load(told)
    assert before.class_input.weight.abs().min(1).values.gt(0).all()  # trained
    tensors, *_ = into(told, ("cat", "owl"), network)
    table = tensors["ema"]["class_input.weight"]
    assert torch.equal(table[0], before.class_input.weight[2])
    assert not table[1].any()
    tensors, _, _, config = into(told, (), network)
    latents, alike = torch.randn(4, 8), torch.full((4, 3), 1 / 3)
    with torch.no_grad():
        ours = generator_of(tensors, config)(latents)
        assert torch.allclose(ours, before(latents, alike), atol=1e-6)
    assert not any("class_input" in name for name in tensors["g_optimizer"])


def test_getting_classes_begins_with_all_alike(tmp_path, source):
    plain = fit(tmp_path / "plain", configure((), init=init_from(str(source))))
    tensors, parts, _, config = into(plain, ("x", "y"))
    latents = torch.randn(4, 8)
    with torch.no_grad():
        for label in range(2):
            ours = generator_of(tensors, config)(latents, torch.full((4,), label))
            assert torch.allclose(ours, load(plain)(latents), atol=1e-6)
    assert parts[1].fresh == ("embedding",)


@pytest.mark.parametrize("resolution", [8, 32, 64])
def test_another_resolution_keeps_the_blocks_of_the_maps_that_stay(source, resolution):
    network = resized(NETWORK, resolution)
    tensors, (g, d), _, config = into(source, NAMES, network)
    generator, before = generator_of(tensors, config), load(source)
    maps = {}
    for name, network in (("ours", generator), ("before", before)):
        network.norm.register_forward_pre_hook(lambda _, x, name=name: maps.update({name: x[0]}))
    latents, labels = torch.randn(2, 8), torch.tensor([0, 2])
    with torch.no_grad(), record_attention(generator) as ours, record_attention(before) as theirs:
        image, _ = generator(latents, labels), before(latents, labels)
    # The 8 px map is that of before; its attention sees the same.
    assert torch.allclose(ours["attention.0"].weights, theirs["attention.0"].weights, atol=1e-6)
    assert {"linear", "blocks.0", "attention.0"} <= set(g.kept)
    assert "linear" in d.kept
    assert image.shape[-1] == resolution
    if resolution == 8:
        assert set(g.left) == {"blocks.1", "norm", "to_image"}
        assert set(g.fresh) == {"norm", "to_image"}
        return
    assert set(g.fresh) == {f"blocks.{i}" for i in range(2, len(generator.blocks))}
    assert not g.left
    # An added block hands its input on: the last map is the one of before, enlarged.
    larger = torch.nn.functional.interpolate(maps["before"], size=(resolution, resolution))
    assert (maps["ours"] - larger).norm() < 0.5 * larger.norm()


def test_a_discriminator_that_grows_keeps_its_deep_blocks(source):
    grown = resized(resized(NETWORK, 32), 64)
    _, (_, d), _, _ = into(source, NAMES, grown)
    assert "blocks.0" in d.kept  # which sees images
    n_before = len(build_discriminator(NETWORK).blocks)
    n_after = len(build_discriminator(grown).blocks)
    deep = {f"blocks.{i}" for i in range(n_after - n_before + 1, n_after)}
    assert deep <= set(d.kept)
    assert set(d.fresh) == {f"blocks.{i}" for i in range(1, n_after - n_before + 1)}


def test_other_attention_is_fresh_and_changes_nothing_yet(source):
    network = dataclasses.replace(NETWORK, g_attention=(8, 16))
    tensors, (g, _), _, config = into(source, NAMES, network)
    assert g.fresh == ("attention.1",)
    latents, labels = torch.randn(2, 8), torch.tensor([0, 1])
    generator = generator_of(tensors, config)
    with torch.no_grad():
        ours, theirs = generator(latents, labels), load(source)(latents, labels)
    assert torch.allclose(ours, theirs, atol=1e-6)


def test_a_network_of_another_family_is_refused(source):
    other = NetworkConfig(family="dcgan", resolution=32, channels=1, g_width=8, d_width=8)
    with pytest.raises(ValueError, match="networks of the resnet family"):
        into(source, (), other)


def test_training_begins_there_says_so_and_resumes_without_the_source(tmp_path, source, capfd):
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(source, copy)
    config = configure(("cat", "owl"), init=init_from(str(copy)))
    fit(tmp_path / "tuned", config, progress=True)
    said = capfd.readouterr().err
    assert said.startswith(f"Beginning from {copy}/checkpoints/step-00000004 (32 images)\n")
    assert "G: 100.0% of its weights kept (linear, blocks.0, blocks.1, attention.0, norm" in said
    assert "Classes: by name cat (1); new: owl (1)" in said
    (record,) = [r for r in read_records(tmp_path / "tuned/log.jsonl") if r["kind"] == "init"]
    assert (record["source_step"], record["known_classes"]) == (4, 1)
    shutil.rmtree(copy)
    longer = dataclasses.replace(config, training=dataclasses.replace(config.training, images=64))
    fit(tmp_path / "tuned", longer, progress=True)
    assert "Beginning" not in capfd.readouterr().err
    assert Run(tmp_path / "tuned").checkpoint(verify_files=()).step == 8


def test_a_run_broken_off_ends_as_an_unbroken_one(tmp_path, source):
    init = init_from(str(source))
    fit(tmp_path / "whole", configure(("cat", "owl"), init=init))
    fit(tmp_path / "parts", configure(("cat", "owl"), init=init, images=16))
    fit(tmp_path / "parts", configure(("cat", "owl"), init=init))
    assert fingerprint(tmp_path / "parts") == fingerprint(tmp_path / "whole")


def test_where_no_checkpoint_reads_it_begins_again_when_that_is_asked_for(tmp_path, source):
    config = configure(("cat", "owl"), init=init_from(str(source)))
    fit(tmp_path / "whole", config)
    fit(tmp_path / "broken", config)
    for file in (tmp_path / "broken").glob("checkpoints/*/manifest.json"):
        file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match="--from-scratch"):
        fit(tmp_path / "broken", config)
    Run(tmp_path / "broken").set_aside()
    fit(tmp_path / "broken", config)
    assert fingerprint(tmp_path / "broken") == fingerprint(tmp_path / "whole")


def test_a_run_taken_back_to_its_beginning_is_at_the_source_again(tmp_path, source, monkeypatch):
    config = configure(init=init_from(str(source)), snapshot_every=32)
    steps = []

    def failing(networks, *rest):
        steps.append(networks.generator.module.linear.layer.weight.detach().clone())
        if len(steps) == 3:
            raise TrainingFailure("a failure")
        return d_step_before(networks, *rest)

    d_step_before = update_module.d_step
    monkeypatch.setattr(update_module, "d_step", failing)
    data = pictures(NAMES)
    runtime = Runtime(device="cpu", rollback=1)
    train(config, Run(tmp_path / "run"), data, runtime=runtime, progress=False)
    first = into(source, NAMES)[0]["generator"]["linear.layer.weight"]
    assert torch.equal(steps[0], first)
    assert not torch.equal(steps[2], first)
    assert torch.equal(steps[3], first)


def test_a_source_that_went_on_is_refused(tmp_path, source):
    init = dataclasses.replace(init_from(str(source)), sha256="0" * 64)
    with pytest.raises(ValueError, match="was trained further since"):
        fit(tmp_path / "run", configure(init=init))
    with pytest.raises(ValueError, match="does not exist"):
        fit(tmp_path / "other", configure(init=InitConfig(source="nowhere", sha256="0")))


def test_a_run_without_discriminator_gives_its_generator(tmp_path, source):
    checkpoint = find_checkpoint(source, verify_files=None)
    only = Run(tmp_path / "only")
    only.write_config(checkpoint.config)
    files = {name: checkpoint.tensors(name) for name in ("generator", "ema")}
    only.save(0, files, config=checkpoint.config, keep=1)
    tensors, (g, d), _, _ = into(only.path, NAMES)
    assert (g.share, d.share) == (1, 0)
    assert tensors["g_optimizer"] == tensors["d_optimizer"] == {}
    fit(tmp_path / "tuned", configure(init=init_from(str(only.path))))


@pytest.mark.parametrize("blocks", [1, 3])
def test_frozen_blocks_of_the_discriminator_stay_as_they_are(tmp_path, source, blocks):
    tuned = fit(tmp_path / "tuned", configure(init=init_from(str(source)), freeze_d=blocks))
    before, after = (
        dict(load_discriminator(path).named_parameters())
        for path in (tuned / "checkpoints/step-00000000", tuned)
    )
    frozen = {f"blocks.{i}" for i in range(blocks)} | {f"attention.{i}" for i in range(blocks)}
    for name in before.keys() - {"linear.layer.bias"}:  # which moves reals and fakes alike
        is_frozen = ".".join(name.split(".")[:2]) in frozen
        moved = not torch.equal(before[name], after[name])
        assert moved != is_frozen, name


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"resolution": 32}, "would freeze blocks.1, new in this run"),
        ({"attention_form": "residual"}, "would freeze attention.0, new in this run"),
        ({"grow": "8"}, "leave out --grow or --freeze-d"),
    ],
)
def test_blocks_that_would_be_new_are_not_frozen(tmp_path, source, options, said):
    draws = np.random.default_rng(0)
    np.savez(tmp_path / "p.npz", images=draws.integers(0, 256, (24, 32, 32, 1), np.uint8))
    given = {"data": str(tmp_path / "p.npz"), "init": str(source), "device": "cpu", "images": 64}
    with pytest.raises(ValueError, match=said):
        train_run(tmp_path / "run", **given, freeze_d=2, progress=False, **options)
    assert not (tmp_path / "run").exists()


def test_more_frozen_blocks_than_there_are_is_refused(tmp_path, source):
    with pytest.raises(ValueError, match="freeze_d must be at most 3"):
        fit(tmp_path / "run", configure(init=init_from(str(source)), freeze_d=4))
    assert not (tmp_path / "run").exists()


def test_only_norms_of_classes_and_the_embedding_are_tables():
    state = {"norm.weight": torch.ones(3), "blocks.0.conv1.layer.weight": torch.ones(3, 3)}
    assert reclassed(state, Classes((0, None), 1), {}).keys() == state.keys()
    moments = {"norm.weight.exp_avg": torch.ones(3)}
    assert reclassed_moments(moments, Classes((None,), 2)).keys() == moments.keys()
