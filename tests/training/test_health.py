"""The watch: silent on healthy runs, plain about failing ones; and the numbers that it reads."""

import numpy as np
import pytest
import torch
from torch import nn

from sagan.config import DataConfig, NetworkConfig, RunConfig, TrainingConfig
from sagan.data import ImageDataset
from sagan.models import build_discriminator, build_generator
from sagan.nn import SpectralNorm, power_iteration
from sagan.training.alarms import Watch
from sagan.training.vitals import LikenessGauge, largest_singular_values, not_finite

CLASSES = tuple("abcdefghij")


def config(**training):
    return RunConfig(
        network=NetworkConfig(classes=10),
        training=TrainingConfig(**training),
        data=DataConfig(class_names=CLASSES),
    )


def check(step, *, alike=0.0, by_class=None, real=0.0, **sigmas):
    return {
        "kind": "check",
        "step": step,
        "near_duplicates": alike,
        "near_duplicates_real": real,
        "by_class": by_class or {},
        "spread": 1.0,
        "sigmas": {name.replace("_", " "): value for name, value in sigmas.items()},
    }


def train_record(step, d_loss, g_loss=0.4):
    return {"kind": "train", "step": step, "d_loss": d_loss, "g_loss": g_loss}


def alarms(watch, records):
    return [(r["step"], alarm.name) for r in records for alarm in watch.see(r)]


def test_collapse_is_told_at_the_first_check_that_shows_it_and_only_once():
    watch = Watch(config())
    records = [check(100), check(200, alike=0.2), check(300, alike=0.9), check(400, alike=1.0)]
    assert alarms(watch, records) == [(300, "collapse")]
    assert [alarm.name for alarm in watch.serious] == ["collapse"]  # still on
    watch.see(check(500))
    assert watch.serious == ()


def test_samples_that_never_were_diverse_are_young_for_a_thousand_steps():
    watch = Watch(config())
    records = [check(step, alike=1.0) for step in (100, 999, 1000, 1100)]
    assert alarms(watch, records) == [(1000, "collapse")]


def test_data_that_are_alike_themselves_raise_no_alarm():
    watch = Watch(config())
    assert alarms(watch, [check(2000, alike=0.8, real=0.8)]) == []
    assert alarms(watch, [check(3000, alike=0.95, real=0.8)]) == [(3000, "collapse")]


def test_a_class_that_collapses_is_named():
    watch = Watch(config())
    watch.see(check(100))
    (alarm,) = watch.see(check(200, alike=0.2, by_class={"3": 1.0, "4": 0.7, "7": 0.8}))
    assert alarm.name == "class collapse"
    assert "(d, h)" in alarm.said
    assert not alarm.serious


@pytest.mark.parametrize(("loss", "undecided"), [("hinge", 2.0), ("non-saturating", 1.386)])
def test_d_wins_when_its_loss_stays_near_zero(loss, undecided):
    watch = Watch(config(loss=loss))
    healthy = [train_record(i, 0.5 * undecided) for i in range(30)]
    now_and_then = [train_record(i, 0.0 if i % 3 else 0.6 * undecided) for i in range(30, 60)]
    assert alarms(watch, healthy + now_and_then) == []
    ((step, name),) = alarms(watch, [train_record(i, 0.0) for i in range(60, 90)])
    assert name == "d-wins"
    assert 60 < step < 70


def test_a_critic_cannot_win_outright():
    watch = Watch(config(loss="wgan-gp"))
    assert alarms(watch, [train_record(i, -50.0) for i in range(40)]) == []


def gamma_record(step, gamma):
    layer = {"network": "G", "layer": "attention.0", "size_px": 32, "gamma": gamma}
    return {"kind": "attention", "step": step, "layers": [layer]}


def test_gamma_that_stays_at_zero_is_told_once_it_could_have_moved():
    watch = Watch(config(g_lr=1e-4))
    records = [gamma_record(step, 1e-3) for step in range(100, 3000, 100)]
    assert alarms(watch, records) == [(1000, "unused attention: G attention.0")]
    used = Watch(config(g_lr=1e-4))
    assert alarms(used, [gamma_record(s, s * 1e-5) for s in range(100, 9000, 100)]) == []
    once_used = [gamma_record(s, 0.1 if s < 1900 else 0.0) for s in range(100, 2001, 100)]
    assert alarms(Watch(config(g_lr=1e-4)), once_used) == []  # two records are no habit


def test_a_singular_value_that_blows_up_is_told_and_honest_growth_is_not():
    watch = Watch(config())
    honest = [check(100 * i, D_conv=1.0 * i, G_linear=i**0.5) for i in range(1, 20)]
    assert alarms(watch, honest) == []
    (alarm,) = watch.see(check(2000, D_conv=20.0, G_linear=40.0))
    assert (alarm.name, alarm.serious) == ("blow-up", True)
    assert "G linear" in alarm.said
    doubling = [check(100 * i, D_conv=1.5**i) for i in range(1, 20)]
    assert alarms(Watch(config()), doubling)[0][0] <= 800


def test_what_began_at_zero_may_grow_from_it():
    watch = Watch(config())
    assert alarms(watch, [check(100, G_bias=0.001), check(200, G_bias=0.5)]) == []


def test_read_again_from_the_log_the_watch_is_where_it_was():
    records = [check(100 * i, alike=i / 10) for i in range(1, 8)]
    records += [train_record(800 + i, 0.0) for i in range(5)]
    rest = [train_record(805 + i, 0.0) for i in range(9)]
    watch, again = Watch(config()), Watch(config())
    for record in records:
        watch.see(record)
        again.see(record)
    assert again.serious == watch.serious != ()
    assert alarms(again, rest) == alarms(watch, rest) == [(809, "d-wins")]


# The numbers


def drawn(digits, labels, seed):
    """Real digits of these labels, as a perfect generator would make them."""
    draw = np.random.default_rng(seed)
    rows = np.empty(len(labels), int)
    for k in range(10):
        mine = (labels == k).numpy()
        rows[mine] = draw.choice(np.flatnonzero(digits.labels == k), mine.sum(), replace=False)
    return torch.from_numpy(digits.images[rows])


def test_no_false_alarm_on_20_healthy_sets_of_grey_digits(digits):
    labels = torch.arange(10).repeat_interleave(10)
    gauge = LikenessGauge(digits, labels, num=100)
    likenesses = [gauge.measure(drawn(digits, labels, seed)) for seed in range(20)]
    assert max(likeness.near_duplicates for likeness in likenesses) <= 0.05
    assert max(max(likeness.by_class.values()) for likeness in likenesses) <= 0.5
    assert all(0.8 < likeness.spread < 1.2 for likeness in likenesses)


@pytest.mark.parametrize("modes", [1, 3, 5])
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
