"""The live page's model: its images are those of `sagan sample`, its changes those asked for."""

import json
import shutil
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from attention_run import CLASSES, NETWORK, STEPS, make_run

import sagan
from sagan.config import GrowthStage, RunConfig
from sagan.config.growth import stage_config
from sagan.errors import CheckpointError
from sagan.explain import intervene, sefa_directions
from sagan.explain.live.request import ImageRequest
from sagan.explain.live.studio import Studio
from sagan.images import to_uint8
from sagan.models import build_discriminator, build_generator
from sagan.nn.attention import record_attention
from sagan.randomness import sample_latents
from sagan.runs.log import append_records
from sagan.runs.run import Run
from sagan.sampling import interpolation_latents

REQUEST = ImageRequest(step=STEPS[-1], seed=7, label=2)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("studio") / "run")


@pytest.fixture(scope="module")
def studio(path):
    return Studio(path)


def test_facts_say_what_there_is(studio):
    facts = studio.facts()
    assert facts["classes"] == list(CLASSES)
    assert [c["step"] for c in facts["checkpoints"]] == [0, *STEPS]
    assert [c["images"] for c in facts["checkpoints"]] == [0, 640, 1280]
    assert facts["step"] == STEPS[-1]
    assert [(layer["network"], layer["height"]) for layer in facts["layers"]] == [
        ("G", 8),
        ("G", 16),
        ("D", 8),
    ]
    assert facts["history"][0]["gamma"] == [[640, 1.0], [1280, 2.0]]


def test_an_image_is_the_one_that_sample_makes(studio, path):
    made = studio.make(REQUEST)
    expected = sagan.sample(sagan.load(path), 1, classes=[2], seed=7)
    assert torch.equal(to_uint8(made.image), expected)
    truncated = studio.make(replace(REQUEST, truncation=0.5))
    expected = sagan.sample(sagan.load(path), 1, classes=[2], seed=7, truncation=0.5)
    assert torch.equal(to_uint8(truncated.image), expected)


def test_maps_and_logit_are_those_of_the_networks(studio, path):
    made = studio.make(REQUEST)
    generator, discriminator = sagan.load(path), sagan.load_discriminator(path)
    z, y = sample_latents([7], NETWORK.latent_dim), torch.tensor([2])
    with record_attention(generator) as g_maps, record_attention(discriminator) as d_maps:
        logit = discriminator(generator(z, y), y).item()
    assert made.logit == logit
    assert [layer.name for layer in made.layers] == [*g_maps, *d_maps]
    for layer, expected in zip(made.layers, [*g_maps.values(), *d_maps.values()], strict=True):
        assert torch.equal(layer.attention.weights, expected.weights)


def test_before_training_are_the_weights_that_training_starts_from(studio):
    made = studio.make(replace(REQUEST, step=0))
    fresh = build_generator(NETWORK, seed=RunConfig().training.seed).eval()
    z, y = sample_latents([7], NETWORK.latent_dim), torch.tensor([2])
    torch.testing.assert_close(made.image, fresh(z, y))
    assert {layer.attention.gamma for layer in made.layers} == {0.0}


def test_every_checkpoint_is_its_own(studio):
    images = [studio.make(replace(REQUEST, step=step)).image for step in (0, *STEPS)]
    assert all(not torch.equal(a, b) for a, b in pairwise(images))
    gammas = [studio.make(replace(REQUEST, step=step)).layers[0].attention.gamma for step in STEPS]
    assert gammas == pytest.approx([1.0, 2.0])


def test_only_a_few_networks_stay_open(studio, monkeypatch):
    monkeypatch.setattr("sagan.explain.live.studio._KEPT_NETWORKS", 1)
    for step in (0, *STEPS, 0):
        studio.make(replace(REQUEST, step=step))
        assert list(studio._networks) == [step]


@pytest.mark.parametrize(
    ("change", "options"),
    [
        ({"gamma_scale": 0.0}, {"gamma_scale": 0.0}),
        ({"uniform": True}, {"uniform": True}),
        ({"region": (0.0, 0.25, 0.5, 1.0)}, {"hidden": (slice(4, 16), slice(0, 8))}),
        ({"region": (0.51, 0.0, 0.52, 0.1)}, {"hidden": (slice(0, 2), slice(8, 9))}),
    ],
)
def test_changes_are_those_of_intervene(studio, path, change, options):
    changed = studio.make(replace(REQUEST, **change))
    generator, discriminator = sagan.load(path), sagan.load_discriminator(path)
    z, y = sample_latents([7], NETWORK.latent_dim), torch.tensor([2])
    if "hidden" in options:
        hidden = torch.zeros(16, 16, dtype=torch.bool)
        hidden[options.pop("hidden")] = True
        options["hidden_keys"] = hidden
    with intervene(generator, **options), intervene(discriminator, **options):
        image = generator(z, y)
        logit = discriminator(image, y).item()
    assert torch.equal(changed.image, image)
    assert changed.logit == logit
    assert not torch.equal(changed.image, studio.make(REQUEST).image)


def test_a_change_of_one_layer_leaves_the_others(studio):
    one = studio.make(replace(REQUEST, uniform=True, layer="D attention.0"))
    assert torch.equal(one.image, studio.make(REQUEST).image)
    first = studio.make(replace(REQUEST, uniform=True, layer="G attention.0"))
    spread = [layer.attention.weights.std().item() < 1e-6 for layer in first.layers]
    assert spread == [True, False, False]


def test_the_ends_of_the_way_are_the_images_there(studio):
    def image(**changes):
        return studio.make(replace(REQUEST, **changes)).image

    there = {"to_seed": 3, "to_label": 0}
    assert torch.equal(image(**there, between=0.0), image())
    torch.testing.assert_close(
        image(**there, between=1.0), image(seed=3, label=0), rtol=1e-4, atol=1e-5
    )
    latents, _ = studio._inputs(replace(REQUEST, to_seed=3, between=0.5))
    torch.testing.assert_close(latents[0], interpolation_latents((7, 3), 3, NETWORK)[1])


def test_directions_move_the_latent_along_unit_vectors(studio, path):
    latents, _ = studio._inputs(REQUEST)
    moved, _ = studio._inputs(replace(REQUEST, amounts=(2.0, 0.0, -1.0)))
    first, _, third = sefa_directions(sagan.load(path), 3)
    torch.testing.assert_close(moved - latents, (2 * first.vector - third.vector)[None])
    other, _ = studio._inputs(replace(REQUEST, amounts=(2.0,), direction="pca"))
    assert (other - latents).norm() == pytest.approx(2, rel=1e-4)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"step": 15}, "no checkpoint of step 15; it has 0, 10, 20"),
        ({"label": 3}, "label must be from 0 to 2"),
        ({"label": None}, "label must be from 0 to 2"),
        ({"to_label": 9}, "label must be from 0 to 2"),
        ({"layer": "G attention.7", "uniform": True}, "no attention layer"),
        ({"layer": "X attention.0"}, "no attention layer"),
        ({"region": (0.0, 0.0, 1.0, 1.0)}, "hides all"),
    ],
)
def test_what_the_run_has_not_is_refused(studio, changes, said):
    with pytest.raises(ValueError, match=said):
        studio.render(replace(REQUEST, **changes))


def test_a_checkpoint_that_training_has_dropped_is_named(path, tmp_path):
    shutil.copytree(path, tmp_path / "run")
    studio = Studio(tmp_path / "run")
    shutil.rmtree(tmp_path / "run/checkpoints/step-00000010")
    with pytest.raises(CheckpointError, match="step-00000010 is gone"):
        studio.render(replace(REQUEST, step=10))
    assert studio.render(REQUEST)


def test_one_checkpoint_is_opened_as_itself(path):
    studio = Studio(path / "checkpoints/step-00000010")
    assert studio.facts()["step"] == 10
    assert [c["step"] for c in studio.facts()["checkpoints"]] == [0, *STEPS]


def test_the_checkpoints_are_in_the_order_of_training_however_the_run_is_named(
    path, tmp_path, monkeypatch
):
    (tmp_path / "link").symlink_to(path)
    (tmp_path / "beside").mkdir()
    monkeypatch.chdir(tmp_path / "beside")
    for name in ("../link", path / "checkpoints/.."):
        assert list(Studio(name).training_points) == [0, *STEPS]


def test_a_checkpoint_of_another_run_is_left_out(path, tmp_path):
    shutil.copytree(path, tmp_path / "run")
    other = make_run(tmp_path / "other")
    (newest,) = Path(other).glob("checkpoints/*10")
    shutil.copytree(newest, tmp_path / "run/checkpoints/step-00000010", dirs_exist_ok=True)
    assert list(Studio(tmp_path / "run").training_points) == [0, STEPS[-1]]


def test_a_run_without_classes_or_with_attention_in_g_alone(tmp_path):
    network = replace(NETWORK, classes=0, d_attention=())
    config = RunConfig(network=network)
    weights = {
        "ema": build_generator(network).state_dict(),
        "discriminator": sagan.build_discriminator(network).state_dict(),
    }
    Run(tmp_path).save(3, weights, config=config, keep=1)
    studio = Studio(tmp_path)
    assert studio.facts()["classes"] == []
    made = studio.make(ImageRequest(step=3, seed=1, between=0.5, to_seed=2))
    assert {layer.network for layer in made.layers} == {"G"}
    with pytest.raises(ValueError, match="no classes"):
        studio.make(ImageRequest(step=3, seed=1, label=0))


def test_an_imported_run_may_have_no_discriminator_and_began_elsewhere(tmp_path):
    config = RunConfig(network=NETWORK)
    Run(tmp_path).save(3, {"ema": build_generator(NETWORK).state_dict()}, config=config, keep=1)
    studio = Studio(tmp_path)
    assert [c["step"] for c in studio.facts()["checkpoints"]] == [3]
    wanted = ImageRequest(step=3, seed=1, label=0, gamma_scale=0.0)
    made = studio.make(wanted)
    assert made.logit is None
    assert [layer.network for layer in made.layers] == ["G", "G"]
    assert studio.render(wanted)
    Run(tmp_path / "d").save(
        3,
        {"ema": build_generator(replace(NETWORK, g_attention=())).state_dict()},
        config=replace(config, network=replace(NETWORK, g_attention=())),
        keep=1,
    )
    with pytest.raises(ValueError, match="without attention"):
        Studio(tmp_path / "d")


def header(bundle):
    length = int.from_bytes(bundle[:4], "little")
    return json.loads(bundle[4 : 4 + length])


def grow(path, d_attention):
    """Write a run that began at 8 px and went on at 16 and 32."""
    network = replace(NETWORK, resolution=32, classes=0, g_attention=(16,), d_attention=d_attention)
    sizes = [
        GrowthStage(resolution=px, images=64, batch_size=8, g_lr=1e-3, d_lr=1e-3) for px in (8, 16)
    ]
    config = RunConfig(network=network, growth=tuple(sizes))
    run = Run(path)
    run.write_config(config)
    append_records(run.log_path, {"kind": "start", "step": 0, "images": 0})
    for stage in range(3):
        own = stage_config(config, stage).network
        g, d = build_generator(own).state_dict(), build_discriminator(own).state_dict()
        tensors = {"ema": g, "generator": g, "discriminator": d}
        facts = {"stage": stage, "images": 64 * (stage + 1)}
        run.save(stage + 1, tensors, config=config, keep=5, facts=facts)
    return Studio(run.path)


@pytest.fixture(scope="module")
def grown(tmp_path_factory):
    return grow(tmp_path_factory.mktemp("grown") / "run", d_attention=(16, 8))


def sizes_and_layers(studio):
    found = {}
    for step in studio.training_points:
        shown = header(studio.render(ImageRequest(step=step, seed=0)))
        layers = [f"{k['network']} {k['name']} {k['height']}" for k in shown["layers"]]
        found[step] = (shown["images"]["picture"]["height"], *layers)
    return found


def test_a_layer_of_a_run_that_grows_has_one_name_throughout(grown):
    assert sizes_and_layers(grown) == {
        0: (8, "D attention.1 8"),
        1: (8, "D attention.1 8"),
        2: (16, "G attention.1 16", "D attention.1 8"),
        3: (32, "G attention.1 16", "D attention.0 16", "D attention.1 8"),
    }


def test_a_run_that_grows_is_shown_from_where_it_attends(tmp_path):
    assert sizes_and_layers(grow(tmp_path / "run", d_attention=(16,))) == {
        2: (16, "G attention.1 16"),
        3: (32, "G attention.1 16", "D attention.0 16"),
    }


def test_a_layer_of_a_run_that_grows_is_changed_at_every_size_that_has_it(grown):
    for step in (0, 1, 2, 3):
        request = ImageRequest(step=step, seed=0, layer="D attention.1", uniform=True)
        plain, changed = (
            grown.make(replace(request, layer=None, uniform=False)),
            grown.make(request),
        )
        pairs = zip(plain.layers, changed.layers, strict=True)
        differ = [
            b.name for a, b in pairs if not torch.equal(a.attention.weights, b.attention.weights)
        ]
        assert differ == ["attention.1"]
    request = ImageRequest(step=2, seed=0, layer="D attention.0", uniform=True)
    with pytest.raises(ValueError, match=r"D attention.0 is not there yet, at 16 px"):
        grown.render(request)


def test_before_training_is_where_a_run_that_grows_began(grown, tmp_path):
    config = Run(grown._run.path).config()
    attends = replace(config, network=replace(config.network, g_attention=(8,), d_attention=()))
    run = Run(tmp_path / "run")
    run.write_config(attends)
    append_records(run.log_path, {"kind": "start", "step": 0, "images": 0})
    network = attends.network
    tensors = {"ema": build_generator(network).state_dict()}
    run.save(3, tensors, config=attends, keep=5, facts={"stage": 2, "images": 192})
    studio = Studio(run.path)
    assert studio.make(ImageRequest(step=0, seed=0)).image.shape == (1, 3, 8, 8)
    assert studio.make(ImageRequest(step=3, seed=0)).image.shape == (1, 3, 32, 32)
