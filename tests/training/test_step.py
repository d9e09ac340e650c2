"""One step of each network: what changes, what does not, and that it is the textbook's step."""

import copy
import dataclasses

import pytest
import torch

from sagan.config import NetworkConfig, RunConfig, Runtime, TrainingConfig
from sagan.nn import SpectralNorm
from sagan.training.engine import Engine
from sagan.training.losses import discriminator_loss, generator_loss, gradient_penalty
from sagan.training.state import new_state
from sagan.training.step import DiscriminatorBatch, GeneratorBatch, HeldOutBatch, d_step, g_step

NETWORK = NetworkConfig(
    resolution=8,
    channels=1,
    classes=3,
    latent_dim=8,
    g_width=4,
    d_width=8,
    g_attention=(8,),
    d_attention=(8,),
)
TRAINING = TrainingConfig(batch_size=8, g_lr=1e-2, d_lr=1e-2)


def make(training=TRAINING, network=NETWORK, **runtime):
    config = RunConfig(network=network, training=training)
    run_on = Runtime(device="cpu", **runtime)
    engine = Engine(run_on, training.precision)
    engine.launch()
    state = new_state(config, run_on, engine)
    with torch.no_grad():
        for network_ in (state.generator, state.discriminator):
            network_.attention["0"].gamma.fill_(0.5)
    return engine, state


def discriminator_batch(size=8, seed=0):
    g = torch.Generator().manual_seed(seed)
    labels = torch.randint(3, (2, size), generator=g)
    images = torch.rand(size, 1, 8, 8, generator=g) * 2 - 1
    mix = torch.rand(size, generator=g)
    return DiscriminatorBatch(images, labels[0], torch.randn(size, 8, generator=g), labels[1], mix)


def generator_batch(size=8, seed=1):
    g = torch.Generator().manual_seed(seed)
    return GeneratorBatch(torch.randn(size, 8, generator=g), torch.randint(3, (size,), generator=g))


def snapshot(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def changed(before, module):
    return {n for n, value in module.state_dict().items() if not torch.equal(before[n], value)}


def vectors(module):
    return [m for m in module.modules() if isinstance(m, SpectralNorm)]


def assert_first_adam_step(stepped, reference, before, lr):
    """The reference's gradients, and Adam's first step along them: the sign, as beta1 is 0."""
    for mine, theirs, start in zip(
        stepped.parameters(), reference.parameters(), before, strict=True
    ):
        torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-3, atol=1e-5)
        clear = mine.grad.abs() > 1e-4
        torch.testing.assert_close(
            mine.detach()[clear], (start - lr * mine.grad.sign())[clear], rtol=1e-3, atol=1e-4
        )


@pytest.mark.parametrize(
    ("loss", "mismatch", "lecam"),
    [
        ("hinge", 0.0, 0.0),
        ("wgan-gp", 0.0, 0.0),
        ("non-saturating", 0.0, 0.0),
        ("hinge", 0.5, 0.0),
        ("hinge", 0.5, 0.3),
    ],
)
def test_d_step_is_adam_on_the_loss_of_separate_passes(loss, mismatch, lecam):
    training = dataclasses.replace(TRAINING, loss=loss, mismatch=mismatch, lecam=lecam)
    engine, state = make(training)
    D = copy.deepcopy(state.discriminator)
    batch = discriminator_batch()
    for layer in vectors(D):
        layer.power_iteration()
    with torch.no_grad():
        fake = copy.deepcopy(state.generator)(batch.latents, batch.fake_labels)
    real_logits, fake_logits = D(batch.images, batch.labels), D(fake, batch.fake_labels)
    expected = adversarial = discriminator_loss(loss, real_logits, fake_logits)
    if loss == "wgan-gp":
        penalty = gradient_penalty(D, batch.images, fake, batch.labels, batch.mix)
        expected = expected + 10 * penalty
    if lecam:
        expected = expected + lecam * (real_logits - fake_logits.mean().item()).square().mean()
        expected = expected + lecam * (fake_logits - real_logits.mean().item()).square().mean()
    if mismatch:
        wrong = (1 + D(batch.images, batch.fake_labels)).relu()[batch.labels != batch.fake_labels]
        assert 0 < len(wrong) < len(real_logits)
        expected = expected + mismatch * wrong.sum() / len(real_logits)
    expected.backward()
    before = [p.detach().clone() for p in D.parameters()]
    numbers = d_step(state.networks, [batch], training, engine)
    assert numbers["d_loss"].item() == pytest.approx(expected.item(), rel=1e-4)
    alone = numbers["d_adversarial_loss"] if lecam or mismatch or loss == "wgan-gp" else None
    assert alone is None or alone.item() == pytest.approx(adversarial.item(), abs=1e-4)
    assert ("d_adversarial_loss" in numbers) == (alone is not None)
    assert numbers["real_logits"].item() == pytest.approx(real_logits.mean().item(), abs=1e-4)
    assert_first_adam_step(state.discriminator, D, before, training.d_lr)


def test_without_classes_there_is_no_mismatch():
    network = dataclasses.replace(NETWORK, classes=0)
    results = []
    for mismatch in (0.0, 1.0):
        training = dataclasses.replace(TRAINING, mismatch=mismatch)
        engine, state = make(training, network)
        batch = discriminator_batch()._replace(labels=None, fake_labels=None)
        results.append(d_step(state.networks, [batch], training, engine)["d_loss"].item())
    assert results[0] == results[1]


def test_g_step_is_adam_on_the_generator_loss():
    engine, state = make()
    G, D = copy.deepcopy(state.generator), state.discriminator
    batch = generator_batch()
    for layer in vectors(G):
        layer.power_iteration()
    expected = generator_loss("hinge", D(G(batch.latents, batch.labels), batch.labels))
    expected.backward()
    before = [p.detach().clone() for p in G.parameters()]
    D.zero_grad()
    numbers = g_step(state.networks, [batch], TRAINING, engine)
    assert numbers["g_loss"].item() == pytest.approx(expected.item(), rel=1e-4)
    assert_first_adam_step(state.generator, G, before, TRAINING.g_lr)


@pytest.mark.parametrize("channels_last", [True, False])
@pytest.mark.parametrize("precision", ["float32", "bf16", "tf32"])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_every_weight_moves_in_its_own_step_only(channels_last, precision, accumulate):
    training = dataclasses.replace(TRAINING, precision=precision, accumulate=accumulate)
    engine, state = make(training, channels_last=channels_last)
    g_before, d_before = snapshot(state.generator), snapshot(state.discriminator)
    halves = [discriminator_batch(8 // accumulate, seed=i) for i in range(accumulate)]
    d_step(state.networks, halves, training, engine)
    assert {n for n, _ in state.discriminator.named_parameters()} <= changed(
        d_before, state.discriminator
    )
    statistics = {n for n in g_before if "running_" in n or "num_batches" in n}
    assert changed(g_before, state.generator) == statistics
    d_before = snapshot(state.discriminator)
    g_before = snapshot(state.generator)
    fakes = [generator_batch(8 // accumulate, seed=i) for i in range(accumulate)]
    g_step(state.networks, fakes, training, engine)
    assert changed(d_before, state.discriminator) == set()
    assert {n for n, _ in state.generator.named_parameters()} <= changed(g_before, state.generator)
    assert all(p.requires_grad for p in state.discriminator.parameters())


def test_accumulated_gradients_are_those_of_the_whole_batch_in_d():
    batch = discriminator_batch(8)
    halves = [DiscriminatorBatch(*(t[i : i + 4] for t in batch[:5])) for i in (0, 4)]
    results = []
    for batches in ([batch], halves):
        engine, state = make()
        for norm in state.generator.modules():  # so that the fakes do not depend on their batch
            if isinstance(norm, torch.nn.BatchNorm2d):
                norm.eval()
        d_step(state.networks, batches, TRAINING, engine)
        results.append([p.grad.clone() for p in state.discriminator.parameters()])
    for whole, summed in zip(*results, strict=True):
        torch.testing.assert_close(whole, summed, rtol=1e-4, atol=1e-6)


def test_vectors_of_d_move_once_a_d_step_and_never_in_a_g_step():
    engine, state = make()
    layer = vectors(state.discriminator)[0]
    expected = copy.deepcopy(layer)
    expected.power_iteration()
    halves = [discriminator_batch(4, seed=i) for i in range(2)]
    d_step(state.networks, halves, TRAINING, engine)
    assert torch.equal(layer.u, expected.u)
    g_step(state.networks, [generator_batch()], TRAINING, engine)
    assert torch.equal(layer.u, expected.u)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # dynamo's
def test_every_weight_moves_under_compile():
    engine, state = make(compile=True)
    for _ in range(2):
        g_before, d_before = snapshot(state.generator), snapshot(state.discriminator)
        d_step(state.networks, [discriminator_batch()], TRAINING, engine)
        names = {n for n, _ in state.discriminator.named_parameters()}
        names.remove("linear.layer.bias")  # inside the hinge's margins real and fake cancel in it
        assert names <= changed(d_before, state.discriminator)
        g_step(state.networks, [generator_batch()], TRAINING, engine)
        names = {n for n, _ in state.generator.named_parameters()}
        assert names <= changed(g_before, state.generator)


def test_held_out_images_are_judged_by_the_discriminator_that_judged_the_others():
    engine, state = make(dataclasses.replace(TRAINING, d_lr=1.0))  # an update changes every logit
    batch = discriminator_batch()
    same = HeldOutBatch(batch.images, batch.labels, None)
    numbers = d_step(state.networks, [batch], TRAINING, engine, held_out=[same])
    torch.testing.assert_close(numbers["held_out_logits"], numbers["real_logits"])
    after = state.networks.discriminator(batch.images, batch.labels).mean()
    assert abs(after - numbers["real_logits"]) > 0.1
