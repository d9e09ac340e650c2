"""The health watch: silent on healthy runs, plain about failing ones."""

import pytest

from sagan.config import DataConfig, NetworkConfig, RunConfig, TrainingConfig
from sagan.training.alarms import Watch

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


def test_penalties_in_ds_loss_do_not_hide_that_it_wins():
    watch = Watch(config(lecam=0.3))
    records = [train_record(i, 1.5) | {"d_adversarial_loss": 0.001} for i in range(30)]
    ((_, name),) = alarms(watch, records)
    assert name == "d-wins"


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
    slow = Watch(config(g_lr=1e-4, gamma_lr=0.1))
    assert alarms(slow, records[:20]) == []  # it could not have moved farther
    used = Watch(config(g_lr=1e-4))
    assert alarms(used, [gamma_record(s, s * 1e-5) for s in range(100, 9000, 100)]) == []
    once_used = [gamma_record(s, 0.1 if s < 1900 else 0.0) for s in range(100, 2001, 100)]
    assert alarms(Watch(config(g_lr=1e-4)), once_used) == []  # two records are no habit


@pytest.mark.fault(25)
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
