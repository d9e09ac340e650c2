"""Runs by time: planned from a measurement, re-planned by the clock, and exact all the same."""

import dataclasses
import json
import subprocess
import sys
import time

import pytest
import torch
from command_line import sagan
from digits_run import SMALL, configure, fingerprint

from sagan.config import GrowthStage, TrainingConfig
from sagan.config.growth import with_ends
from sagan.config.resized import resized
from sagan.runs.checkpoint import open_checkpoint
from sagan.runs.log import read_records
from sagan.runs.run import Run
from sagan.training import measure, outlook, train
from sagan.training import trainer as trainer_module
from sagan.training.clock import Budget, Clock, replanned
from sagan.training.measure import images_per_second
from sagan.training.planning import plan
from sagan.training.snapshots import Snapshots
from sagan.training.stopwatch import Stopwatch

STAGE = GrowthStage(resolution=8, images=1, batch_size=16, g_lr=1e-3, d_lr=2e-3)
RATES = [8.0, 16.0]  # as measured: a step in two seconds at each size
TIME_SEC = 100.0


def growing(time_sec=TIME_SEC, **changes):
    training = TrainingConfig(
        images=1,
        time_sec=time_sec,
        batch_size=32,
        g_lr=1e-3,
        d_lr=2e-3,
        log_every=320,
        snapshot_every=640,
        keep=20,
        ema_decay=0.9,
    )
    return dataclasses.replace(configure(resized(SMALL, 16), training, **changes), growth=(STAGE,))


class Machine:
    """A clock that only steps and snapshots move."""

    now_sec = 0.0
    step_sec = 2.0
    snapshot_sec = 0.0


@pytest.fixture
def machine(monkeypatch):
    machine = Machine()
    began = {}
    step, snapshot = trainer_module.Trainer._step, Snapshots.make

    def slow_step(self):
        step(self)
        machine.now_sec += machine.step_sec

    def slow_snapshot(self, *what, **how):
        snapshot(self, *what, **how)
        machine.now_sec += machine.snapshot_sec

    def elapsed(self):
        began.setdefault(id(self), (self, machine.now_sec))
        return self._before_sec + machine.now_sec - began[id(self)][1]

    monkeypatch.setattr(trainer_module.Trainer, "_step", slow_step)
    monkeypatch.setattr(Snapshots, "make", slow_snapshot)
    monkeypatch.setattr(Snapshots, "_look", lambda *_: None)
    monkeypatch.setattr(Stopwatch, "elapsed_sec", property(elapsed))
    monkeypatch.setattr(outlook, "_LEAST_STEPS", 10)
    monkeypatch.setattr(outlook, "measured_rates", lambda stages, *_: RATES[-len(stages) :])
    return machine


def go(path, data, config=None):
    return train(config or growing(), Run(path), data, progress=False)


def planned(path):
    """The ends in the newest checkpoint's manifest, in the order decided."""
    manifest = open_checkpoint(Run(path).pointed_to("latest")).manifest
    return [plan["ends"] for plan in manifest["plan"]]


def last_elapsed(path):
    return [r["elapsed"] for r in read_records(Run(path).log_path)][-1]


# --- the pure part

BUDGET = Budget(time_sec=100, began_sec=0, reserve_sec=0, shares=(0.25, 0.75))
NOW = {"per_step": [10, 20], "rates": [10.0, 20.0]}


def test_as_thought_nothing_moves():
    assert replanned([250, 1750], BUDGET, stage=0, images=100, elapsed_sec=10, **NOW) is None


def test_a_slow_machine_ends_each_size_sooner():
    rates = {**NOW, "rates": [5.0, 10.0]}
    new = replanned([250, 1750], BUDGET, stage=0, images=50, elapsed_sec=10, **rates)
    assert new == [130, 890]  # 15 s at 5/s in whole steps; 75 s at 10/s


def test_a_late_size_leaves_less_to_the_next():
    new = replanned([250, 1750], BUDGET, stage=0, images=250, elapsed_sec=40, **NOW)
    assert new is None  # it has ended
    new = replanned([250, 1750], BUDGET, stage=1, images=250, elapsed_sec=40, **NOW)
    assert new == [250, 1450]


def test_no_end_moves_before_the_step_and_no_size_is_empty():
    new = replanned([250, 1750], BUDGET, stage=0, images=200, elapsed_sec=1000, **NOW)
    assert new == [200, 220]
    assert replanned([250, 1750], BUDGET, stage=1, images=250, elapsed_sec=1000, **NOW) == [
        250,
        270,
    ]


@pytest.mark.parametrize(
    ("images", "elapsed_sec", "new"),
    [(1000, 51.5, None), (1000, 53.0, [1940]), (1900, 95.1, None), (1900, 96.5, [1970])],
)
def test_small_shifts_count_only_near_the_end(images, elapsed_sec, new):
    budget = dataclasses.replace(BUDGET, shares=(1.0,))
    now = {"stage": 0, "images": images, "elapsed_sec": elapsed_sec}
    assert replanned([2000], budget, **now, per_step=[10], rates=[20.0]) == new


def test_the_reserve_and_measuring_are_kept_free():
    budget = Budget(time_sec=100, began_sec=10, reserve_sec=10, shares=(0.25, 0.75))
    assert budget.ends_sec == [30, 90]


# --- whole runs on a patched clock


@pytest.mark.parametrize(
    ("step_sec", "snapshot_sec"),
    [
        pytest.param(2.0, 0.0, marks=pytest.mark.slow),
        (4.0, 0.0),
        pytest.param(1.4, 2.0, marks=pytest.mark.slow),
    ],
)
def test_time_and_shares_are_kept(tmp_path, large_digits, machine, step_sec, snapshot_sec):
    machine.step_sec, machine.snapshot_sec = step_sec, snapshot_sec
    go(tmp_path, large_digits)
    assert machine.now_sec == pytest.approx(TIME_SEC, abs=0.05 * TIME_SEC)
    assert last_elapsed(tmp_path) == pytest.approx(machine.now_sec, abs=0.01)
    records = list(read_records(Run(tmp_path).log_path))
    second = [r for r in records if r["kind"] == "start"][1]
    assert second["elapsed"] == pytest.approx(0.25 * TIME_SEC, abs=6)
    logged = [r["ends"] for r in records if r["kind"] == "plan"]
    assert logged == planned(tmp_path)
    assert (abs(logged[-1][1] / logged[0][1] - 1) > 0.1) == (step_sec != 2.0)


def test_the_end_is_rehearsed_so_that_its_time_is_known(tmp_path, large_digits, machine):
    machine.snapshot_sec = 12.0
    alone = dataclasses.replace(growing(snapshot_every=10**6), growth=())
    go(tmp_path, large_digits, alone)
    assert machine.now_sec == pytest.approx(TIME_SEC, abs=0.05 * TIME_SEC)
    assert len(Run(tmp_path).checkpoint_paths()) == 2
    by_images = with_ends(dataclasses.replace(alone, growth=()), planned(tmp_path)[-1])
    training = dataclasses.replace(by_images.training, time_sec=0.0)
    go(tmp_path / "images", large_digits, dataclasses.replace(by_images, training=training))
    assert fingerprint(tmp_path / "images") == fingerprint(tmp_path)


def test_config_holds_the_first_plan(tmp_path, large_digits, machine):
    machine.step_sec = 4.0
    go(tmp_path, large_digits)
    config = Run(tmp_path).config()
    assert config.training.time_sec == TIME_SEC
    first = [config.growth[0].images, config.training.images]
    assert first == planned(tmp_path)[0]
    assert first[0] == pytest.approx(8 * 25, abs=16)
    assert planned(tmp_path)[-1][1] < first[1] / 1.7


def test_a_run_by_images_with_the_same_ends_has_the_same_weights(tmp_path, large_digits, machine):
    machine.step_sec = 4.0
    go(tmp_path / "time", large_digits)
    assert len(planned(tmp_path / "time")) > 1
    by_images = with_ends(growing(time_sec=0.0), planned(tmp_path / "time")[-1])
    go(tmp_path / "images", large_digits, by_images)
    assert fingerprint(tmp_path / "images") == fingerprint(tmp_path / "time")


@pytest.mark.parametrize("cuts", [pytest.param([5], marks=pytest.mark.slow), [4, 15]])
def test_stopped_it_goes_on_with_the_time_left(tmp_path, large_digits, machine, monkeypatch, cuts):
    machine.step_sec = 4.0
    stops = iter(cuts)
    stop_at = [next(stops)]
    monkeypatch.setattr(
        trainer_module.Trainer,
        "_asked_to_stop",
        lambda self, _: 143 * (self.state.step == stop_at[0]),
    )
    for _ in range(len(cuts) + 1):
        result = go(tmp_path / "broken", large_digits)
        stop_at[0] = next(stops, -1)
    assert result.exit_code == 0
    assert machine.now_sec == pytest.approx(TIME_SEC, abs=0.05 * TIME_SEC)
    ends = planned(tmp_path / "broken")
    monkeypatch.undo()
    go(tmp_path / "images", large_digits, with_ends(growing(time_sec=0.0), ends[-1]))
    assert fingerprint(tmp_path / "images") == fingerprint(tmp_path / "broken")


def test_time_lost_in_a_crash_counts(tmp_path, large_digits, machine, monkeypatch):
    def dies(self, state, facts):
        if state.step > 30:
            raise KeyboardInterrupt
        save(self, state, facts)

    save = Snapshots._save
    monkeypatch.setattr(Snapshots, "_save", dies)
    with pytest.raises(KeyboardInterrupt):
        go(tmp_path, large_digits)
    monkeypatch.setattr(Snapshots, "_save", save)
    go(tmp_path, large_digits)
    assert machine.now_sec == pytest.approx(TIME_SEC, abs=12)  # up to a log record's steps


def test_done_is_done_more_extends_and_less_is_refused(tmp_path, large_digits, machine, capfd):
    go(tmp_path, large_digits)
    before, spent_sec = fingerprint(tmp_path), machine.now_sec
    result = train(growing(), Run(tmp_path), large_digits)
    assert result.exit_code == 0
    assert "is done: its 100 s are used" in capfd.readouterr().err
    assert fingerprint(tmp_path) == before
    assert machine.now_sec == spent_sec
    with pytest.raises(ValueError, match=r"is set to 100 s, more than 50 s; --time can only"):
        go(tmp_path, large_digits, growing(time_sec=50.0))
    go(tmp_path, large_digits, growing(time_sec=150.0))
    assert machine.now_sec == pytest.approx(150, abs=7.5)
    small = planned(tmp_path)[0][0]
    assert {ends[0] for ends in planned(tmp_path)} == {small}  # that size had ended


def test_time_and_images_follow_each_other(tmp_path, large_digits, machine):
    machine.step_sec = 4.0
    go(tmp_path, large_digits)
    shown = planned(tmp_path)[-1][1]
    old = Run(tmp_path).config()
    assert shown + 160 < old.training.images  # the first plan, which was not reached

    def by(**changes):
        return dataclasses.replace(old, training=dataclasses.replace(old.training, **changes))

    with pytest.raises(ValueError, match=f"has been trained on {shown} images, more than 32;"):
        go(tmp_path, large_digits, by(time_sec=0.0, images=32))
    images = go(tmp_path, large_digits, by(time_sec=0.0, images=shown + 160)).images
    assert images == shown + 160
    with pytest.raises(ValueError, match=r"has been trained for .* more than 60 s; --time"):
        go(tmp_path, large_digits, by(time_sec=60.0, images=shown + 160))
    spent_sec, logged_sec = machine.now_sec, last_elapsed(tmp_path)
    assert logged_sec > TIME_SEC
    go(tmp_path, large_digits, by(time_sec=logged_sec + 60, images=shown + 160))
    assert machine.now_sec == pytest.approx(spent_sec + 60, abs=0.05 * spent_sec)


def test_after_a_time_cut_short_images_need_not_reach_its_first_plan(
    tmp_path, large_digits, machine
):
    machine.step_sec = 20.0
    go(tmp_path, large_digits)
    old, ends = Run(tmp_path).config(), planned(tmp_path)[-1]
    images = ends[1] + 32
    assert images <= old.growth[0].images  # of the small size alone, as first planned
    by_images = plan({"images": images}, old=old)
    assert go(tmp_path, large_digits, by_images).images == images
    again = plan({}, old=Run(tmp_path).config())
    assert go(tmp_path, large_digits, again).images == images


def test_too_little_time_is_refused_with_the_least_that_would_do(tmp_path, large_digits, machine):
    with pytest.raises(ValueError, match="too short here for 10 steps at each size") as error:
        go(tmp_path / "run", large_digits, growing(time_sec=60.0))
    assert not (tmp_path / "run").exists()
    least = float(str(error.value).rpartition("--time ")[2].removesuffix("s"))
    assert 80 <= least < 100
    go(tmp_path / "run", large_digits, growing(time_sec=least))


def test_years_are_begun_only_when_asked_for(tmp_path, large_digits, machine):
    config = dataclasses.replace(growing(time_sec=0.0, images=256_000_000), growth=())
    with pytest.raises(ValueError, match=r"would take this cpu 185 days: .* --time 4h"):
        train(config, Run(tmp_path / "run"), large_digits, progress=False, length_given=False)
    assert not (tmp_path / "run").exists()
    clock, notes = outlook.open_clock(
        config, None, None, Run(tmp_path / "run"), None, stub(0), large_digits, length_given=True
    )
    assert not clock.by_time
    ending, often = notes
    assert ending == "256,000,000 images left, about 185 days (now 16 images/s)"
    assert often.startswith("Each of the ")


@pytest.mark.parametrize(
    ("times", "changes", "said"),
    [(200, {}, True), (199, {}, False), (200, {"augment": ("color",)}, False)],
)
def test_few_pictures_shown_often_are_worth_a_word(
    tmp_path, large_digits, machine, times, changes, said
):
    images = times * len(large_digits)
    config = dataclasses.replace(growing(time_sec=0.0, images=images, **changes), growth=())
    open_clock = outlook.open_clock
    _, notes = open_clock(
        config, None, None, Run(tmp_path / "run"), None, stub(0), large_digits, length_given=True
    )
    assert [f"shown {times} times" in note for note in notes[1:]] == [True] * said


def test_each_start_says_when_it_ends(tmp_path, large_digits, machine, capfd, monkeypatch):
    short = growing(time_sec=0.0, images=960)
    short = dataclasses.replace(short, growth=())
    train(short, Run(tmp_path / "images"), large_digits)
    assert capfd.readouterr().err.count("images left, about") == 1
    longer = dataclasses.replace(short, training=dataclasses.replace(short.training, images=1280))
    train(longer, Run(tmp_path / "images"), large_digits)
    assert capfd.readouterr().err.count("320 images left, about") == 1
    train(growing(), Run(tmp_path / "time"), large_digits)
    said = capfd.readouterr().err
    assert said.startswith("Plan for 100 s: ")
    assert "8 px for 25 s, 16 px for 75 s\nMeasured here: 8, 16 images/s at 8, 16 px" in said


# --- several processes


class StubEngine:
    """One of two processes: the second is told the messages of the first."""

    world_size, device = 2, torch.device("cpu")

    def __init__(self, rank, said):
        self.rank, self.said = rank, said

    def sum(self, tensor):
        if self.rank == 0:
            self.said.append(tensor)
            return tensor
        return tensor + self.said.pop(0)

    def broadcast(self, value):
        return value

    def synchronize(self):
        pass


def stub(rank, said=None):
    return StubEngine(rank, [] if said is None else said)


def test_all_processes_follow_the_first(machine):
    config = with_ends(growing(), [192, 1344])
    said = []
    first, second = (Clock(config, stub(rank, said), Stopwatch(), (), RATES) for rank in (0, 1))
    first.begin(None)
    second.begin(None)
    for step in range(1, 20):
        machine.now_sec += 4.0
        first.look(0, step)
        second.look(0, step)
    assert said == []
    assert len(first.plans) > 1
    assert [plan["ends"] for plan in second.plans] == [plan["ends"] for plan in first.plans]
    assert second.stages == first.stages != config


# --- real clocks


def test_a_device_is_measured_by_real_steps(large_digits):
    from sagan.config import Runtime
    from sagan.training.engine import Engine

    engine = Engine(Runtime(device="cpu"), "float32")
    engine.launch()
    config = configure(SMALL, growing().training)
    rate = images_per_second(config, Runtime(), engine, large_digits, seconds=0.05)
    assert 1 < rate < 1e6
    too_few = dataclasses.replace(config, training=TrainingConfig(batch_size=5000))
    with pytest.raises(ValueError, match="larger than the data"):
        images_per_second(too_few, Runtime(), engine, large_digits)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--time", "30"], "time '30' is not a length of time"),
        (["--time", "30m", "--images", "64"], "--time and --images both say how long"),
        (["--time", "30m", "--grow", "8:640", "--resolution", "16"], "give --grow its sizes alone"),
        (["--images", "8", "--augment-p", ".5"], "--augment-p needs --augment: the kinds"),
        (["--time", "1s", "--batch-size", "1199"], "larger than the data (1198 images)"),
    ],
)
def test_times_are_refused_in_one_line(tmp_path, capfd, options, said):
    assert sagan("train", tmp_path / "run", "--data", "digits", "--device", "cpu", *options) == 2
    err = capfd.readouterr().err
    assert said in err
    assert err.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_real_run_keeps_its_time(tmp_path, large_digits):
    config = dataclasses.replace(growing(time_sec=20.0), growth=(STAGE,))
    began_sec = time.monotonic()
    train(config, Run(tmp_path), large_digits, progress=False)
    took_sec = time.monotonic() - began_sec
    assert took_sec == pytest.approx(20, abs=1.0), json.dumps(planned(tmp_path))


@pytest.mark.slow
def test_two_processes_keep_to_one_plan(tmp_path):
    command = [sys.executable, "-m", "sagan", "train", tmp_path / "run", "--data", "digits"]
    command += ["--preset", "quick", "--resolution", "16", "--g-width", "4", "--d-width", "8"]
    command += ["--devices", "2", "--device", "cpu", "--time", "40s"]
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("Plan for 40 s: ") == 1
    assert last_elapsed(tmp_path / "run") == pytest.approx(40, abs=4)
    manifest = open_checkpoint(Run(tmp_path / "run").pointed_to("latest")).manifest
    assert manifest["images"] == manifest["plan"][-1]["ends"][-1]
    assert manifest["stage"] == 1


@pytest.mark.parametrize(
    ("a_call_sec", "an_image_sec", "measured"),
    [
        (0.1, 0.01, [2, 8, 64]),  # two images look slow, since calls take the time
        (0.0, 0.01, [2, 64]),  # fast: the whole step at once
        (0.0, 1.0, [2]),  # a step of a minute is never taken
        (0.4, 0.1, [2]),
    ],
)
def test_few_images_are_measured_where_a_whole_step_is_long(
    large_digits, monkeypatch, a_call_sec, an_image_sec, measured
):
    from sagan.config import Runtime
    from sagan.training.engine import Engine

    asked = []

    def rate(config, *_, **__):
        asked.append(config.training.batch_size)
        return asked[-1] / (a_call_sec + asked[-1] * an_image_sec)

    monkeypatch.setattr(measure, "_rate", rate)
    config = dataclasses.replace(growing(), growth=())
    config = dataclasses.replace(
        config, training=dataclasses.replace(config.training, batch_size=64)
    )
    images_per_second(config, Runtime(), Engine(Runtime(), "float32"), large_digits)
    assert asked == measured
