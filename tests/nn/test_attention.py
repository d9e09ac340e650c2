import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from sagan.nn import (
    AttentionMap,
    SelfAttention,
    SpectralNorm,
    attention_numbers,
    record_attention,
    reference_attention,
)
from sagan.nn.attention import key_distances
from sagan.nn.attention_kernels import RECOMPUTED_FROM_ENERGIES, attend, attention_path

FORMS = ("article", "paper")

each_form = pytest.mark.parametrize("form", FORMS)


@pytest.fixture(params=["plain", "recomputed", "fused"])
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Force one path of `attend`, whatever the size; recomputed in pieces that do not fit evenly.

    The fused path takes the CPU's math kernel here: its padding is what can be tested.
    """
    monkeypatch.setattr(
        "sagan.nn.attention_kernels.attention_path", lambda n, m, device_type: request.param
    )
    monkeypatch.setattr("sagan.nn.attention_kernels._PIECE_ENERGIES", 40)
    monkeypatch.setattr("sagan.nn.attention_kernels._PIECE_QUERIES", 3)
    return request.param


def attention(form: Any, channels: int = 16, dtype: torch.dtype = torch.float64) -> SelfAttention:
    """A block that has left its start: gamma is not 0 and the map far from uniform."""
    block = SelfAttention(channels, form=form).to(dtype)
    with torch.no_grad():
        block.gamma.fill_(0.7)
        if form == "article":
            for layer in (block.query, block.key):
                layer.weight.mul_(3)
    return block


def feature_map(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, dtype=dtype) * 2


def quoted_code(block: SelfAttention, x: Tensor) -> tuple[Tensor, Tensor]:
    """The article's code, rewritten: every tensor `b c n`, softmax over keys by hand.

    For the paper's form with its three differences: normalised weights, pooled keys and values,
    and an output projection.
    """
    b, _, h, w = x.shape

    def project(layer: nn.Module, features: Tensor) -> Tensor:
        if isinstance(layer, SpectralNorm):
            matrix = layer.layer.weight[:, :, 0, 0]
            matrix = matrix / torch.einsum("o,oc,c->", layer.u, matrix, layer.v)
            bias = torch.zeros(len(matrix), dtype=x.dtype)
        else:
            matrix, bias = layer.weight[:, :, 0, 0], layer.bias
        return torch.einsum("oc,bchw->bohw", matrix, features) + bias[:, None, None]

    query, key, value = (project(layer, x) for layer in (block.query, block.key, block.value))
    if block.form == "paper":
        key, value = (
            torch.stack([t[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1)]).amax(0)
            for t in (key, value)
        )
    query, key, value = (t.reshape(b, t.shape[1], -1) for t in (query, key, value))
    energy = torch.einsum("ben,bem->bnm", query, key)
    exponentials = (energy - energy.amax(2, keepdim=True)).exp()
    weights = exponentials / exponentials.sum(2, keepdim=True)
    attended = torch.einsum("bdm,bnm->bdn", value, weights).reshape(b, -1, h, w)
    if block.output is not None:
        attended = project(block.output, attended)
    return block.gamma * attended + x, weights


@each_form
def test_reference_equals_the_quoted_code(form: str) -> None:
    block, x = attention(form), feature_map(2, 16, 4, 8)
    for ours, quoted in zip(block.reference(x), quoted_code(block, x), strict=True):
        torch.testing.assert_close(ours, quoted, rtol=0, atol=1e-12)


@each_form
@pytest.mark.parametrize("channels", [8, 19])  # 19: widths 2, and 9 of values, rounded down
def test_forward_equals_the_reference_in_float64(form: str, path: str, channels: int) -> None:
    block, x = attention(form, channels), feature_map(3, channels, 8, 4)
    expected = block.reference(x)[0]
    assert (expected - x).abs().max() > 0.1  # attention does something here
    torch.testing.assert_close(block(x), expected, rtol=0, atol=1e-12)


@each_form
def test_forward_equals_the_reference_in_float32(form: str, path: str) -> None:
    block, x = attention(form, 32, torch.float32), feature_map(2, 32, 8, 8, dtype=torch.float32)
    torch.testing.assert_close(block(x), block.reference(x)[0], rtol=1e-5, atol=1e-5)


@each_form
@pytest.mark.parametrize("threads", [1, 2])
def test_a_large_map_equals_the_reference(form: str, threads: int) -> None:
    block, x = attention(form, 8, torch.float32), feature_map(3, 8, 52, 40, dtype=torch.float32)
    query, key, _ = block.project(x)
    assert attention_path(query.shape[1], key.shape[1], "cpu") == "recomputed"
    torch.set_num_threads(threads)
    try:
        torch.testing.assert_close(block(x), block.reference(x)[0], rtol=1e-5, atol=1e-5)
    finally:
        torch.set_num_threads(1)


def test_the_path_is_chosen_by_size_and_device() -> None:
    m = RECOMPUTED_FROM_ENERGIES // 1024
    assert attention_path(1024, m, "cpu") == "recomputed"
    assert attention_path(1024, m - 1, "cpu") == "plain"
    for device_type in ("meta", "mps"):
        assert attention_path(4096, 4096, device_type) == "plain"
    assert attention_path(16, 16, "cuda") == "fused"


def test_exporters_and_the_compiler_see_plain_products() -> None:
    block, x = attention("paper", 8, torch.float32), torch.randn(1, 8, 40, 40)
    exported = torch.export.export(block, (x,))
    names = {str(node.target) for node in exported.graph.nodes}
    assert "aten.bmm.default" in names
    torch.testing.assert_close(exported.module()(x), block(x), rtol=1e-4, atol=1e-4)


@each_form
def test_the_fused_path_gives_the_kernel_widths_in_multiples_of_8_and_scale_one(
    form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    fused = F.scaled_dot_product_attention

    def spy(query: Tensor, key: Tensor, value: Tensor, *, scale: float) -> Tensor:
        calls.append((query.shape[-1], key.shape[-1], value.shape[-1], scale))
        return fused(query, key, value, scale=scale)

    monkeypatch.setattr(
        "sagan.nn.attention_kernels.attention_path", lambda n, m, device_type: "fused"
    )
    monkeypatch.setattr(F, "scaled_dot_product_attention", spy)
    attention(form, 16)(feature_map(1, 16, 4, 4))
    assert calls == [(8, 8, 16 if form == "article" else 8, 1.0)]


@each_form
def test_weights_are_the_references_map_and_their_rows_sum_to_one(form: str) -> None:
    block, x = attention(form), feature_map(2, 16, 4, 8)
    weights = block.weights(x)
    assert weights.shape == (2, 32, 32 if form == "article" else 8)
    torch.testing.assert_close(weights.sum(2), torch.ones(2, 32, dtype=x.dtype))
    torch.testing.assert_close(weights, block.reference(x)[1], rtol=0, atol=1e-12)
    assert weights.max() > 3 / weights.shape[2]  # not the uniform map


@each_form
def test_a_new_block_returns_its_input_unchanged(form: str, path: str) -> None:
    x = feature_map(2, 16, 4, 4, dtype=torch.float32)
    assert torch.equal(SelfAttention(16, form=form)(x), x)


@pytest.mark.parametrize(
    ("form", "spectral_norm", "normalised"),
    [
        ("article", None, False),
        ("paper", None, True),
        ("article", True, True),
        ("paper", False, False),
    ],
)
def test_parameters_are_those_of_the_published_form(
    form: Any, spectral_norm: bool | None, normalised: bool
) -> None:
    block = SelfAttention(32, form=form, spectral_norm=spectral_norm)
    widths = {"query": (4, 32), "key": (4, 32), "value": (32, 32)}
    if form == "paper":
        widths |= {"value": (16, 32), "output": (32, 16)}
    inner = ".layer" if normalised else ""
    expected = {"gamma": (1,)}
    expected |= {f"{name}{inner}.weight": (*width, 1, 1) for name, width in widths.items()}
    if form == "article":
        expected |= {f"{name}{inner}.bias": width[:1] for name, width in widths.items()}
    assert {name: tuple(p.shape) for name, p in block.named_parameters()} == expected
    assert block.gamma.item() == 0


@each_form
def test_every_parameter_gets_gradient(form: str, path: str) -> None:
    block = attention(form)
    block(feature_map(2, 16, 4, 4)).square().sum().backward()
    for name, parameter in block.named_parameters():
        assert parameter.grad is not None, name
        if name == "key.bias":  # adds the same to all energies of a query: softmax cancels it
            assert parameter.grad.abs().max() < 1e-10
        else:
            assert parameter.grad.abs().max() > 1e-6, name


@each_form
def test_gradients_equal_those_of_the_literal_form(form: str, path: str) -> None:
    block, x = attention(form), feature_map(2, 16, 4, 8).requires_grad_()
    direction = feature_map(2, 16, 4, 8)
    inputs = [x, *block.parameters()]
    fused = torch.autograd.grad((block(x) * direction).sum(), inputs)
    literal = torch.autograd.grad((quoted_code(block, x)[0] * direction).sum(), inputs)
    for ours, expected in zip(fused, literal, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-10, atol=1e-10)


@each_form
def test_gradients_equal_finite_differences(form: str, path: str) -> None:
    block, x = attention(form, 8), feature_map(1, 8, 2, 4).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, gamma: block(x), (x, block.gamma))


@each_form
def test_second_derivatives_equal_the_literal_forms(form: str, path: str) -> None:
    """As gradient penalties take them; only the fused kernels need to be told."""
    block, x = attention(form, 8), feature_map(2, 8, 2, 4).requires_grad_()

    def penalty(y: Tensor) -> Tensor:
        (slope,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
        return (slope.norm() - 1).square()

    inputs = [x, *(p for name, p in block.named_parameters() if name != "key.bias")]
    with sdpa_kernel(SDPBackend.MATH) if path == "fused" else nullcontext():
        ours = torch.autograd.grad(penalty(block(x)), inputs, allow_unused=True)
    literal = torch.autograd.grad(penalty(quoted_code(block, x)[0]), inputs, allow_unused=True)
    for mine, theirs in zip(ours, literal, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-8, atol=1e-8)


def random_heads(
    n: int = 7, m: int = 5, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor, Tensor]:
    shapes = (2, n, 2), (2, m, 2), (2, m, 3)
    return tuple(torch.randn(*shape, dtype=dtype).requires_grad_() for shape in shapes)


def test_second_derivatives_equal_finite_differences(path: str) -> None:
    with sdpa_kernel(SDPBackend.MATH) if path == "fused" else nullcontext():
        assert torch.autograd.gradgradcheck(attend, random_heads())


def test_only_the_gradients_asked_for_are_needed(path: str) -> None:
    query, key, value = random_heads()
    (whole, *_) = torch.autograd.grad(attend(query, key, value).sum(), [query, key, value])
    fixed = attend(query, key.detach(), value.detach())
    torch.testing.assert_close(torch.autograd.grad(fixed.sum(), query)[0], whole)


def test_bf16_is_as_near_the_truth_as_the_literal_form(path: str) -> None:
    """In a large map whose pieces are summed: the sums must not be kept in bf16."""
    heads = random_heads(300, 64, torch.bfloat16)
    upstream = torch.randn(2, 300, 3)
    truth = [t.detach().double().requires_grad_() for t in heads]

    def results(attention: Callable[..., Tensor], inputs: Sequence[Tensor]) -> list[Tensor]:
        output = attention(*inputs)
        return [output, *torch.autograd.grad(output, inputs, upstream.to(output.dtype))]

    exact = results(lambda *t: reference_attention(*t)[0], truth)
    literal = results(lambda *t: reference_attention(*t)[0], heads)
    for mine, theirs, right in zip(results(attend, heads), literal, exact, strict=True):
        assert mine.dtype == torch.bfloat16
        error, allowed = ((t.double() - right).norm() / right.norm() for t in (mine, theirs))
        assert error < 1.3 * allowed + 1e-3


@each_form
def test_bf16_autocast_equals_float32_within_its_rounding(form: str, path: str) -> None:
    block, x = attention(form, 16, torch.float32), feature_map(2, 16, 8, 8, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        lowered = block(x)
    lowered.float().square().sum().backward()
    expected = block(x)
    assert (lowered - expected).abs().max() > 0  # it was lowered
    assert (lowered - expected).norm() < 0.05 * (expected - x).norm()


@each_form
def test_memory_order_of_the_input_does_not_matter(form: str, path: str) -> None:
    block, x = attention(form), feature_map(2, 16, 4, 8)
    channels_last = x.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(block(channels_last), block(x), rtol=0, atol=1e-12)


def test_permuting_pixels_permutes_the_output_of_the_article_form(path: str) -> None:
    block, x = attention("article"), feature_map(2, 16, 4, 8)
    order = torch.randperm(32)

    def permute(features: Tensor) -> Tensor:
        return features.flatten(2)[:, :, order].unflatten(2, (4, 8))

    assert not torch.equal(permute(x), x)
    torch.testing.assert_close(block(permute(x)), permute(block(x)), rtol=0, atol=1e-12)


@pytest.mark.parametrize("channels", [0, 7, -8])
def test_fewer_channels_than_eight_are_refused(channels: int) -> None:
    with pytest.raises(ValueError, match=f"at least 8 channels, not {channels}"):
        SelfAttention(channels)


def test_an_unknown_form_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'biggan'.*article or paper"):
        SelfAttention(8, form="biggan")  # type: ignore[arg-type]


def two_layers() -> nn.Sequential:
    first, second = attention("article", 8), attention("paper", 8)
    with torch.no_grad():
        second.gamma.fill_(-0.25)
    return nn.Sequential(first, nn.AvgPool2d(2), nn.Sequential(second))


def test_record_attention_names_layers_in_order_and_keeps_their_maps() -> None:
    network, x = two_layers(), feature_map(2, 8, 4, 8)
    with record_attention(network) as maps:
        recorded = network(x)
    assert list(maps) == ["0", "2.0"]
    assert maps["0"].weights.shape == (2, 32, 32)
    assert maps["2.0"].weights.shape == (2, 8, 2)
    assert [(m.height, m.width, m.key_stride) for m in maps.values()] == [(4, 8, 1), (2, 4, 2)]
    assert [m.gamma for m in maps.values()] == [pytest.approx(0.7), -0.25]
    torch.testing.assert_close(maps["0"].weights, network[0].weights(x).float())
    assert not maps["0"].weights.requires_grad
    torch.testing.assert_close(recorded, network(x))


def test_record_attention_of_a_layer_that_is_called_by_keyword() -> None:
    class Keyword(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attend = SelfAttention(8, form="article")

        def forward(self, features: Tensor) -> Tensor:
            return self.attend(x=features)  # type: ignore[no-any-return]

    network, x = Keyword().double(), feature_map(2, 8, 4, 4)
    with record_attention(network) as maps:
        network(x)
    torch.testing.assert_close(maps["attend"].weights, network.attend.weights(x).float())


def test_the_map_of_an_empty_batch_has_no_numbers() -> None:
    network = two_layers()
    with record_attention(network) as maps:
        assert network(feature_map(0, 8, 4, 8)).shape == (0, 8, 2, 4)
    with pytest.raises(ValueError, match="the batch was empty"):
        attention_numbers(maps["0"])


def test_the_grid_of_a_map_has_queries_and_keys_in_place() -> None:
    weights = torch.arange(8.0 * 2).reshape(1, 8, 2)
    grid = AttentionMap(weights, 2, 4, key_stride=2, gamma=1.0).grid()
    assert grid.shape == (1, 2, 4, 1, 2)
    assert grid[0, 1, 2, 0, 1] == weights[0, 1 * 4 + 2, 1]


@pytest.mark.parametrize("fails", [False, True])
def test_record_attention_removes_its_hooks(fails: bool) -> None:
    network = two_layers()
    outcome: Any = pytest.raises(RuntimeError) if fails else record_attention(nn.Identity())
    with outcome, record_attention(network) as maps:
        assert any(m._forward_hooks for m in network.modules())
        if fails:
            raise RuntimeError
    assert not any(m._forward_hooks for m in network.modules())
    network(feature_map(1, 8, 4, 4))
    assert maps == {}


@pytest.mark.parametrize("key_stride", [1, 2])
def test_a_uniform_map_has_entropy_log_m(key_stride: int) -> None:
    n, m = 32, 32 // key_stride**2
    numbers = attention_numbers(AttentionMap(torch.full((2, n, m), 1 / m), 4, 8, key_stride, 0.0))
    assert numbers.entropy == pytest.approx(math.log(m), rel=1e-6)


def test_a_map_that_looks_only_at_itself_has_no_entropy_and_no_distance() -> None:
    numbers = attention_numbers(AttentionMap(torch.eye(32)[None], 4, 8, 1, 0.0))
    assert numbers == pytest.approx((0.0, 0.0, 0.0, math.log(32)), abs=1e-6)


def test_a_map_that_looks_at_the_opposite_corner_from_a_corner_is_far() -> None:
    weights = torch.eye(16)[None].clone()
    weights[0, 0] = F.one_hot(torch.tensor(15), 16).float()  # one query of 16 looks (3, 3) away
    numbers = attention_numbers(AttentionMap(weights, 4, 4, 1, 0.0))
    assert numbers[:3] == pytest.approx((0.0, math.sqrt(18) / 16, 1 / 16), abs=1e-6)


@pytest.mark.parametrize("key_stride", [1, 2])
def test_numbers_equal_sums_by_hand(key_stride: int) -> None:
    h, w, s = 4, 6, key_stride
    weights = torch.randn(2, h * w, h // s * (w // s)).mul(2).softmax(2)
    entropy = distance = far_mass = dependence = 0.0
    for image in weights.double().numpy():
        mean_row = image.mean(0)
        for n, row in enumerate(image):
            dependence += (row * np.log(row / mean_row)).sum()  # Kullback-Leibler, to the mean
            for m, weight in enumerate(row):
                y, x = n // w, n % w
                key_y, key_x = m // (w // s) * s + (s - 1) / 2, m % (w // s) * s + (s - 1) / 2
                pixels = np.hypot(y - key_y, x - key_x)
                entropy -= weight * np.log(weight)
                distance += weight * pixels
                far_mass += weight * (pixels > h / 2)
    queries = 2 * h * w
    assert attention_numbers(AttentionMap(weights, h, w, s, 0.0)) == pytest.approx(
        (entropy / queries, distance / queries, far_mass / queries, dependence / queries), rel=1e-5
    )


@pytest.mark.parametrize("row", [torch.full((16,), 1 / 16), torch.arange(16.0).softmax(0)])
def test_queries_that_all_look_the_same_way_depend_on_nothing(row: Tensor) -> None:
    """However sharp the one map is, and also where two images differ."""
    weights = torch.stack([row.repeat(64, 1), row.flip(0).repeat(64, 1)])
    numbers = attention_numbers(AttentionMap(weights, 8, 8, 2, 0.0))
    assert numbers.query_dependence == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(("height", "key_stride"), [(8, 1), (48, 2)])
def test_numbers_in_pieces_are_those_of_the_whole_map(height: int, key_stride: int) -> None:
    n, m = height**2, (height // key_stride) ** 2
    query, key = torch.randn(3, n, 4), torch.randn(3, m, 4)
    in_pieces = AttentionMap((query, key), height, height, key_stride, 0.0)
    weights = in_pieces.weights.double()
    distance = key_distances(height, height, key_stride, device=weights.device).double()
    entropy = torch.special.entr(weights).sum(-1).mean()
    whole = (
        entropy,
        (weights * distance).sum(-1).mean(),
        (weights * (distance > height / 2)).sum(-1).mean(),
        torch.special.entr(weights.mean(1)).sum(-1).mean() - entropy,
    )
    assert attention_numbers(in_pieces) == pytest.approx([x.item() for x in whole], rel=1e-5)


@pytest.mark.parametrize("form", ["article", "paper"])
def test_a_bf16_map_stays_bf16(form: Any) -> None:
    layer = SelfAttention(16, form=form)
    nn.init.ones_(layer.gamma)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(torch.randn(1, 16, 8, 8).bfloat16()).dtype == torch.bfloat16


def test_pooled_keys_of_an_odd_map_are_refused() -> None:
    with pytest.raises(ValueError, match="even sides, not 5 x 4"):
        SelfAttention(8, form="paper")(torch.randn(1, 8, 5, 4))
    assert SelfAttention(8, form="article")(torch.randn(1, 8, 5, 4)).shape == (1, 8, 5, 4)


def test_a_recorded_bf16_map_is_computed_in_float32() -> None:
    query, key = torch.randn(1, 16, 4).bfloat16(), torch.randn(1, 16, 4).bfloat16()
    exact = torch.bmm(query.float(), key.float().mT).softmax(-1)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(AttentionMap((query, key), 4, 4, 1, 0.0).weights, exact)
