"""Interventions: equal to the literal formula, and undone without a trace after the block."""

import copy
from dataclasses import replace

import pytest
import torch
from attention_run import GREY_NETWORK, build_pair

from sagan.explain import gammas, intervene
from sagan.explain.interventions import on_key_grid
from sagan.models import build_generator
from sagan.nn.attention import SelfAttention, record_attention, reference_attention

LEFT = torch.arange(16).expand(16, 16) < 8


@pytest.fixture(scope="module", params=["article", "paper"])
def networks(request):
    pair = build_pair(replace(GREY_NETWORK, attention_form=request.param), 0.7)
    z = torch.randn(2, 8, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([2, 0])
    with torch.no_grad():
        images = 10 * pair[0](z, labels)  # far from uniform maps in D, too
    return {"G": (pair[0], z, labels), "D": (pair[1], images, labels)}


@pytest.fixture(params=["G", "D"])
def case(networks, request):
    network, inputs, labels = networks[request.param]
    return network, lambda: network(inputs, labels).detach()


@pytest.mark.parametrize("form", ["article", "paper"])
@pytest.mark.parametrize("spectral_norm", [True, False])
@pytest.mark.parametrize("side", [8, 48])  # on the CPU: plain products, and the fused kernel
def test_one_layer_equals_the_literal_formula(form, spectral_norm, side):
    layer = SelfAttention(16, form=form, spectral_norm=spectral_norm)
    torch.nn.init.constant_(layer.gamma, 0.8)
    x = torch.randn(2, 16, side, side)
    hidden = torch.rand(side, side) < 0.05
    keys = side // layer.key_stride
    seen = ~on_key_grid(hidden, keys, keys).flatten()
    query, key, value = layer.project(x)
    weights = reference_attention(query, key, value)[1] * seen
    weights = weights / weights.sum(-1, keepdim=True)
    # the formula once more, on the weights that are left
    features = torch.bmm(weights, value).transpose(1, 2).unflatten(2, (side, side))
    features = features if layer.output is None else layer.output(features)
    wanted = x + 0.8 * 0.5 * features
    with intervene(layer, gamma_scale=0.5, hidden_keys=hidden):
        torch.testing.assert_close(layer(x), wanted, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(layer.reference(x)[0], wanted, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(layer.weights(x), weights, rtol=1e-4, atol=1e-6)
        assert (layer.weights(x)[:, :, ~seen] == 0).all()


def test_uniform_maps_give_every_query_the_mean_value():
    layer = SelfAttention(16, form="article")
    torch.nn.init.ones_(layer.gamma)
    x = torch.randn(2, 16, 6, 6)
    wanted = x + layer.value(x).mean((2, 3), keepdim=True)
    with intervene(layer, uniform=True):
        torch.testing.assert_close(layer(x), wanted)
    with intervene(layer, uniform=True, hidden_keys=torch.arange(6).expand(6, 6) >= 3):
        wanted = x + layer.value(x)[..., :3].mean((2, 3), keepdim=True)
        torch.testing.assert_close(layer(x), wanted)


def test_asking_for_nothing_changes_nothing(case):
    network, run = case
    before = run()
    with intervene(network):
        assert torch.equal(run(), before)
    with intervene(network, hidden_keys=torch.zeros(16, 16, dtype=torch.bool)):
        torch.testing.assert_close(run(), before, rtol=1e-5, atol=1e-6)


def test_an_empty_batch_is_changed_too():
    layer = SelfAttention(16, form="article")
    for change in ({"uniform": True}, {"hidden_keys": torch.eye(6, dtype=torch.bool)}):
        with intervene(layer, **change):
            assert layer(torch.zeros(0, 16, 6, 6)).shape == (0, 16, 6, 6)


def test_gamma_zero_is_the_network_without_the_layers(networks):
    generator, z, labels = networks["G"]
    bare = build_generator(replace(GREY_NETWORK, g_attention=())).eval()
    kept = {k: v for k, v in generator.state_dict().items() if "attention" not in k}
    bare.load_state_dict(kept)
    with intervene(generator, gamma_scale=0):
        assert set(gammas(generator).values()) == {0.0}
        without = generator(z, labels)
    assert torch.equal(bare(z, labels), without)
    assert not torch.allclose(generator(z, labels), without, atol=1e-3)


@pytest.mark.parametrize("change", [{"gamma_scale": 0.3}, {"uniform": True}, {"hidden_keys": LEFT}])
def test_every_change_shows_and_leaves_no_trace(case, change):
    network, run = case
    before, state = run(), copy.deepcopy(network.state_dict())
    with intervene(network, **change):
        assert not torch.allclose(run(), before, atol=1e-5)
    with pytest.raises(KeyError), intervene(network, **change):
        raise KeyError
    assert torch.equal(run(), before)
    assert all(torch.equal(state[k], v) for k, v in network.state_dict().items())
    for layer in network.attention.values():
        assert set(vars(layer)) == set(vars(SelfAttention(8, form=layer.form)))


def test_only_the_named_layers_change(networks):
    generator, z, labels = networks["G"]
    with (
        record_attention(generator) as maps,
        intervene(generator, uniform=True, gamma_scale=2.0, layers=["attention.1"]),
    ):
        generator(z, labels)
    assert maps["attention.0"].gamma == pytest.approx(0.7)
    assert maps["attention.1"].gamma == pytest.approx(1.4)
    assert maps["attention.0"].weights.std() > 0
    assert maps["attention.1"].weights.std() == 0


def test_blocks_nest(case):
    network, run = case
    with intervene(network, gamma_scale=0.5, hidden_keys=LEFT):
        together = run()
    with intervene(network, hidden_keys=LEFT):
        alone = run()
        with intervene(network, gamma_scale=0.5):
            torch.testing.assert_close(run(), together)
        torch.testing.assert_close(run(), alone)
        with intervene(network, hidden_keys=LEFT.t(), uniform=True):
            with record_attention(network) as maps:
                run()
            with (
                pytest.raises(ValueError, match="hides all"),
                intervene(network, hidden_keys=~LEFT),
            ):
                run()  # the outer block hides the other half
        for found in maps.values():  # a quarter of the keys is left
            grid = found.grid()[0, 0, 0]
            assert grid.count_nonzero() == grid.numel() / 4
        torch.testing.assert_close(run(), alone)


@pytest.mark.parametrize(
    ("hidden", "size", "wanted"),
    [
        ([[1, 0], [0, 0]], 4, [[1, 1, 0, 0], [1, 1, 0, 0], [0] * 4, [0] * 4]),
        ([[0, 0, 0, 0], [0, 0, 0, 1], [0] * 4, [0] * 4], 2, [[0, 1], [0, 0]]),
        ([[0, 1, 0]] * 3, 2, [[1, 1], [1, 1]]),  # a column that both cells touch
    ],
)
def test_a_region_hides_the_keys_that_it_touches(hidden, size, wanted):
    grid = torch.tensor(hidden, dtype=torch.bool)
    assert on_key_grid(grid, size, size).int().tolist() == wanted


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"gamma_scale": float("nan")}, "finite number, not nan"),
        ({"hidden_keys": torch.zeros(4, 4)}, "bool grid h w, not torch.float32"),
        ({"hidden_keys": torch.zeros(1, 4, 4, dtype=torch.bool)}, r"shape \(1, 4, 4\)"),
        ({"hidden_keys": torch.ones(4, 4, dtype=torch.bool)}, "hides all"),
        (
            {"layers": ["attention.9"]},
            "no attention layer 'attention.9'; known: attention.0",
        ),
    ],
)
def test_bad_interventions_are_refused(case, change, said):
    network, run = case
    before = run()
    with pytest.raises(ValueError, match=said), intervene(network, **change):
        run()
    assert torch.equal(run(), before)
