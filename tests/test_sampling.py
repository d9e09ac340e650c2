"""From checkpoint to images."""

import command_line
import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import nn

import sagan
from sagan.config import GrowthStage, NetworkConfig, RunConfig, TrainingConfig
from sagan.images import image_grid, to_float, to_uint8
from sagan.models import build_discriminator, build_generator
from sagan.models.standing import standing_statistics
from sagan.randomness import sample_latents
from sagan.runs.run import Run
from sagan.sampling import (
    generate,
    interpolation_labels,
    interpolation_latents,
    of_all_classes,
    slerp,
    spread_labels,
)
from sagan.sharing.card import make_card
from sagan.sharing.facts import Facts

NETWORK = NetworkConfig(resolution=16, channels=3, classes=4, latent_dim=16, g_width=8, d_width=8)


@pytest.fixture(scope="module")
def generator():
    return build_generator(NETWORK, seed=3).eval()


@pytest.fixture
def run(tmp_path):
    raw, averaged = build_generator(NETWORK, seed=1), build_generator(NETWORK, seed=2)
    judge = build_discriminator(NETWORK)
    tensors = {
        "generator": raw.state_dict(),
        "ema": averaged.state_dict(),
        "discriminator": judge.state_dict(),
    }
    Run(tmp_path).write_config(RunConfig(network=NETWORK))
    path = Run(tmp_path).save(7, tensors, config=RunConfig(network=NETWORK), keep=1)
    return tmp_path, path, raw.eval(), averaged.eval(), judge


def test_load_gives_the_averaged_weights_unless_told(run):
    path, checkpoint, raw, averaged, judge = run
    z, y = torch.randn(2, 16), torch.tensor([0, 3])
    assert torch.equal(sagan.load(path)(z, y), averaged(z, y))
    assert torch.equal(sagan.load(checkpoint)(z, y), averaged(z, y))
    assert torch.equal(sagan.load(path, weights="raw")(z, y), raw(z, y))
    images = averaged(z, y)
    assert torch.equal(sagan.load_discriminator(path)(images, y), judge(images, y))
    assert not sagan.load(path).training


def test_load_folds_on_request(run):
    path, _, _, averaged, _ = run
    z, y = torch.randn(2, 16), torch.tensor([0, 3])
    folded = sagan.load(path, fold=True)
    torch.testing.assert_close(folded(z, y), averaged(z, y), rtol=0, atol=1e-5)
    assert not any(isinstance(m, sagan.SpectralNorm) for m in folded.modules())


def test_load_prefers_best(run):
    path, _, raw, _, _ = run
    other = {name: raw.state_dict() for name in ("generator", "ema")}
    Run(path).save(9, other, config=RunConfig(network=NETWORK), keep=2)
    z, y = torch.randn(1, 16), torch.tensor([1])
    assert torch.equal(sagan.load(path)(z, y), raw(z, y))
    (path / "best").write_text("step-00000007\n")
    assert not torch.equal(sagan.load(path)(z, y), raw(z, y))


def test_load_refuses_what_is_not_there(tmp_path, run):
    with pytest.raises(ValueError, match="does not exist"):
        sagan.load(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="ema or raw"):
        sagan.load(run[0], weights="best")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="not a run folder"):
        sagan.load(tmp_path / "empty")
    Run(tmp_path / "fresh").write_config(RunConfig(network=NETWORK))
    with pytest.raises(ValueError, match="no checkpoint yet"):
        sagan.load(tmp_path / "fresh")


@pytest.mark.parametrize("batch_size", [1, 3, 7, 64])
def test_an_image_depends_on_its_seed_and_class_alone(generator, batch_size):
    whole = sagan.sample(generator, 12, seed=5, batch_size=12)
    assert torch.equal(sagan.sample(generator, 12, seed=5, batch_size=batch_size), whole)
    alone = sagan.sample(generator, 1, seed=9, classes=[1], batch_size=batch_size)
    assert torch.equal(alone[0], whole[4])  # image 4 has seed 9 and class 1


def test_sample_spreads_over_classes_and_refuses_others(generator):
    images = sagan.sample(generator, 4, classes=[2, 0])
    assert images.dtype == torch.uint8
    assert images.shape == (4, 3, 16, 16)
    labels = torch.tensor([2, 2, 0, 0])
    (expected,) = generate(generator, sample_latents(range(4), 16), labels)
    assert torch.equal(images, expected)
    for bad in ([4], [-1], []):
        with pytest.raises(ValueError, match="class"):
            sagan.sample(generator, 4, classes=bad)
    with pytest.raises(ValueError, match="at least 1"):
        sagan.sample(generator, 0)
    for batch_size in (0, -1):
        with pytest.raises(ValueError, match=f"batch size must be at least 1, not {batch_size}"):
            sagan.sample(generator, 4, batch_size=batch_size)


def test_uint8_and_float_are_inverse_over_all_values():
    values = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_uint8(to_float(values)), values)
    assert to_float(values).min() == -1
    assert to_float(values).max() == 1
    assert to_uint8(torch.tensor([-9.0, 9.0])).tolist() == [0, 255]


def test_interpolation_ends_at_its_seeds_and_keeps_the_norm():
    path = interpolation_latents((3, 4), 9, NETWORK)
    torch.testing.assert_close(path[[0, -1]], sample_latents([3, 4], 16))
    norms = path.norm(dim=1)
    assert norms.min() > 0.9 * min(norms[0], norms[-1])
    torch.testing.assert_close(
        interpolation_latents((3, 3), 4, NETWORK), sample_latents([3] * 4, 16)
    )


def test_class_interpolation_ends_at_its_classes(generator):
    weights = interpolation_labels((1, 3), 5, NETWORK)
    assert weights.sum(1).tolist() == [1.0] * 5
    z = sample_latents([0] * 5, 16)
    mixed = generator(z, weights)
    ends = generator(z[:2], torch.tensor([1, 3]))
    torch.testing.assert_close(mixed[[0, 4]], ends, atol=1e-5, rtol=0)


def test_standing_statistics_are_the_mean_of_the_batches_statistics():
    config = NetworkConfig(resolution=8, latent_dim=4, g_width=4)
    network = build_generator(config)
    seen = []

    def note(_module, inputs):
        seen.append((inputs[0].mean((0, 2, 3)), inputs[0].var((0, 2, 3))))

    handle = network.norm.register_forward_pre_hook(note)
    network.norm.running_mean.fill_(99.0)
    standing_statistics(network, config, batches=3, batch_size=8, seed=0)
    handle.remove()
    means, variances = (torch.stack(values).mean(0) for values in zip(*seen, strict=True))
    assert len(seen) == 3
    torch.testing.assert_close(network.norm.running_mean, means)
    torch.testing.assert_close(network.norm.running_var, variances)
    assert network.norm.momentum == 0.1
    assert not network.training


def test_no_standing_batches_changes_nothing():
    network = build_generator(NETWORK)
    before = {k: v.clone() for k, v in network.state_dict().items()}
    standing_statistics(network, NETWORK, batches=0, batch_size=8, seed=0)
    assert all(torch.equal(before[k], v) for k, v in network.state_dict().items())


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_grid_shows_each_image_in_its_cell(channels):
    images = torch.randint(0, 256, (5, channels, 4, 4), dtype=torch.uint8)
    picture = image_grid(images, 3, scale=2)
    assert picture.mode == {1: "L", 3: "RGB", 4: "RGBA"}[channels]
    pixels = np.asarray(picture).reshape(28, 40, channels)[::2, ::2]
    for i, image in enumerate(images):
        y, x = 2 + i // 3 * 6, 2 + i % 3 * 6
        assert (pixels[y : y + 4, x : x + 4] == image.permute(1, 2, 0).numpy()).all()
    assert (pixels[2:6, 6:8] == 128).all()
    assert image_grid(images, 3).width >= 640


@pytest.mark.parametrize("training", [True, False])
def test_sampling_a_network_in_training_leaves_it_as_it_was(generator, training):
    expected = sagan.sample(generator.eval(), 6, batch_size=3)
    generator.train(training)
    before = {name: value.clone() for name, value in generator.state_dict().items()}
    assert torch.equal(sagan.sample(generator, 6, batch_size=3), expected)
    assert all(module.training == training for module in generator.modules())
    assert all(torch.equal(before[name], v) for name, v in generator.state_dict().items())


def test_a_truncated_walk_has_truncated_ends():
    config = NetworkConfig(latent_dim=64)
    walk = interpolation_latents((3, 5), 4, config, truncation=0.5)
    ends = sample_latents([3, 5], 64, truncation=0.5)
    torch.testing.assert_close(walk[[0, -1]], ends)
    assert ends.abs().max() <= 0.5


def test_standing_statistics_leave_momenta_and_mode_after_a_failure(generator):
    before = [m.momentum for m in generator.modules() if isinstance(m, nn.BatchNorm2d)]
    assert before

    def fail(*_):
        raise RuntimeError("stopped")

    handle = generator.register_forward_hook(fail)
    with pytest.raises(RuntimeError, match="stopped"):
        standing_statistics(generator, generator.config, batches=2, batch_size=2, seed=0)
    handle.remove()
    after = [m.momentum for m in generator.modules() if isinstance(m, nn.BatchNorm2d)]
    assert after == before
    assert not any(m.training for m in generator.modules())


def test_raw_weights_have_standing_statistics_where_the_recipe_has_them(tmp_path):
    small = ["--g-width", 4, "--d-width", 8, "--batch-size", 16, "--device", "cpu"]
    options = ["--preset", "paper", "--resolution", 8, "--images", 160, "--standing-batches", 4]
    assert command_line.sagan("train", tmp_path / "run", *options, *small) == 0
    ema, raw = (sagan.load(tmp_path / "run", weights=weights) for weights in ("ema", "raw"))
    for name, value in ema.state_dict().items():  # paper averages nothing
        torch.testing.assert_close(raw.state_dict()[name], value, msg=name)
    assert torch.equal(sagan.sample(ema, 4), sagan.sample(raw, 4))


@pytest.mark.parametrize(
    ("decay", "start", "step", "averaged"),
    [(0.999, 0, 5, True), (0.0, 0, 5, False), (0.999, 640, 10, False), (0.999, 640, 11, True),
     (0.999, 0, 0, True), (0.0, 0, 0, False), (0.999, 650, 11, False)],
)  # fmt: skip
def test_a_card_says_averaged_only_of_an_average(decay, start, step, averaged):
    training = TrainingConfig(ema_decay=decay, ema_start=start, batch_size=64)
    card = make_card(Facts(RunConfig(training=training), step, "ema"), "a run", "run")
    assert ("averaged over training" in card) == averaged
    assert ("as trained, not averaged" in card) != averaged


@pytest.mark.parametrize(("step", "averaged"), [(30, False), (31, True)])
def test_a_run_that_grew_is_averaged_from_the_images_that_it_has_seen(step, averaged):
    first = GrowthStage(resolution=8, images=640, batch_size=64, g_lr=1e-3, d_lr=1e-3)
    training = TrainingConfig(ema_start=960, batch_size=16)  # 10 steps, and then 20
    network = NetworkConfig(resolution=16)
    facts = Facts(RunConfig(network=network, training=training, growth=(first,)), step, "ema")
    assert facts.averaged == averaged


@given(st.lists(st.integers(0, 300), min_size=1, max_size=20), st.integers(1, 500))
def test_labels_are_as_frequent_as_counts_to_the_nearest_image(counts, num):
    assume(sum(counts))
    labels = spread_labels(num, NetworkConfig(classes=len(counts)), counts=torch.tensor(counts))
    assert len(labels) == num
    assert labels.tolist() == sorted(labels.tolist())
    made = np.bincount(labels, minlength=len(counts))
    assert (abs(made - num * np.array(counts) / sum(counts)) < 1).all()


@pytest.mark.parametrize(("each", "num"), [(1, 7), (25, 7), (1000, 500)])
def test_equal_counts_spread_labels_evenly(each, num):
    counted = spread_labels(num, NETWORK, counts=torch.tensor([each] * 4))
    assert torch.equal(counted, spread_labels(num, NETWORK))


def test_images_of_all_classes_may_be_as_frequent_as_real_ones(generator):
    batches, labels = of_all_classes(
        generator, NETWORK, 8, seed=5, counts=torch.tensor([1, 0, 2, 1]), batch_size=3
    )
    assert labels.tolist() == [0, 0, 2, 2, 2, 2, 3, 3]
    latents = sample_latents(range(5, 13), NETWORK.latent_dim)
    made = torch.cat(list(generate(generator, latents, labels, batch_size=3)))
    assert torch.equal(torch.cat(list(batches)), made)


def test_between_opposite_latents_one_goes_straight():
    z = slerp(torch.tensor([2.0]), torch.tensor([-1.0]), torch.tensor([[0.0], [0.5], [1.0]]))
    torch.testing.assert_close(z, torch.tensor([[2.0], [0.5], [-1.0]]))


def test_classes_without_images_are_refused():
    with pytest.raises(ValueError, match="no image is of any"):
        spread_labels(4, NetworkConfig(classes=3), counts=torch.tensor([0, 0, 0]))
