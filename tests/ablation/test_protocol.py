"""What an experiment decides beforehand, and what it refuses to begin."""

import json

import pytest
import torch
from made_up_experiment import TINY

from sagan.ablation.arms import parse_arms
from sagan.ablation.experiment import check_same
from sagan.ablation.fairness import check_equal, parameters_of, smallest_p
from sagan.ablation.protocol import LIFT, Contrast, make_plan, read_plan
from sagan.ablation.seeds import parse_only
from sagan.config import NetworkConfig, RunConfig, run_config_from_dict
from sagan.data import load_dataset
from sagan.training.batches import BatchSource, Share


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SAGAN_CACHE", str(tmp_path / "cache"))


def planned(**changes):
    asked = {"num": 200, "curve_num": 100, "arms": "none,attention", **changes}
    options = TINY | asked.pop("options", {})
    return make_plan(options, **asked)


def test_a_plan_is_read_back_as_it_was_written(tmp_path):
    plan = planned(arms="none,attention,residual,attention+gamma-lr=10")
    plan.write(tmp_path)
    assert read_plan(tmp_path) == plan
    assert plan.primary == Contrast("attention", "none", "cas", "end")
    assert plan.images == 64
    assert plan.made_with["sagan"]
    assert read_plan(tmp_path / "nowhere") is None
    (tmp_path / "plan.json").write_text(json.dumps({"format": 1}))
    with pytest.raises(ValueError, match=r"plan\.json cannot be read"):
        read_plan(tmp_path)


def test_arms_differ_in_their_block_alone():
    plan = planned(arms="none,attention,residual,global-context,g-only,d-only")
    networks = {name: config["network"] for name, config in plan.configs.items()}
    changed = {"g_attention", "d_attention", "attention_form"}
    for name, network in networks.items():
        same = {k: v for k, v in network.items() if k not in changed}
        assert same == {k: v for k, v in networks["none"].items() if k not in changed}, name
        assert network["paired_init"]
        assert plan.configs[name]["training"] == plan.configs["none"]["training"]
    sides = {name: (n["g_attention"], n["d_attention"]) for name, n in networks.items()}
    assert sides["none"] == ([], [])
    assert sides["attention"] == sides["residual"] == sides["global-context"] == ([8], [8])
    assert sides["g-only"] == ([8], [])
    assert sides["d-only"] == ([], [8])
    a, b = plan.run_config("none", 3), plan.run_config("residual", 3)
    assert a.training == b.training
    assert a.training.seed == 3


def test_arms_of_a_seed_see_the_same_images_and_latents():
    plan = planned(arms="none,attention,residual")
    digits = load_dataset("digits", resolution=8)
    drawn = []
    for config in plan.configs.values():
        batches = BatchSource(
            digits, run_config_from_dict(config), Share(0, 1), torch.device("cpu")
        )
        drawn.append([*batches.discriminator(5)[0], *batches.generator(5)[0]])
    for other in drawn[1:]:
        for a, b in zip(drawn[0], other, strict=True):
            assert torch.equal(a, b)


def test_every_snapshot_is_kept_and_there_are_twenty_by_default():
    plan = planned(options={"images": 4_000})
    training = plan.configs["none"]["training"]
    assert training["snapshot_every"] == 192  # a twentieth in whole steps of 16
    assert training["keep"] >= 4_000 // 192 + 1
    assert training["evaluate_every"] == 0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"seeds": 5}, "of 5 seeds cannot go below p = 0.0625: give 6 seeds or more"),
        (
            {"seeds": 1, "underpowered": True},
            "--seeds must be 2 to 16, of which",
        ),
        ({"arms": "none"}, "has nothing to be compared with"),
        ({"arms": "none,none"}, "named twice"),
        ({"arms": "none,some"}, "unknown arm 'some'; choose from none, attention"),
        ({"arms": "none,attention+lr=3"}, "'lr=3' is not one of gamma-lr"),
        ({"arms": "none,attention+gamma-lr=a"}, "a is not a number"),
        ({"num": 1}, "--num must be at least 2"),
        ({"metrics": "lift"}, "digits has no checker for lift"),
        ({"metrics": "prdc"}, "prdc cannot be an endpoint"),
        ({"metrics": "cas", "options": {"unconditional": True}}, "cas needs classes"),
        ({"options": {"seed": 3}}, "--seed is not an option here: the seeds are --seeds"),
        ({"options": {"init": "x"}}, "--init is not an option here"),
        ({"options": {"images": 16}}, "averaging would begin at 16 images of 16"),
    ],
)
def test_what_could_not_be_decided_is_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        planned(**changes)


def test_too_few_seeds_may_be_asked_for():
    plan = planned(seeds=2, underpowered=True)
    assert plan.underpowered
    assert not planned(seeds=6, underpowered=True).underpowered  # they are enough after all
    assert len(plan.secondary) == 2  # the curve's mean, and the second metric
    assert smallest_p(8, len(plan.secondary)) == pytest.approx(2 * 2 / 256)
    assert smallest_p(2, len(plan.secondary)) == 1.0


def test_sets_with_a_checker_are_judged_by_lift(monkeypatch):
    monkeypatch.setattr("sagan.data.procedural.sets._NUM", {"train": 300, "test": 100})
    options = {"data": "twins", "resolution": 16, "preset": "best"}
    plan = make_plan(TINY | options, arms="none,attention,residual", num=200, curve_num=100)
    assert plan.metrics == (LIFT,)
    assert plan.primary == Contrast("attention", "none", LIFT, "end")
    assert Contrast("attention", "residual", LIFT, "end") in plan.secondary
    assert smallest_p(8, len(plan.secondary)) < 0.05


def test_unequal_arms_are_refused():
    network = NetworkConfig(resolution=16, g_width=8, d_width=16, g_attention=(8,))
    bare = RunConfig(network=NetworkConfig(resolution=16, g_width=8, d_width=16))
    residual = RunConfig(
        network=NetworkConfig(
            resolution=16, g_width=8, d_width=16, g_attention=(8,), attention_form="residual"
        )
    )
    attention = RunConfig(network=network)
    configs = {"none": bare, "attention": attention, "residual": residual}
    check_equal(
        configs, {"none": (1, 1), "attention": (1, 1), "residual": parameters_of(residual.network)}
    )
    g, d = parameters_of(residual.network)
    with pytest.raises(ValueError, match=r"arm residual: G has .*, \+1.0% of the"):
        check_equal(configs, {"residual": (round(g * 1.01), d)})


def test_a_plan_does_not_change(tmp_path):
    plan = planned()
    same = {"options": TINY, "arms": "none, attention", "seeds": 8, "metrics": None}
    rest = {"num": 200, "curve_num": None}
    check_same(tmp_path, plan, same | rest)
    other = same | rest | {"options": {"g_width": 5, "mirror": True}, "seeds": 9}
    said = r"g_width: 4 -> 5; mirror: left out -> True; seeds: 8 -> 9\), and a plan does not"
    with pytest.raises(ValueError, match=said):
        check_same(tmp_path, plan, other)


def test_the_same_command_again_is_of_the_same_plan(tmp_path):
    asked = {"arms": "none, attention", "seeds": 8, "metrics": "cas, fd,fd:own"}
    asked |= {"num": 200, "curve_num": 100}
    options = TINY | {"precision": "auto"}
    make_plan(options, **asked).write(tmp_path)
    plan = read_plan(tmp_path)
    assert plan.metrics == ("cas", "fd:own")
    assert plan.options["precision"] != "auto"
    given = {"options": options, **asked}
    check_same(tmp_path, plan, given)
    check_same(tmp_path, plan, given | {"metrics": "cas,fd:own"})
    with pytest.raises(ValueError, match="metrics: cas,fd:own -> cas,kid:own"):
        check_same(tmp_path, plan, given | {"metrics": "cas,kid"})
    with pytest.raises(ValueError, match=r"precision: .* -> tf32"):
        check_same(tmp_path, plan, given | {"options": options | {"precision": "tf32"}})


def test_seeds_that_were_not_looked_at_yet_may_be_named(tmp_path):
    plan = planned(seeds="8-23")
    assert (plan.seeds, plan.seed_numbers) == (16, range(8, 24))
    plan.write(tmp_path)
    assert read_plan(tmp_path).seed_numbers == range(8, 24)
    given = {"options": {}, "arms": None, "metrics": None, "num": None, "curve_num": None}
    with pytest.raises(ValueError, match="seeds: 8-23 -> 16"):
        check_same(tmp_path, plan, given | {"seeds": 16})
    content = json.loads((tmp_path / "plan.json").read_text())
    del content["first_seed"]  # as in plans of before
    (tmp_path / "plan.json").write_text(json.dumps(content))
    assert read_plan(tmp_path).seed_numbers == range(16)


@pytest.mark.parametrize("text", ["", "a", "8-", "-3", "9-8", "1.5", "0-99999999999", "9" * 30])
def test_seeds_that_are_none_are_refused(text):
    with pytest.raises(ValueError, match="--seeds must be how many, as 8, or which, as 8-23"):
        planned(seeds=text)


def test_which_seeds_to_run():
    assert parse_only(None, range(3)) == [0, 1, 2]
    assert parse_only("1, 4-6", range(8)) == [1, 4, 5, 6]
    assert parse_only("8-9", range(8, 24)) == [8, 9]
    for wrong in ("8", "3-1", "a", "", "1-"):
        with pytest.raises(ValueError, match="is not of the seeds 0 to 7"):
            parse_only(wrong, range(8))


def test_an_arm_may_change_its_gamma_and_its_maps():
    arms = parse_arms("none,attention+gamma-start=0.5+g-attention=8,d-only+gamma-lr=10")
    assert arms["attention+gamma-start=0.5+g-attention=8"] == {
        "gamma_start": 0.5,
        "g_attention": "8",
    }
    assert arms["d-only+gamma-lr=10"] == {"g_attention": "none", "gamma_lr": 10.0}
