"""The causal check: its numbers against direct comparison, and its verdict on both sides."""

import dataclasses
import json

import pytest
import torch
from attention_run import GREY_NETWORK, build_pair

from sagan.config import DataConfig, RunConfig
from sagan.explain import (
    explain_picture,
    generated_pictures,
    intervene,
    judge,
    measure_effects,
)
from sagan.explain.causal_check import THRESHOLD, Change, Effects, most_and_others
from sagan.images import to_uint8
from sagan.randomness import sample_latents

CONFIG = RunConfig(network=GREY_NETWORK, data=DataConfig(class_names=("a", "b", "c")))


def checked(pair, *, region=None, num=2):
    pictures = generated_pictures(pair[0], CONFIG, num, seed=5)
    layers = [explain_picture(p, *pair, points=3) for p in pictures]
    effects = [
        measure_effects(p, *pair, maps, region=region)
        for p, maps in zip(pictures, layers, strict=True)
    ]
    return pictures, layers, effects


def test_changes_are_those_of_the_networks_run_again():
    pair = build_pair(GREY_NETWORK, 0.9)
    pictures, layers, effects = checked(pair)
    for picture, maps, found in zip(pictures, layers, effects, strict=True):
        assert [e.network for e in found] == ["G", "D"]
        g, d = found
        for name, change in (("gamma-0", {"gamma_scale": 0.0}), ("uniform", {"uniform": True})):
            with torch.no_grad(), intervene(pair[0], **change):
                after = pair[0](picture.latents, picture.labels)
            with torch.no_grad(), intervene(pair[1], **change):
                logit = pair[1](picture.image, picture.labels)
            difference = (after - picture.image).abs()[0] * 127.5
            assert g.changes[name].amount == pytest.approx(difference.mean().item(), rel=1e-4)
            assert torch.equal(g.changes[name].after, to_uint8(after[0]))
            cells = [(int(y * 16), int(x * 16)) for y, x in maps[1].points]
            at = sum(difference[0, y, x].item() for y, x in cells) / 3
            assert g.changes[name].at_query == pytest.approx(at, rel=1e-4)
            assert d.changes[name].amount == pytest.approx(
                abs(logit.item() - d.before.item()), rel=1e-4, abs=1e-7
            )
            assert d.changes[name].at_query is None
        for e in found:
            for c in e.changes.values():
                assert c.relative == pytest.approx(c.amount / e.reference)


def test_the_reference_is_how_far_other_seeds_of_the_class_lie_apart():
    pair = build_pair(GREY_NETWORK, 0.9)
    pictures, _, effects = checked(pair)
    z = sample_latents(range(-8, 0), 8)
    for picture, (g, d) in zip(pictures, effects, strict=True):
        with torch.no_grad():
            others = pair[0](z, picture.labels.expand(8))
            logits = pair[1](others, picture.labels.expand(8))
        pairs = [(i, j) for i in range(8) for j in range(i)]
        levels = [(others[i] - others[j]).abs().mean().item() * 127.5 for i, j in pairs]
        assert g.reference == pytest.approx(sum(levels) / len(pairs), rel=1e-4)
        apart = [abs(logits[i].item() - logits[j].item()) for i, j in pairs]
        assert d.reference == pytest.approx(max(0.01, sum(apart) / len(pairs)), rel=1e-4)


def test_a_network_with_gamma_0_does_not_need_attention():
    _, _, effects = checked(build_pair(GREY_NETWORK, 0.0))
    for i in (0, 1):
        verdict = judge([each[i] for each in effects])
        assert not verdict.matters
        assert set(verdict.relative.values()) == {0.0}
        assert verdict.sentence().startswith("Attention does not matter here")


def test_a_network_whose_maps_are_blind_has_a_block_that_matters_and_places_that_do_not():
    pair = build_pair(GREY_NETWORK, 3.0)
    for layer in pair[0].attention.values():
        layer.query = layer.query.layer  # spectral norm would divide by 0
        torch.nn.init.zeros_(layer.query.weight)  # all energies are 0, whatever the input
    _, _, effects = checked(pair)
    verdict = judge([each[0] for each in effects])
    assert verdict.relative["gamma-0"] > THRESHOLD
    assert verdict.relative["uniform"] == pytest.approx(0.0, abs=1e-3)
    assert verdict.matters
    assert not verdict.places_matter
    assert "The attention block matters here, where it looks does not" in verdict.sentence()


def effects_of(gamma_0, uniform, network="G"):
    def change(relative):
        return Change(torch.tensor(0.0), None, relative, relative, 1.0)

    changes = {"gamma-0": change(gamma_0), "uniform": change(uniform)}
    return Effects(network, torch.tensor(0.0), 1.0, (0.5, 0.5), changes)


@pytest.mark.parametrize("network", ["G", "D"])
@pytest.mark.parametrize(
    ("gamma_0", "uniform", "matters", "places_matter"),
    [
        (THRESHOLD, THRESHOLD, True, True),
        (THRESHOLD, THRESHOLD - 1e-6, True, False),
        (THRESHOLD - 1e-6, THRESHOLD, False, False),  # uniform maps alone prove nothing
        (0.0, 0.0, False, False),
    ],
)
def test_the_verdict_turns_at_the_threshold(network, gamma_0, uniform, matters, places_matter):
    verdict = judge([effects_of(gamma_0, uniform, network)])
    assert (verdict.matters, verdict.places_matter) == (matters, places_matter)
    said = verdict.sentence()
    assert said.startswith("Attention matters here") == places_matter
    assert ("does not matter" in said) == (not matters)
    assert f"{THRESHOLD:.0%}" in said


def test_the_verdict_is_the_mean_over_pictures():
    two = [effects_of(0.0, 0.0), effects_of(2 * THRESHOLD, 2 * THRESHOLD)]
    assert judge(two).matters
    assert judge(two).relative["gamma-0"] == pytest.approx(THRESHOLD)
    assert not judge([*two, effects_of(0.0, 0.0)]).matters


def test_most_of_the_attention_is_hidden_and_as_many_other_keys():
    weights = torch.randn(6, 5).mul(2).softmax(1).div(6)
    draw = torch.Generator().manual_seed(1)
    most, others = most_and_others(weights, draw)
    assert not (most & others).any()
    assert most.sum() == others.sum()
    assert weights[most].sum() >= 0.5
    assert weights[most].sum() - weights[most].min() < 0.5
    assert weights[most].min() >= weights[~most].max()


def test_hidden_keys_are_those_of_each_query():
    pair = build_pair(GREY_NETWORK, 0.9)
    pictures, layers, effects = checked(pair, num=1)
    hidden = effects[0][0].changes["hidden-most"].hidden
    last = [maps for maps in layers[0] if maps.network == "G"][-1]
    assert torch.equal(hidden, most_and_others(last.maps[0], torch.Generator())[0])
    change = effects[0][0].changes["hidden-most"]
    at = []
    g_maps = [maps for maps in layers[0] if maps.network == "G"]
    for i, (y, x) in enumerate(last.points):
        draws = [most_and_others(maps.maps[i], torch.Generator())[0] for maps in g_maps]
        first, second = (
            intervene(pair[0], hidden_keys=grid, layers=[maps.layer])
            for grid, maps in zip(draws, g_maps, strict=True)
        )
        with torch.no_grad(), first, second:
            after = pair[0](pictures[0].latents, pictures[0].labels)
        difference = (after - pictures[0].image).abs()[0, 0] * 127.5
        at.append(difference[int(y * 16), int(x * 16)].item())
    assert change.at_query == pytest.approx(sum(at) / 3, rel=1e-3)


def test_a_region_is_hidden_in_every_layer():
    pair = build_pair(GREY_NETWORK, 0.9)
    region = torch.zeros(16, 16, dtype=torch.bool)
    region[:8] = True
    _, _, effects = checked(pair, region=region, num=1)
    for e in effects[0]:
        assert set(e.changes) == {"gamma-0", "uniform", "hidden-region"}
        assert torch.equal(e.changes["hidden-region"].hidden, region)
        assert e.changes["hidden-region"].amount > 0
    with pytest.raises(ValueError, match="hides all 4x4 keys"):
        checked(pair, region=torch.ones(16, 16, dtype=torch.bool))


def test_a_real_picture_is_checked_in_the_discriminator_alone():
    pair = build_pair(GREY_NETWORK, 0.9)
    picture = generated_pictures(pair[0], CONFIG, 1)[0]
    weights = torch.full((1, 3), 1 / 3)
    real = dataclasses.replace(picture, latents=None, labels=weights, seed=None, file="x.png")
    maps = explain_picture(real, *pair, points=2)
    (found,) = measure_effects(real, *pair, maps)
    assert found.network == "D"
    assert found.changes["gamma-0"].amount > 0
    record = found.record()
    assert json.loads(json.dumps(record)) == record
    assert record["changes"]["gamma-0"]["logit"] == pytest.approx(
        found.changes["gamma-0"].after.item()
    )


def test_a_collapsed_generator_does_not_make_rounding_matter():
    """Its seeds do not differ; a change is then compared with a grey level, not with 0."""
    pair = build_pair(GREY_NETWORK, 0.0)
    pair[0].to_image = pair[0].to_image.layer  # spectral norm would divide by 0
    torch.nn.init.zeros_(pair[0].to_image.weight)
    _, _, effects = checked(pair, num=1)
    assert effects[0][0].reference == 1.0  # grey level
    assert not judge([effects[0][0]]).matters
