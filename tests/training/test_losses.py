"""Losses against their definitions in NumPy, and the gradient penalty against a closed form."""

import numpy as np
import pytest
import torch

from sagan.config import NetworkConfig
from sagan.models import build_discriminator
from sagan.training import discriminator_loss, generator_loss, gradient_penalty
from sagan.training.losses import lecam_penalty, mismatch_loss, mode_seeking_loss

REAL, FAKE = torch.tensor([2.0, 0.5, -1.0]), torch.tensor([-3.0, 0.25])


def softplus(x: np.ndarray) -> np.ndarray:
    return np.log1p(np.exp(x))


@pytest.mark.parametrize(
    ("loss", "d_expected", "g_expected"),
    [
        ("hinge", (0 + 0.5 + 2) / 3 + (0 + 1.25) / 2, 2.75 / 2),
        ("wgan-gp", -2.75 / 2 - 0.5, 2.75 / 2),
        (
            "non-saturating",
            softplus(-REAL.numpy()).mean() + softplus(FAKE.numpy()).mean(),
            softplus(-FAKE.numpy()).mean(),
        ),
    ],
)
def test_losses_equal_their_definitions(loss, d_expected, g_expected):
    assert discriminator_loss(loss, REAL, FAKE).item() == pytest.approx(d_expected, rel=1e-6)
    assert generator_loss(loss, FAKE).item() == pytest.approx(g_expected, rel=1e-6)


@pytest.mark.parametrize("loss", ["hinge", "wgan-gp", "non-saturating"])
def test_each_player_wants_what_the_other_does_not(loss):
    real, fake = REAL.clone().requires_grad_(), FAKE.clone().requires_grad_()
    discriminator_loss(loss, real, fake).backward()
    assert (real.grad <= 0).all()
    assert (fake.grad >= 0).all()
    again = FAKE.clone().requires_grad_()
    generator_loss(loss, again).backward()
    assert (again.grad < 0).all()


def test_penalty_of_a_linear_critic_is_closed_form():
    weight = torch.randn(3, 4, 4, dtype=torch.float64)
    real, fake = torch.randn(2, 5, 3, 4, 4, dtype=torch.float64)

    def critic(images, labels):
        return (images * weight).sum((1, 2, 3))

    penalty = gradient_penalty(critic, real, fake, None, torch.rand(5, dtype=torch.float64))
    assert penalty.item() == pytest.approx((weight.norm().item() - 1) ** 2)


def test_penalty_is_taken_between_the_images():
    seen = []

    def critic(images, labels):
        seen.append(images)
        return images.sum((1, 2, 3))

    real, fake = torch.ones(2, 1, 2, 2), torch.zeros(2, 1, 2, 2)
    gradient_penalty(critic, real, fake, None, torch.tensor([0.25, 0.75]))
    assert seen[0][:, 0, 0, 0].tolist() == [0.25, 0.75]


@pytest.mark.parametrize("form", ["article", "paper"])
def test_penalty_reaches_every_weight_through_attention(form):
    config = NetworkConfig(
        resolution=16, channels=1, d_width=8, d_attention=(8,), attention_form=form
    )
    network = build_discriminator(config)
    torch.nn.init.ones_(network.attention["0"].gamma)
    real, fake = torch.randn(2, 2, 1, 16, 16)
    gradient_penalty(network, real, fake, None, torch.rand(2)).backward()
    for name, parameter in network.named_parameters():
        if not name.endswith("bias"):  # a last bias has no part in the gradient of the logits
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name


def test_mode_seeking_pairs_images_of_one_class():
    """By hand: classes 0 and 1 have one pair each, class 2 a single image."""
    latents = torch.tensor([[0.0, 0.0], [1.0, 1.0], [2.0, 4.0], [3.0, 1.0], [9.0, 9.0]])
    labels = torch.tensor([1, 0, 1, 0, 2])
    images = torch.arange(5.0)[:, None, None, None].expand(5, 1, 2, 2) ** 2
    expected = [abs(9 - 1) / 1.0, abs(4 - 0) / 3.0]  # |x1 - x3| / mean |z|, |x0 - x2| / ...
    loss = mode_seeking_loss(images, latents, labels)
    assert loss.item() == pytest.approx(sum(1 / (0.01 + r) for r in expected) / 2, rel=1e-6)


def test_mode_seeking_of_two_equal_latents_is_finite():
    images = torch.zeros(4, 1, 2, 2)
    assert mode_seeking_loss(images, torch.ones(4, 3), None).item() == pytest.approx(100)
    assert mode_seeking_loss(torch.rand(4, 1, 2, 2), torch.ones(4, 3), None).item() >= 0


def test_mode_seeking_moves_images_apart_and_ignores_other_classes():
    latents = torch.tensor([[0.0], [1.0], [5.0]])
    images = torch.tensor([0.1, 0.2, 0.7])[:, None, None, None].requires_grad_()
    mode_seeking_loss(images, latents, torch.tensor([0, 0, 1])).backward()
    first, second, other = images.grad.flatten().tolist()
    assert first > 0 > second  # a step against the gradient parts them
    assert other == 0


def test_mode_seeking_is_not_satisfied_by_one_image_far_from_all():
    """Or some latents give white squares, so that the others need not differ."""
    latents, values = torch.tensor([[0.0], [1.0], [2.0], [3.0]]), [0.1, 0.2, 0.5, 0.6]

    def pull(values):
        images = torch.tensor(values)[:, None, None, None].requires_grad_()
        mode_seeking_loss(images, latents, None).backward()
        return images.grad.flatten()[0].item()

    assert pull(values) == pytest.approx(pull([0.1, 0.2, 0.5, 1.0]))


def test_mode_seeking_without_two_of_a_class_is_nothing():
    latents, images = torch.randn(2, 4), torch.randn(2, 1, 2, 2, requires_grad=True)
    loss = mode_seeking_loss(images, latents, torch.tensor([0, 1]))
    loss.backward()
    assert loss.item() == 0
    assert images.grad.abs().max() == 0
    assert mode_seeking_loss(images, latents, None).item() > 0


def test_lecam_pulls_each_logit_towards_the_mean_of_the_other_kind():
    real, fake = REAL.clone().requires_grad_(), FAKE.clone().requires_grad_()
    penalty = lecam_penalty(real, fake)
    means = REAL.numpy().mean(), FAKE.numpy().mean()
    expected = ((REAL.numpy() - means[1]) ** 2).mean() + ((FAKE.numpy() - means[0]) ** 2).mean()
    assert penalty.item() == pytest.approx(expected, rel=1e-6)
    penalty.backward()
    assert torch.allclose(real.grad, 2 / 3 * (REAL - means[1]))
    assert torch.allclose(fake.grad, FAKE - means[0])


@pytest.mark.parametrize("loss", ["hinge", "wgan-gp", "non-saturating"])
def test_mismatch_counts_images_under_another_class_as_fakes(loss):
    logits = torch.tensor([2.0, 0.5, -1.0], requires_grad=True)
    found = mismatch_loss(loss, logits, torch.tensor([0, 1, 2]), torch.tensor([1, 1, 0]))
    nothing = torch.full((2,), 1e4) if loss != "wgan-gp" else torch.zeros(2)  # real and believed
    expected = discriminator_loss(loss, nothing, logits[[0, 2]]) * 2 / 3
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)
    found.backward()
    assert logits.grad[1] == 0  # its own class was drawn
    assert (logits.grad[[0, 2]] >= 0).all()


@pytest.mark.parametrize("labels", [None, torch.tensor([0])])
def test_one_image_alone_has_nothing_to_be_unlike(labels):
    assert mode_seeking_loss(torch.zeros(1, 1, 4, 4), torch.ones(1, 3), labels) == 0
