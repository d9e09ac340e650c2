"""Augmentation: what it does to images, to gradients, and how its strength adapts and resumes."""

import dataclasses
import itertools
import math
import subprocess
import sys

import digits_run
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sagan.config import NetworkConfig, Runtime, TrainingConfig
from sagan.data import ImageDataset
from sagan.images import to_float
from sagan.runs.log import read_records
from sagan.runs.run import Run, find_checkpoint
from sagan.training import train
from sagan.training import trainer as trainer_module
from sagan.training.augment import DRAWS, Augmentation, _whole, adapted, augment
from sagan.training.batches import BatchSource, Share, rows_apart
from sagan.training.engine import Engine
from sagan.training.state import new_state
from sagan.training.step import d_step, g_step

KINDS = ("color", "translation", "cutout")
BRIGHTNESS, SATURATION, CONTRAST, SHIFT_Y, SHIFT_X, CUT_Y, CUT_X = range(3, 10)


def numbers(batch=1, **columns):
    """Random numbers that change nothing, except those named."""
    draws = torch.full((batch, DRAWS), 0.5)  # no shift, no brightness, contrast and saturation 1
    draws[:, :3] = 0.0
    for name, value in columns.items():
        draws[:, globals()[name]] = value
    return draws


def pictures(*shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(1)) * 2 - 1


def draws_of(batch, seed=0):
    return torch.rand(batch, DRAWS, generator=torch.Generator().manual_seed(seed))


# What each kind does


def test_brightness_is_added():
    x = pictures(1, 3, 8, 8)
    out = augment(x, numbers(BRIGHTNESS=0.75), policy=("color",), p=1.0)
    torch.testing.assert_close(out, x + 0.25)


def test_saturation_spreads_the_channels_about_their_mean():
    x = torch.tensor([0.0, 0.3, 0.6])[None, :, None, None].expand(1, 3, 8, 8)
    for number, expected in ((0.0, [0.3, 0.3, 0.3]), (0.75, [-0.15, 0.3, 0.75])):
        out = augment(x, numbers(SATURATION=number), policy=("color",), p=1.0)
        torch.testing.assert_close(out[0, :, 0, 0], torch.tensor(expected))


def test_contrast_spreads_the_pixels_about_the_images_mean():
    x = torch.zeros(1, 1, 8, 8)
    x[..., :4] = 0.4
    out = augment(x, numbers(CONTRAST=0.0), policy=("color",), p=1.0)
    torch.testing.assert_close(out[0, 0, 0], torch.tensor([0.3] * 4 + [0.1] * 4))


def test_grey_has_no_saturation():
    x = pictures(2, 1, 8, 8)
    out = augment(x, numbers(2, SATURATION=0.99), policy=("color",), p=1.0)
    torch.testing.assert_close(out, x)


def test_colour_leaves_alpha_alone_and_does_to_the_rest_what_it_does_without():
    x, draws = pictures(4, 4, 8, 8), draws_of(4)
    out = augment(x, draws, policy=("color",), p=1.0)
    assert torch.equal(out[:, 3], x[:, 3])
    assert torch.equal(out[:, :3], augment(x[:, :3], draws, policy=("color",), p=1.0))
    moved = augment(x, draws, policy=("translation", "cutout"), p=1.0)
    assert not torch.equal(moved[:, 3], x[:, 3])


@pytest.mark.parametrize(
    ("y", "x", "dy", "dx"), [(0.0, 0.5, -2, 0), (0.99, 0.1, 2, -2), (0.3, 0.7, -1, 1)]
)
def test_translation_moves_the_content_and_fills_with_zero(y, x, dy, dx):
    images = pictures(1, 3, 16, 16)
    out = augment(images, numbers(SHIFT_Y=y, SHIFT_X=x), policy=("translation",), p=1.0)
    expected = torch.zeros_like(images)
    for row in range(16):
        for column in range(16):
            if 0 <= row - dy < 16 and 0 <= column - dx < 16:
                expected[:, :, row, column] = images[:, :, row - dy, column - dx]
    assert torch.equal(out, expected)


@pytest.mark.parametrize(
    ("y", "x", "rows", "columns"),
    [(0.5, 0.5, (2, 6), (2, 6)), (0.0, 0.999, (0, 2), (6, 8)), (0.3, 0.8, (0, 4), (5, 8))],
)
def test_cutout_empties_half_the_side_about_a_centre_anywhere(y, x, rows, columns):
    out = augment(torch.ones(1, 2, 8, 8), numbers(CUT_Y=y, CUT_X=x), policy=("cutout",), p=1.0)
    expected = torch.ones(1, 2, 8, 8)
    expected[:, :, slice(*rows), slice(*columns)] = 0
    assert torch.equal(out, expected)


def test_shifts_and_cuts_are_spread_evenly_over_all_their_places():
    ramp = torch.linspace(0, 1, 4001)[:-1]
    spot = torch.zeros(4000, 1, 16, 16)
    spot[:, :, 8, 8] = 1
    draws = numbers(4000)
    draws[:, SHIFT_Y] = ramp
    at = augment(spot, draws, policy=("translation",), p=1.0).sum((0, 1, 3))
    assert at[6:11].tolist() == pytest.approx([800] * 5, abs=2)
    draws = numbers(4000)
    draws[:, CUT_Y] = ramp
    kept = augment(torch.ones(4000, 1, 8, 8), draws, policy=("cutout",), p=1.0)
    heights = 8 - kept[:, 0, :, 4].sum(1)  # 2 at the borders, 4 inside
    assert heights.unique(return_counts=True)[1].tolist() == pytest.approx([889, 889, 2222], abs=3)


def test_a_number_just_below_one_stays_in_range():
    draws = torch.full((1, DRAWS), 1 - 2**-24)
    draws[:, :3] = 0
    for kind in KINDS:
        assert augment(pictures(1, 3, 64, 64), draws, policy=(kind,), p=1.0).isfinite().all()
    cut = augment(torch.ones(1, 1, 8, 8), draws, policy=("cutout",), p=1.0)
    assert (cut == 0).sum() == 4  # centred on the last corner, not beyond it
    for count in range(1, 300):
        assert _whole(draws[0, -1:], 0, count - 1) == count - 1


# Probability


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_p_zero_is_the_identity_bit_for_bit(channels):
    x = pictures(16, channels, 8, 8)
    x[0, 0, 0, 0] = -0.0
    draws = draws_of(16)
    draws[0] = 0.0
    for p in (0.0, torch.tensor(0.0)):
        out = augment(x, draws, policy=KINDS, p=p)
        assert torch.equal(out.view(torch.int32), x.view(torch.int32))


@pytest.mark.parametrize("kind", KINDS)
def test_p_one_changes_all_and_p_a_half_changes_half(kind):
    x, draws = pictures(2000, 3, 8, 8), draws_of(2000)
    draws[:, SHIFT_Y:] = 0.2  # a shift that moves, a cut that cuts
    changed = [
        (augment(x, draws, policy=(kind,), p=p) != x).flatten(1).any(1).float().mean().item()
        for p in (1.0, 0.5)
    ]
    assert changed[0] == 1
    assert changed[1] == pytest.approx(0.5, abs=0.04)


def test_kinds_are_chosen_independently():
    draws = draws_of(4000)
    x = torch.ones(4000, 1, 8, 8)
    draws[:, SHIFT_Y:] = 0.2
    moved = (augment(x, draws, policy=("translation",), p=0.5) != x).flatten(1).any(1)
    cut = (augment(x, draws, policy=("cutout",), p=0.5) != x).flatten(1).any(1)
    assert (moved & cut).float().mean().item() == pytest.approx(0.25, abs=0.03)


@given(st.integers(0, 2**31), st.sampled_from([1, 3, 4]), st.floats(0, 1))
def test_an_images_result_does_not_depend_on_the_others(seed, channels, p):
    draw = torch.Generator().manual_seed(seed)
    x = torch.rand(5, channels, 8, 8, generator=draw) * 2 - 1
    draws = torch.rand(5, DRAWS, generator=draw)
    whole = augment(x, draws, policy=KINDS, p=p)
    for i in range(5):
        alone = augment(x[i : i + 1], draws[i : i + 1], policy=KINDS, p=p)
        torch.testing.assert_close(whole[i : i + 1], alone, rtol=0, atol=1e-6)


def test_memory_order_and_precision_are_kept():
    x = pictures(4, 3, 8, 8)
    plain = augment(x, draws_of(4), policy=KINDS, p=1.0)
    last = augment(x.to(memory_format=torch.channels_last), draws_of(4), policy=KINDS, p=1.0)
    torch.testing.assert_close(plain, last)
    half = augment(x.bfloat16(), draws_of(4), policy=KINDS, p=0.5)
    assert half.dtype == torch.bfloat16


# Gradients


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_gradients_are_right(kind, channels):
    x = pictures(3, channels, 8, 8).double().requires_grad_()
    draws = draws_of(3, seed=3)
    draws[0, :3], draws[1:, :3] = 0.9, 0.1  # the first is left alone
    torch.autograd.gradcheck(lambda images: augment(images, draws, policy=(kind,), p=0.5), x)


def test_gradients_reach_just_the_pixels_that_are_seen():
    x = pictures(8, 3, 16, 16).requires_grad_()
    out = augment(x, draws_of(8), policy=("translation", "cutout"), p=1.0)
    out.sum().backward()
    assert torch.equal(x.grad.sum((1, 2, 3)), (out != 0).sum((1, 2, 3)).float())
    assert set(x.grad.unique().tolist()) == {0.0, 1.0}


# In the steps and the batches


NETWORK = NetworkConfig(resolution=8, channels=1, classes=10, latent_dim=8, g_width=4, d_width=4)
TRAINING = TrainingConfig(
    images=160,
    batch_size=16,
    g_lr=1e-3,
    d_lr=1e-3,
    log_every=48,
    snapshot_every=64,
    augment=KINDS,
)


def configure(**training):
    return digits_run.configure(NETWORK, TRAINING, **training)


def source(digits, rank=0, world_size=1, **training):
    share = Share(rank, world_size)
    return BatchSource(digits, configure(**training), share, torch.device("cpu"))


def test_real_and_fake_get_different_numbers_of_the_same_distribution(digits):
    batches = source(digits, batch_size=1000)
    (real,) = batches.discriminator(0)
    (fake,) = batches.generator(0)
    every = [real.real_draws, real.fake_draws, fake.draws]
    for draws in every:
        assert draws.shape == (1000, DRAWS)
        assert draws.mean(0).tolist() == pytest.approx([0.5] * DRAWS, abs=0.04)
        assert draws.std(0).tolist() == pytest.approx([12**-0.5] * DRAWS, abs=0.03)
    for i, one in enumerate(every):
        assert all(not torch.equal(one, other) for other in every[:i])


def test_draws_belong_to_the_step_and_to_any_number_of_processes(digits):
    (whole,) = source(digits).discriminator(5)
    assert torch.equal(whole.real_draws, source(digits).discriminator(5)[0].real_draws)
    assert not torch.equal(whole.real_draws, source(digits).discriminator(6)[0].real_draws)
    shares = [source(digits, rank, 2, mirror=True).discriminator(5)[0] for rank in range(2)]
    (whole,) = source(digits, mirror=True).discriminator(5)
    for name in ("images", "real_draws", "fake_draws"):
        joined = torch.cat([getattr(share, name) for share in shares])
        assert torch.equal(getattr(whole, name), joined), name


def test_augmentation_changes_no_other_random_number(digits):
    (with_,), (without,) = (
        source(digits).discriminator(2),
        source(digits, augment=()).discriminator(2),
    )
    for name in ("images", "labels", "latents", "fake_labels", "mix"):
        assert torch.equal(getattr(with_, name), getattr(without, name)), name
    assert without.real_draws.shape == (16, 0)


def test_mirror_flips_about_half_of_the_real_images(digits):
    (plain,) = source(digits, batch_size=512).discriminator(0)
    (mirrored,) = source(digits, batch_size=512, mirror=True).discriminator(0)
    same = (plain.images == mirrored.images).flatten(1).all(1)
    flipped = (plain.images.flip(3) == mirrored.images).flatten(1).all(1)
    assert (same | flipped).all()
    assert flipped.float().mean().item() == pytest.approx(0.5, abs=0.1)
    again = source(digits, batch_size=512, mirror=True).discriminator(0)[0].images
    assert torch.equal(again, mirrored.images)
    flips = [source(digits)._flips("mirror", step) for step in range(2)]
    assert not torch.equal(*flips)


@pytest.mark.parametrize("loss", ["hinge", "wgan-gp"])
def test_the_discriminator_sees_augmented_images_in_both_steps(digits, loss):
    config = configure(loss=loss)
    engine = Engine(Runtime(device="cpu"), "float32")
    state = new_state(config, Runtime(device="cpu"), engine)
    batches, networks, calls, seen = source(digits), state.networks, [], []
    state.discriminator.register_forward_pre_hook(lambda _, given: seen.append(given[0].detach()))

    def shade(images, draws):
        calls.append((images.detach(), draws))
        return images * 0.5 + 3

    real, fake = batches.discriminator(0), batches.generator(0)
    d_step(networks, real, config.training, engine, shade)
    (reals, real_draws), (fakes, fake_draws) = sorted(
        calls, key=lambda call: not torch.equal(call[0], real[0].images)
    )
    assert torch.equal(real_draws, real[0].real_draws)
    assert torch.equal(fake_draws, real[0].fake_draws)
    assert torch.equal(seen[0], torch.cat([reals, fakes]) * 0.5 + 3)
    assert all((images > 2).all() for images in seen)  # the gradient penalty's mixtures, too
    calls.clear(), seen.clear()
    before = [p.clone() for p in state.generator.parameters()]
    g_step(networks, fake, config.training, engine, shade)
    assert torch.equal(calls[0][1], fake[0].draws)
    assert torch.equal(seen[0], calls[0][0] * 0.5 + 3)
    after = state.generator.parameters()
    assert any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))


# The adaptive probability


def controller(p=0.0, target=0.5, ramp=1000):
    return Augmentation(KINDS, torch.tensor(p), target, ramp)


def show(controller, real, held_out, fake, updates):
    for _ in range(updates):
        controller.adapt(torch.tensor([real, held_out, fake]), 40)
    return controller.p.item()


def test_p_rises_at_the_stated_rate_where_d_overfits():
    overfitted = (1.0, -0.5, -1.0)  # the held-out images look more like the fakes
    assert show(controller(), *overfitted, updates=5) == pytest.approx(5 * 40 / 1000)
    assert show(controller(), *overfitted, updates=25) == pytest.approx(1.0)
    assert show(controller(), *overfitted, updates=60) == 1.0  # and not above


def test_p_falls_to_zero_where_d_does_not():
    fair = (1.0, 0.9, -1.0)
    assert show(controller(p=0.5), *fair, updates=5) == pytest.approx(0.3)
    assert show(controller(p=0.5), *fair, updates=50) == 0.0


def test_p_stays_where_d_is_just_at_the_target():
    assert show(controller(p=0.5, target=0.25), 1.0, 0.5, -1.0, updates=3) == 0.5


@given(st.floats(-100, 100), st.floats(-100, 100))
def test_neither_the_level_nor_the_scale_of_the_logits_counts(level, log_scale):
    scale = 2.0 ** (log_scale / 20)
    for held_out, expected in ((0.5, 0.54), (0.7, 0.46)):
        logits = [level + scale * x for x in (1.0, held_out, 0.2)]
        assert show(controller(p=0.5), *logits, updates=1) == pytest.approx(expected)


def test_where_fakes_look_more_real_than_real_images_only_the_real_ones_count():
    assert show(controller(p=0.5), 0.0, -0.1, 1.0, updates=1) == pytest.approx(0.54)
    assert show(controller(p=0.5), 0.0, 0.1, 1.0, updates=1) == pytest.approx(0.46)


FINITE = st.floats(-1e6, 1e6)


@given(st.floats(0, 1), FINITE, FINITE, FINITE, st.integers(1, 10**7), st.integers(1, 10**7))
def test_p_stays_a_probability(p, real, held_out, fake, shown, ramp):
    logits = torch.tensor([real, held_out, fake])
    new = adapted(torch.tensor(p), *logits, target=0.5, shown_nimg=shown, ramp_nimg=ramp)
    assert 0 <= new <= 1


def test_updating_reads_nothing_back_from_the_device():
    nothing = torch.tensor(0.5, device="meta")  # has no value to read
    augmentation = Augmentation(KINDS, nothing, target=0.5, ramp_nimg=100)
    augmentation.adapt(torch.stack([nothing] * 3), 64)
    assert augmentation.p.device.type == "meta"
    with pytest.raises(RuntimeError):
        augmentation.p.item()


def test_p_is_updated_every_fourth_step_if_at_all():
    assert [step for step in range(12) if controller().adapts_at(step)] == [3, 7, 11]
    assert not any(controller(target=0.0).adapts_at(step) for step in range(12))


def test_held_out_images_are_never_trained_on_and_every_other_one_is(digits):
    config = configure(holdout=0.1, images=64)
    batches = BatchSource(digits, config, Share(0, 1), torch.device("cpu"))
    held_count = math.ceil(0.1 * len(digits))
    size = config.training.batch_size
    epochs = 2 * len(digits) // size
    trained = {
        row(image) for k in range(epochs) for b in batches.discriminator(k) for image in b.images
    }
    held = {row(image) for k in range(epochs) for b in batches.held_out(k) for image in b.images}
    everything = {row(image) for image in to_float(torch.from_numpy(digits.images))}
    assert len(everything) == len(digits)
    assert trained.isdisjoint(held)
    assert len(held) == held_count
    assert trained | held == everything


def test_no_class_is_held_out_whole():
    rng = np.random.default_rng(0)
    labels = rng.permutation([*[0] * 14, *range(1, 7)])  # six classes of a single image
    data = ImageDataset(np.zeros((20, 1, 8, 8), np.uint8), labels, tuple("abcdefg"))
    for seed in range(20):
        training = configure(holdout=0.5, seed=seed).training
        held_out, trained_on = rows_apart(training, data)
        assert len(held_out) == 10
        assert sorted(torch.cat([held_out, trained_on]).tolist()) == list(range(20))
        assert set(labels[trained_on.numpy()]) == set(range(7))
    training = configure(holdout=0.5).training
    data = ImageDataset(data.images[:7], np.arange(7), data.class_names)  # then there is no choice
    assert [len(rows) for rows in rows_apart(training, data)] == [4, 3]


def test_what_is_held_out_of_many_does_not_depend_on_their_classes(digits):
    training = configure(holdout=0.1).training
    unlabelled = dataclasses.replace(digits, labels=None, class_names=())
    for a, b in zip(rows_apart(training, digits), rows_apart(training, unlabelled), strict=True):
        assert torch.equal(a, b)


def test_a_single_image_is_trained_on_and_nothing_adapts():
    data = ImageDataset(np.zeros((1, 1, 8, 8), np.uint8), None, ())
    adaptive = {"augment": ("cutout",), "augment_p": 0.0, "augment_target": 0.5}
    config = configure(holdout=0.1, batch_size=1, **adaptive)
    config = dataclasses.replace(config, network=dataclasses.replace(config.network, classes=0))
    batches = BatchSource(data, config, Share(0, 1), torch.device("cpu"))
    assert len(batches.discriminator(0)) == 1
    assert batches.held_out(3) == []


def test_the_seed_decides_what_is_held_out(digits):
    def held(seed):
        config = configure(holdout=0.1, seed=seed)
        source = BatchSource(digits, config, Share(0, 1), torch.device("cpu"))
        return {row(image) for k in range(9) for b in source.held_out(k) for image in b.images}

    assert held(0) == held(0)
    assert held(0) != held(1)


def test_held_out_images_are_cut_into_the_shares_of_all_processes(digits):
    config = configure(holdout=0.3, accumulate=2, mirror=True, augment=("cutout",))

    def batch(rank, world):
        source = BatchSource(digits, config, Share(rank, world), torch.device("cpu"))
        return source.held_out(5)

    whole = batch(0, 1)
    assert len(whole) == 2
    for k in range(2):
        for part in ("images", "labels", "draws"):
            cut = torch.cat([getattr(batch(rank, 4)[k], part) for rank in range(4)])
            assert torch.equal(cut, getattr(whole[k], part))


def row(image):
    return image.numpy().tobytes()


# A whole run

ADAPTIVE = {
    "seed": 1,
    "images": 352,
    "augment_p": 0.3,
    "augment_target": 0.1,
    "augment_ramp": 1000,
    "holdout": 0.2,
    "mirror": True,
}


def run_to(path, digits, **training):
    return train(
        configure(**training), Run(path), digits, runtime=Runtime(device="cpu"), progress=False
    )


def content(path):
    folder = Run(path).pointed_to("latest")
    return {file.name: file.read_bytes() for file in folder.glob("*.safetensors")}


def train_records(path):
    records = read_records(Run(path).log_path)
    return [
        {k: v for k, v in r.items() if k not in digits_run.CLOCK}
        for r in records
        if r["kind"] == "train"
    ]


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, marks=pytest.mark.slow),
        {"accumulate": 2, "d_steps": 2, "images": 704, "augment_ramp": 3000},
    ],
)
def test_a_resumed_adaptive_run_equals_an_unbroken_one_bit_for_bit(
    tmp_path, digits, monkeypatch, options
):
    options = {**ADAPTIVE, **options}
    run_to(tmp_path / "unbroken", digits, **options)
    stops = iter([3, 5, 13, 21])  # none of the 22 an update of p, which come every 4
    stop_at = [next(stops)]
    monkeypatch.setattr(
        trainer_module.Trainer, "_asked_to_stop", lambda self, _: self.state.step == stop_at[0]
    )
    for _ in range(5):
        run_to(tmp_path / "broken", digits, **options)
        stop_at[0] = next(stops, -1)
    assert content(tmp_path / "broken") == content(tmp_path / "unbroken")
    assert train_records(tmp_path / "broken") == train_records(tmp_path / "unbroken")
    facts = [
        find_checkpoint(tmp_path / name, verify_files=None).manifest["augmentation"]
        for name in ("broken", "unbroken")
    ]
    assert facts[0] == facts[1]
    assert facts[0]["p"] not in (0.0, ADAPTIVE["augment_p"])


@pytest.mark.slow
def test_two_processes_adapt_as_one_does(tmp_path):
    def sagan(path, *options):
        command = [sys.executable, "-m", "sagan", "train", str(path), "--batch-size", "32"]
        command += ["--g-width", "4", "--d-width", "8", "--device", "cpu", "--augment", "color"]
        command += ["--augment-p", "adaptive", *options]
        done = subprocess.run(command, capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, done.stderr
        return find_checkpoint(path, verify_files=None).manifest["augmentation"]

    two = sagan(tmp_path / "two", "--images", "640", "--devices", "2")
    assert two == sagan(tmp_path / "one", "--images", "640", "--accumulate", "2")


def test_p_is_logged_and_moves(tmp_path, digits):
    run_to(tmp_path, digits, **ADAPTIVE)
    ps = [r["augment_p"] for r in train_records(tmp_path)]
    assert len(set(ps)) > 2
    steps_apart = {round(abs(a - b) / 0.064, 4) for a, b in itertools.pairwise(ps)}
    assert steps_apart <= {0.0, 1.0}  # 4 x 16 of 1000 images an update, at most one in 3 steps


def test_a_fixed_p_is_logged_and_never_moves(tmp_path, digits):
    run_to(tmp_path, digits, augment_p=0.25)
    assert {r["augment_p"] for r in train_records(tmp_path)} == {0.25}


def test_without_augmentation_nothing_of_it_is_kept(tmp_path, digits):
    run_to(tmp_path, digits, augment=())
    assert "augmentation" not in find_checkpoint(tmp_path, verify_files=None).manifest
    assert all("augment_p" not in r for r in train_records(tmp_path))


def test_p_zero_trains_exactly_as_no_augmentation(tmp_path, digits):
    run_to(tmp_path / "none", digits, augment=())
    run_to(tmp_path / "zero", digits, augment_p=0.0)
    run_to(tmp_path / "one", digits, augment_p=1.0)
    assert content(tmp_path / "none") == content(tmp_path / "zero")
    assert content(tmp_path / "none") != content(tmp_path / "one")


# The configuration


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"augment": ("colour",)}, "'colour' is unknown; choose from color, translation, cutout"),
        ({"augment_p": 1.5}, "augment_p must be in .0, 1., not 1.5"),
        ({"augment_p": float("nan")}, "augment_p must be in"),
        ({"augment": ("color",), "augment_target": 1.0}, "augment_target must be in .0, 1., not 1"),
        ({"augment_target": 0.5}, "name the kinds, as color,translation,cutout"),
        ({"augment": ("color",), "augment_target": 0.5}, "hold some out, as --holdout 0.1"),
        ({"holdout": 0.6}, "holdout must be in .0, 0.5., not 0.6"),
        ({"augment_ramp": 0}, "augment_ramp must be at least 1, not 0"),
    ],
)
def test_what_cannot_be_is_refused(values, message):
    with pytest.raises(ValueError, match=message):
        TrainingConfig(**values)


def test_the_policy_has_one_order():
    assert TrainingConfig(augment=("cutout", "color", "cutout")).augment == ("color", "cutout")
