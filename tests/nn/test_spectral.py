import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from sagan.nn import SpectralNorm, power_iteration

Array = NDArray[np.float64]

# a layer, SpectralNorm's dim, and how NumPy makes the matrix that is meant
CASES: dict[str, tuple[Callable[[], nn.Module], int | None, Callable[[Array], Array]]] = {
    "conv": (lambda: nn.Conv2d(3, 5, 3), None, lambda w: w.reshape(5, -1)),
    "transposed": (
        lambda: nn.ConvTranspose2d(3, 5, 4),
        None,
        lambda w: w.transpose(1, 0, 2, 3).reshape(5, -1),
    ),
    "transposed-1d": (
        lambda: nn.ConvTranspose1d(3, 5, 4),
        None,
        lambda w: w.transpose(1, 0, 2).reshape(5, -1),
    ),
    "transposed-3d": (
        lambda: nn.ConvTranspose3d(3, 5, 2),
        None,
        lambda w: w.transpose(1, 0, 2, 3, 4).reshape(5, -1),
    ),
    "transposed-dim-0": (lambda: nn.ConvTranspose2d(3, 5, 4), 0, lambda w: w.reshape(3, -1)),
    "linear": (lambda: nn.Linear(6, 4), None, lambda w: w),
    "embedding": (lambda: nn.Embedding(7, 4), None, lambda w: w),
}

each_case = pytest.mark.parametrize("case", CASES)


def layer_and_matrix(case: str, *, eps: float = 1e-12) -> tuple[SpectralNorm, Array]:
    make, dim, matrix = CASES[case]
    layer = SpectralNorm(make(), dim=dim, eps=eps).double()
    return layer, matrix(layer.layer.weight.detach().numpy())


def batch_for(layer: nn.Module, dtype: torch.dtype = torch.float64) -> Tensor:
    if isinstance(layer, nn.Embedding):
        return torch.tensor([0, 6, 3])
    if isinstance(layer, nn.Linear):
        return torch.randn(2, 6, dtype=dtype)
    assert isinstance(layer.weight, Tensor)
    return torch.randn(2, 3, *[5] * (layer.weight.ndim - 2), dtype=dtype)


@each_case
def test_sigma_converges_to_the_largest_singular_value(case: str) -> None:
    layer, matrix = layer_and_matrix(case)
    largest = np.linalg.svd(matrix, compute_uv=False)[0]
    layer.power_iteration(steps=2_000)
    assert layer.sigma().item() == pytest.approx(largest, rel=1e-9)
    normalised = layer.normalized_weight().detach().numpy()
    spectrum = np.linalg.svd(CASES[case][2](normalised), compute_uv=False)
    assert spectrum[0] == pytest.approx(1, rel=1e-9)


@each_case
def test_a_new_layer_already_estimates_the_largest_singular_value(case: str) -> None:
    layer, matrix = layer_and_matrix(case)
    largest = np.linalg.svd(matrix, compute_uv=False)[0]
    assert 0.9 * largest < layer.sigma().item() <= largest * (1 + 1e-6)


@each_case
@pytest.mark.parametrize("eps", [1e-12, 0.5])
def test_one_power_iteration_equals_the_step_by_hand(case: str, eps: float) -> None:
    layer, matrix = layer_and_matrix(case, eps=eps)
    u = np.random.default_rng(0).normal(size=len(matrix))
    layer.u.copy_(torch.from_numpy(u))
    power_iteration(layer)
    v = matrix.T @ u
    v = v / (np.sqrt((v**2).sum()) + eps)
    u = matrix @ v
    u = u / (np.sqrt((u**2).sum()) + eps)
    np.testing.assert_allclose(layer.v.numpy(), v, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(layer.u.numpy(), u, rtol=1e-12, atol=1e-14)
    assert layer.sigma().item() == pytest.approx(u @ matrix @ v, rel=1e-12)


def test_power_iteration_of_a_network_advances_every_layer() -> None:
    network = nn.Sequential(
        SpectralNorm(nn.Linear(4, 4)), nn.Sequential(SpectralNorm(nn.Linear(4, 4)))
    )
    for layer in (network[0], network[1][0]):
        layer.u.copy_(torch.eye(4)[0])
    twice = copy.deepcopy(network)
    power_iteration(network, steps=2)
    for _ in range(2):
        power_iteration(twice)
    for layer, other in ((network[0], twice[0]), (network[1][0], twice[1][0])):
        assert not torch.equal(layer.u, torch.eye(4)[0])
        assert torch.equal(layer.u, other.u)
        assert torch.equal(layer.v, other.v)


@each_case
@pytest.mark.parametrize("training", [True, False])
def test_the_forward_leaves_the_vectors_alone(case: str, training: bool) -> None:
    layer, _ = layer_and_matrix(case)
    layer.train(training)
    before = {name: buffer.clone() for name, buffer in layer.named_buffers()}
    assert sorted(before) == ["u", "v"]
    for _ in range(2):
        layer(batch_for(layer.layer))
    assert all(torch.equal(buffer, before[name]) for name, buffer in layer.named_buffers())


@each_case
def test_the_forward_is_the_layer_with_the_divided_weight(case: str) -> None:
    layer, matrix = layer_and_matrix(case)
    sigma = layer.u.numpy() @ matrix @ layer.v.numpy()
    plain = copy.deepcopy(layer.layer)
    with torch.no_grad():
        plain.weight.div_(float(sigma))
    x = batch_for(plain)
    torch.testing.assert_close(layer(x), plain(x), rtol=1e-12, atol=1e-12)


@each_case
def test_the_gradient_is_the_closed_form(case: str) -> None:
    """Through sigma, not through u and v: g / sigma - <g, W> / sigma^2 u v^T."""
    layer, matrix = layer_and_matrix(case)
    layer.u.copy_(torch.randn_like(layer.u))  # any vectors will do, converged or not
    to_matrix = CASES[case][2]
    upstream = torch.randn_like(layer.layer.weight)
    (layer.normalized_weight() * upstream).sum().backward()
    g, u, v = to_matrix(upstream.numpy()), layer.u.numpy(), layer.v.numpy()
    sigma = u @ matrix @ v
    expected = g / sigma - (g * matrix).sum() / sigma**2 * np.outer(u, v)
    gradient = to_matrix(layer.layer.weight.grad.numpy())
    np.testing.assert_allclose(gradient, expected, rtol=1e-9, atol=1e-9)


LAYOUTS = {"plain": torch.contiguous_format, "channels-last": torch.channels_last}


@each_case
@pytest.mark.parametrize("layout", LAYOUTS)
def test_fast_forms_equal_the_formula_in_any_memory_order(case: str, layout: str) -> None:
    """The vectors move, the weight divides and the gradient flows as in plain operations."""
    layer, matrix = layer_and_matrix(case)
    if layer.layer.weight.ndim == 4:
        layer.to(memory_format=LAYOUTS[layout])
    u = layer.u.numpy().copy()
    layer.power_iteration()
    v = matrix.T @ u
    v = v / (np.sqrt((v**2).sum()) + 1e-12)
    np.testing.assert_allclose(layer.v.numpy(), v, rtol=1e-12, atol=1e-14)
    upstream = torch.randn_like(layer.layer.weight)
    for gradient in (upstream, upstream.contiguous()):
        ours = torch.autograd.grad(layer.normalized_weight(), layer.layer.weight, gradient)
        plain = layer.layer.weight / layer.sigma()
        expected = torch.autograd.grad(plain, layer.layer.weight, gradient)
        torch.testing.assert_close(ours, expected, rtol=1e-11, atol=1e-12)
    assert ours[0].shape == layer.layer.weight.shape


@each_case
def test_second_derivatives_equal_finite_differences(case: str) -> None:
    layer, _ = layer_and_matrix(case)
    layer.u.copy_(torch.randn_like(layer.u))
    weight = layer.layer.weight

    def normalised(value: Tensor) -> Tensor:
        return torch.func.functional_call(
            Normalised(layer), {"inner.layer.weight": value}, (torch.zeros(()),)
        )

    assert torch.autograd.gradcheck(normalised, weight)
    assert torch.autograd.gradgradcheck(normalised, weight)


class Normalised(nn.Module):
    """A layer's divided weight as a module's output, for functional calls."""

    def __init__(self, inner: SpectralNorm) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, _nothing: Tensor) -> Tensor:
        return self.inner.normalized_weight()


@each_case
def test_the_state_dict_carries_weight_and_vectors(case: str) -> None:
    layer, _ = layer_and_matrix(case)
    other, _ = layer_and_matrix(case)
    x = batch_for(layer.layer)
    assert not torch.equal(layer(x), other(x))
    state = layer.state_dict()
    assert {"u", "v", "layer.weight"} <= set(state)
    other.load_state_dict(state)
    assert torch.equal(layer(x), other(x))


@each_case
def test_bf16_autocast_leaves_sigma_and_the_vectors_in_float32(case: str) -> None:
    make, dim, _ = CASES[case]
    layer = SpectralNorm(make(), dim=dim)
    layer.u.copy_(nn.functional.normalize(torch.randn_like(layer.u), dim=0))
    without = copy.deepcopy(layer)
    without.power_iteration()
    x = batch_for(layer.layer, torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        layer.power_iteration()
        sigma = layer.sigma()
        output = layer(x)
    assert sigma.dtype == layer.u.dtype == layer.v.dtype == torch.float32
    assert torch.equal(sigma, without.sigma())
    assert torch.equal(layer.u, without.u)
    assert output.dtype == (torch.float32 if case == "embedding" else torch.bfloat16)
    torch.testing.assert_close(output.float(), without(x), rtol=0.05, atol=0.02)


class ProductsUnderAutocast(TorchFunctionMode):
    """Notes for every matrix product whether autocast may lower its precision.

    On a CPU it would not touch `mv` and `dot` anyway, so numbers alone cannot tell.
    """

    def __init__(self) -> None:
        super().__init__()
        self.lowered: list[bool] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.__name__ in ("mv", "dot", "matmul", "mm", "vdot", "inner", "einsum", "__matmul__"):
            self.lowered.append(torch.is_autocast_enabled("cpu"))
        return func(*args, **kwargs or {})


def test_autocast_is_off_while_sigma_and_the_vectors_are_computed() -> None:
    layer = SpectralNorm(nn.Linear(4, 3))
    with torch.autocast("cpu", torch.bfloat16), ProductsUnderAutocast() as products:
        layer.sigma()
        layer.power_iteration()
    assert products.lowered == [False] * 4


@pytest.mark.parametrize("layer", [nn.ReLU(), nn.BatchNorm2d(4), nn.BatchNorm2d(4, affine=False)])
def test_a_layer_without_a_weight_matrix_is_refused(layer: nn.Module) -> None:
    with pytest.raises(ValueError, match=f"{type(layer).__name__} has no weight matrix"):
        SpectralNorm(layer)


@pytest.mark.parametrize("dim", [-1, 2])
def test_a_dim_that_the_weight_lacks_is_refused(dim: int) -> None:
    with pytest.raises(ValueError, match=f"dim {dim} is out of range for a weight of 2"):
        SpectralNorm(nn.Linear(3, 4), dim=dim)


def test_a_layer_in_double_precision_gets_such_vectors() -> None:
    layer = SpectralNorm(nn.Conv2d(3, 4, 3).double())
    assert layer.u.dtype == layer.v.dtype == torch.float64
    norm = torch.linalg.matrix_norm(layer.matrix(), 2)
    torch.testing.assert_close(layer.sigma(), norm, rtol=1e-2, atol=0)
    assert layer(torch.randn(1, 3, 5, 5, dtype=torch.float64)).dtype == torch.float64


def test_all_layers_at_once_get_what_each_would_alone() -> None:
    network = nn.Sequential(*(SpectralNorm(make(), dim=dim) for make, dim, _ in CASES.values()))
    for i, layer in enumerate(network):
        layer.eps = 0.1 * i
        layer.u.copy_(torch.randn_like(layer.u))
    alone = copy.deepcopy(network)
    power_iteration(network, steps=3)
    for layer in alone:
        for _ in range(3):
            layer.power_iteration()
    for name, buffer in network.named_buffers():
        assert torch.equal(buffer, dict(alone.named_buffers())[name]), name


def test_no_steps_change_nothing() -> None:
    layer, _ = layer_and_matrix("linear")
    before = {name: buffer.clone() for name, buffer in layer.named_buffers()}
    layer.power_iteration(steps=0)
    power_iteration(nn.ReLU())
    assert all(torch.equal(buffer, before[name]) for name, buffer in layer.named_buffers())
