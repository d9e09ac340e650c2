"""A look at the networks: no more memory than training takes; numbers that tell health."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from sagan.config import NetworkConfig, RunConfig, Runtime, TrainingConfig
from sagan.data import ImageDataset
from sagan.explain.maps import explain_latents
from sagan.models import build_discriminator, build_generator
from sagan.nn import SpectralNorm, power_iteration
from sagan.nn.attention import SelfAttention, attention_numbers, record_attention
from sagan.randomness import sample_latents
from sagan.training.diagnostics import (
    LikenessGauge,
    Viewer,
    largest_singular_values,
    not_finite,
)
from sagan.training.engine import Engine
from sagan.training.state import new_state

ARTICLE_64_PX = NetworkConfig(
    resolution=64, g_width=8, d_width=8, g_attention=(64,), d_attention=(), attention_form="article"
)


class LargestTensor(TorchDispatchMode):
    """The number of elements of the largest tensor that is made inside the block."""

    def __enter__(self):
        self.numel = 0
        return super().__enter__()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        sizes = [t.numel() for t in tree_leaves(made) if isinstance(t, torch.Tensor)]
        self.numel = max([self.numel, *sizes])
        return made


@pytest.fixture
def state():
    config = RunConfig(network=ARTICLE_64_PX, training=TrainingConfig(batch_size=4))
    engine = Engine(Runtime(device="cpu"), "float32")
    engine.launch()
    return new_state(config, Runtime(device="cpu"), engine), engine


@pytest.mark.slow
def test_a_look_makes_no_large_map_whole(state):
    pictures = ImageDataset(np.zeros((20, 3, 64, 64), np.uint8), None, ())
    viewer = Viewer(ARTICLE_64_PX, pictures, batch_size=4)
    with LargestTensor() as largest:
        (layer,) = viewer.look(*state).layers
    assert layer["size_px"] == 64
    assert largest.numel < 64**4 / 4  # a quarter of one image's map; 17 of them were made before


def test_an_explanation_makes_the_rows_that_are_asked_for(state):
    generator = state[0].generator.eval()
    with LargestTensor() as largest:
        _, (layer,) = explain_latents(generator, None, sample_latents([0], 128), None, points=3)
    assert layer.maps.shape == (3, 64, 64)
    torch.testing.assert_close(layer.maps.sum((1, 2)), torch.ones(3))
    assert largest.numel < 64**4 / 4


@pytest.mark.slow
def test_a_look_shows_the_same_in_batches_of_any_size(state):
    pictures = ImageDataset(np.zeros((20, 3, 64, 64), np.uint8), None, ())
    one, ten = (Viewer(ARTICLE_64_PX, pictures, batch_size=b).look(*state) for b in (1, 10))
    for a, b in zip(one.layers, ten.layers, strict=True):
        assert a.keys() == b.keys()
        assert a["entropy"] == pytest.approx(b["entropy"], rel=1e-5)
        assert a["query_dependence"] == pytest.approx(b["query_dependence"], abs=1e-5)
    assert (one.samples.int() - ten.samples.int()).abs().max() <= 1


def test_numbers_of_a_large_unpooled_map_come_in_pieces():
    layer = SelfAttention(8, form="article")
    with LargestTensor() as largest, record_attention(layer) as maps, torch.no_grad():
        layer(torch.randn(1, 8, 128, 128))
        numbers = attention_numbers(maps[""])
    assert maps[""].shape == (1, 128**2, 128**2)
    assert largest.numel <= 2 * 2**20  # the whole map has 2^28
    assert 0 < numbers.entropy <= np.log(128**2)


def drawn(digits, labels, seed):
    """Real digits of these labels, as a perfect generator would make them."""
    draw = np.random.default_rng(seed)
    rows = np.empty(len(labels), int)
    for k in range(10):
        mine = (labels == k).numpy()
        rows[mine] = draw.choice(np.flatnonzero(digits.labels == k), mine.sum(), replace=False)
    return torch.from_numpy(digits.images[rows])


@pytest.mark.fault(24)
def test_no_false_alarm_on_20_healthy_sets_of_grey_digits(digits):
    labels = torch.arange(10).repeat_interleave(10)
    gauge = LikenessGauge(digits, labels, num=100)
    likenesses = [gauge.measure(drawn(digits, labels, seed)) for seed in range(20)]
    assert max(likeness.near_duplicates for likeness in likenesses) <= 0.05
    assert max(max(likeness.by_class.values()) for likeness in likenesses) <= 0.5
    assert all(0.8 < likeness.spread < 1.2 for likeness in likenesses)


@pytest.mark.parametrize("modes", [1, 3, 5])
@pytest.mark.fault(24)
def test_a_collapsed_generator_is_seen_through_its_noise(digits, modes):
    """A few images a class, each with 2 % of noise."""
    labels = torch.arange(10).repeat_interleave(10)
    gauge = LikenessGauge(digits, labels, num=100)
    images = drawn(digits, labels, 0).float().reshape(10, 10, 1, 8, 8)
    few = images[:, torch.arange(10) % modes].reshape(100, 1, 8, 8)
    noisy = (few + 5 * torch.randn(few.shape)).clamp(0, 255).byte()
    assert gauge.measure(noisy).near_duplicates == 1.0


def test_one_collapsed_class_is_seen_in_its_own_share(digits):
    labels = torch.arange(10).repeat_interleave(10)
    images = drawn(digits, labels, 0)
    images[30:40] = images[30]
    likeness = LikenessGauge(digits, labels, num=100).measure(images)
    assert likeness.by_class[3] == 1.0
    assert likeness.near_duplicates == pytest.approx(0.1, abs=0.05)


def test_classes_of_one_picture_or_alike_are_not_judged():
    blank = np.zeros((6, 3, 8, 8), np.uint8)
    data = ImageDataset(blank, np.array([0, 0, 0, 0, 0, 1]), ("a", "b"))
    labels = torch.tensor([0, 0, 0, 1, 1, 1])
    gauge = LikenessGauge(data, labels, num=6)
    likeness = gauge.measure(torch.zeros(6, 3, 8, 8, dtype=torch.uint8))
    assert likeness.near_duplicates == gauge.real.near_duplicates == 0.0


def test_large_images_are_compared_small():
    noise = np.random.default_rng(0).integers(0, 256, (20, 3, 64, 64), np.uint8)
    gauge = LikenessGauge(ImageDataset(noise, None, ()), None, num=10)
    smooth = torch.nn.functional.avg_pool2d(torch.from_numpy(noise[:10]).float(), 2)
    blurred = torch.nn.functional.interpolate(smooth, scale_factor=2).round().byte()
    sharp, soft = gauge.measure(torch.from_numpy(noise[:10])), gauge.measure(blurred)
    assert soft.spread == pytest.approx(sharp.spread, rel=0.02)


def test_singular_values_are_those_of_the_svd():
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.ConvTranspose2d(8, 4, 4),
        nn.Linear(5, 6),
        SpectralNorm(nn.Linear(7, 8)),
    )
    power_iteration(network, 50)
    found = largest_singular_values({"G": network})
    matrices = {
        "G 0": network[0].weight.flatten(1),
        "G 1": network[1].weight.movedim(1, 0).flatten(1),
        "G 2": network[2].weight,
        "G 3": network[3].layer.weight,
    }
    assert list(found) == list(matrices)
    for name, matrix in matrices.items():
        assert found[name] == pytest.approx(torch.linalg.matrix_norm(matrix, 2).item(), rel=0.05)


def test_looking_at_singular_values_changes_nothing():
    config = NetworkConfig(resolution=8, classes=2, g_width=4, d_width=4, g_attention=(8,))
    networks = {"G": build_generator(config), "D": build_discriminator(config)}
    before = {n: {k: v.clone() for k, v in m.state_dict().items()} for n, m in networks.items()}
    drawn_before = torch.random.get_rng_state()
    first = largest_singular_values(networks)
    assert first == largest_singular_values(networks)
    assert torch.equal(drawn_before, torch.random.get_rng_state())
    for name, module in networks.items():
        assert all(torch.equal(v, before[name][k]) for k, v in module.state_dict().items())
    networks["G"].linear.layer.weight.data.mul_(30)
    assert largest_singular_values(networks)["G linear"] > 20 * first["G linear"]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_one_bad_value_among_many_is_found_by_name(bad):
    groups = {
        "G": {"a": torch.randn(300), "steps": torch.tensor(7), "empty": torch.empty(0)},
        "D": {"half": torch.randn(8).bfloat16(), "last": torch.randn(4, 4)},
    }
    assert not_finite(groups) == ""
    groups["D"]["last"][3, 3] = bad
    assert not_finite(groups) == "D (last)"
    assert not_finite({}) == ""


def test_large_but_finite_values_are_finite():
    assert not_finite({"v": {"v": torch.full((10,), 3e38)}}) == ""
