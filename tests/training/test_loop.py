"""The loop: what a run leaves behind, that it resumes exactly, and how it stops."""

import itertools
import json
import re
import signal
import time

import digits_run
import pytest
import torch
from digits_run import fingerprint, stable_log

from sagan.config import Runtime, TrainingConfig
from sagan.errors import TrainingFailure
from sagan.runs.log import read_records
from sagan.runs.run import Run, find_checkpoint
from sagan.training import train
from sagan.training import trainer as trainer_module
from sagan.training import update as update_module

CPU = Runtime(device="cpu")
NETWORK = digits_run.SMALL
TRAINING = TrainingConfig(
    images=160, batch_size=16, g_lr=1e-3, d_lr=1e-3, log_every=48, snapshot_every=64, ema_start=32
)


def configure(**training):
    return digits_run.configure(NETWORK, TRAINING, **training)


def run_to(path, digits, **training):
    return train(configure(**training), Run(path), digits, runtime=CPU, progress=False)


def test_a_run_leaves_what_the_interface_promises(tmp_path, digits, drawn):
    result = run_to(tmp_path, digits)
    assert (result.images, result.exit_code) == (160, 0)
    names = {p.name for p in tmp_path.iterdir()} - {".lock"}
    assert names == {
        *("config.json", "run.json", "log.jsonl", "curves.png", "samples", "checkpoints", "latest")
    }
    assert (tmp_path / "latest").read_text() == "step-00000010\n"
    steps = [p.name for p in Run(tmp_path).checkpoint_paths()]
    assert steps == ["step-00000004", "step-00000008", "step-00000010"]
    assert len(list((tmp_path / "samples").glob("*.png"))) == 3
    kinds = [r["kind"] for r in read_records(tmp_path / "log.jsonl")]
    assert kinds.count("train") == 3
    assert kinds.count("attention") == 3
    layers = next(r for r in stable_log(tmp_path) if r["kind"] == "attention")["layers"]
    assert {layer["network"] for layer in layers} == {"G", "D"}
    assert set(layers[0]) >= {"gamma", "entropy", "distance", "far_mass", "size_px"}


@pytest.mark.parametrize(
    "options",
    [
        {},
        pytest.param(
            {
                "loss": "wgan-gp",
                "d_steps": 2,
                "images": 320,
                "snapshot_every": 128,
                "log_every": 96,
            },
            marks=pytest.mark.slow,
        ),
        {"accumulate": 2, "standing_batches": 2, "fake_labels": "data", "gamma_lr": 3.0},
    ],
    ids=[
        "plain",
        "wgan-gp with 2 D steps",
        "accumulated, standing statistics, gamma's own learning rate",
    ],
)
def test_interrupted_and_resumed_equals_unbroken_bit_for_bit(
    tmp_path, digits, options, monkeypatch
):
    run_to(tmp_path / "unbroken", digits, **options)
    stops = iter([3, 5, 8])  # after these steps, none of them a snapshot or a log step of its own
    stop_at = [next(stops)]
    monkeypatch.setattr(
        trainer_module.Trainer, "_asked_to_stop", lambda self, _: self.state.step == stop_at[0]
    )
    for _ in range(4):
        run_to(tmp_path / "broken", digits, **options)
        stop_at[0] = next(stops, -1)
    assert fingerprint(tmp_path / "broken") == fingerprint(tmp_path / "unbroken")
    assert stable_log(tmp_path / "broken") == stable_log(tmp_path / "unbroken")


def test_killed_without_warning_it_goes_on_from_the_last_snapshot(tmp_path, digits, monkeypatch):
    run_to(tmp_path / "unbroken", digits)
    step = trainer_module.Trainer._step

    def dies(self):
        if self.state.step == 6:
            raise KeyboardInterrupt  # as abrupt as can be had in one process
        step(self)

    monkeypatch.setattr(trainer_module.Trainer, "_step", dies)
    with pytest.raises(KeyboardInterrupt):
        run_to(tmp_path / "broken", digits)
    monkeypatch.setattr(trainer_module.Trainer, "_step", step)
    run_to(tmp_path / "broken", digits)
    assert fingerprint(tmp_path / "broken") == fingerprint(tmp_path / "unbroken")
    assert stable_log(tmp_path / "broken") == stable_log(tmp_path / "unbroken")


def test_a_larger_number_of_images_extends_a_finished_run(tmp_path, digits):
    run_to(tmp_path / "a", digits, images=128)
    run_to(tmp_path / "a", digits, images=160)
    run_to(tmp_path / "b", digits, images=160)
    assert fingerprint(tmp_path / "a") == fingerprint(tmp_path / "b")
    assert Run(tmp_path / "a").config().training.images == 160


def test_a_finished_run_is_left_as_it_is(tmp_path, digits):
    run_to(tmp_path, digits)
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "checkpoints").rglob("*")}
    assert run_to(tmp_path, digits).images == 160
    assert before == {p: p.stat().st_mtime_ns for p in (tmp_path / "checkpoints").rglob("*")}


@pytest.mark.fault(10)
def test_other_settings_are_refused_with_a_diff(tmp_path, digits):
    run_to(tmp_path, digits)
    with pytest.raises(ValueError, match=r"training\.seed: 0 -> 1"):
        run_to(tmp_path, digits, seed=1)


@pytest.mark.fault(7)
def test_a_damaged_newest_checkpoint_is_left_out_and_made_again(tmp_path, digits, capsys):
    run_to(tmp_path / "sound", digits)
    run_to(tmp_path / "hurt", digits)
    file = tmp_path / "hurt/checkpoints/step-00000010/d_optimizer.safetensors"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    train(configure(), Run(tmp_path / "hurt"), digits, runtime=CPU)
    assert "d_optimizer.safetensors is damaged" in capsys.readouterr().err
    assert fingerprint(tmp_path / "hurt") == fingerprint(tmp_path / "sound")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_says_so(tmp_path, digits, monkeypatch, number):
    step = trainer_module.Trainer._step

    def interrupted(self):
        step(self)
        if self.state.step == 5:
            signal.raise_signal(number)

    monkeypatch.setattr(trainer_module.Trainer, "_step", interrupted)
    result = run_to(tmp_path, digits)
    assert result.exit_code == 128 + number
    assert find_checkpoint(tmp_path, verify_files=None).step == 5


def test_not_a_number_stops_the_run_and_is_never_saved(tmp_path, digits, monkeypatch):
    step = trainer_module.Trainer._step

    def poisoned(self):
        step(self)
        if self.state.step == 7:
            with torch.no_grad():
                next(self.state.generator.parameters()).fill_(float("nan"))

    monkeypatch.setattr(trainer_module.Trainer, "_step", poisoned)
    with pytest.raises(TrainingFailure, match="no longer finite"):
        run_to(tmp_path, digits)
    assert find_checkpoint(tmp_path, verify_files=None).step == 4
    for values in find_checkpoint(tmp_path, verify_files=None).tensors("generator").values():
        assert values.isfinite().all()


@pytest.mark.fault(27)
def test_batch_larger_than_the_data_writes_nothing(tmp_path, digits):
    with pytest.raises(ValueError, match="batch size 1200 is larger than the data"):
        run_to(tmp_path / "run", digits, batch_size=1200)
    assert not (tmp_path / "run").exists()


def test_loss_curve_stays_what_it_was(tmp_path, digits):
    """Golden: the first records of a fixed small run (recorded with torch 2.13 on x86-64)."""
    run_to(tmp_path, digits)
    records = [r for r in read_records(tmp_path / "log.jsonl") if r["kind"] == "train"]
    d_losses = [r["d_loss"] for r in records]
    g_losses = [r["g_loss"] for r in records]
    assert d_losses == pytest.approx(GOLDEN["d_loss"], abs=0.02)
    assert g_losses == pytest.approx(GOLDEN["g_loss"], abs=0.02)


GOLDEN = {"d_loss": [1.6721, 1.5030, 1.3123], "g_loss": [-0.1646, 0.0616, 0.1057]}


def test_standing_statistics_are_those_of_the_saved_generator(tmp_path, digits):
    """With them, a batch through the saved generator in eval mode is normalised as in training."""
    import sagan
    from sagan.randomness import generator_for

    run_to(tmp_path, digits, standing_batches=1, ema_decay=0.0)
    generator = sagan.load(tmp_path)
    draw = generator_for(0, "standing", 0)
    z = torch.randn(16, 8, generator=draw)
    labels = torch.randint(10, (16,), generator=draw)
    evaluated = generator(z, labels)
    generator.train()
    # eval uses the unbiased variance of the same batch, training the biased one
    torch.testing.assert_close(evaluated, generator(z, labels), rtol=0.05, atol=0.05)
    raw = sagan.load(tmp_path, weights="raw")
    torch.testing.assert_close(raw(z, labels), evaluated)  # nothing was averaged
    # what training goes on with
    kept = find_checkpoint(tmp_path, verify_files=None).tensors("generator")
    assert not torch.equal(kept["norm.running_var"], raw.norm.running_var)


def test_manifest_holds_the_configuration(tmp_path, digits):
    run_to(tmp_path, digits)
    checkpoint = find_checkpoint(tmp_path, verify_files=None)
    assert checkpoint.config == configure()
    manifest = json.loads((checkpoint.path / "manifest.json").read_text())
    assert manifest["images"] == 160


def test_several_d_steps_are_logged_as_their_mean(tmp_path, digits, monkeypatch):
    seen = []
    d_step = update_module.d_step

    def noted(*args):
        numbers = d_step(*args)
        seen.append({name: value.item() for name, value in numbers.items()})
        return numbers

    monkeypatch.setattr(update_module, "d_step", noted)
    run_to(tmp_path, digits, d_steps=3, images=96, log_every=48)
    records = [r for r in read_records(tmp_path / "log.jsonl") if r["kind"] == "train"]
    assert len(records) == 2
    for record, steps in zip(records, (seen[:3], seen[3:]), strict=True):
        for name in ("d_loss", "real_logits", "fake_logits"):
            assert record[name] == pytest.approx(sum(s[name] for s in steps) / 3, rel=1e-5)


def test_a_signal_during_the_last_save_changes_nothing(tmp_path, digits, monkeypatch):
    save = Run.save

    def interrupted(self, step, *args, **kwargs):
        signal.raise_signal(signal.SIGTERM)
        return save(self, step, *args, **kwargs)

    monkeypatch.setattr(Run, "save", interrupted)
    result = run_to(tmp_path, digits, snapshot_every=160)
    assert (result.images, result.exit_code) == (160, 0)


def test_records_tell_the_time_and_the_time_trained(tmp_path, digits):
    began = time.time()
    run_to(tmp_path, digits, images=96, log_every=16)
    first = list(read_records(tmp_path / "log.jsonl"))
    assert all(began - 1 <= r["time"] <= time.time() + 1 for r in first)
    elapsed = [r["elapsed"] for r in first]
    assert elapsed == sorted(elapsed)
    time.sleep(1.0)  # between calls nothing is trained
    run_to(tmp_path, digits, images=160, log_every=16)
    then = list(read_records(tmp_path / "log.jsonl"))[len(first) :]
    assert then[0]["time"] - first[-1]["time"] > 1.0
    assert elapsed[-1] <= then[0]["elapsed"] < elapsed[-1] + 1.0
    rated = [r for r in first if r["kind"] == "train"]
    for before, after in itertools.pairwise(rated):
        apart = after["elapsed"] - before["elapsed"]
        assert after["images_per_sec"] == pytest.approx(16 / apart, rel=0.2)


def test_a_jump_of_the_clock_changes_neither_the_time_trained_nor_the_time_left(
    tmp_path, digits, monkeypatch, capsys
):
    now = itertools.accumulate(itertools.chain([1e9], itertools.cycle([5.0, -86_400.0, 86_400.0])))
    monkeypatch.setattr(time, "time", lambda: next(now))
    monkeypatch.setattr("sagan.progress._PLAIN_EVERY_SEC", -1.0)
    train(configure(images=96, log_every=16), Run(tmp_path), digits, runtime=CPU)
    elapsed = [r["elapsed"] for r in read_records(tmp_path / "log.jsonl")]
    assert elapsed == sorted(elapsed)
    assert elapsed[-1] < 300
    left = re.findall(r"/s · (\d+):(\d\d):\d\d left ·", capsys.readouterr().err)
    assert len(left) >= 5
    assert all(int(hours) == 0 and int(minutes) < 5 for hours, minutes in left)


def test_killed_after_its_last_save_a_run_has_its_curves_drawn(
    tmp_path, digits, drawn, monkeypatch
):
    with monkeypatch.context() as patch:
        patch.setattr("sagan.training.journal.Journal.draw", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run_to(tmp_path, digits, snapshot_every=160)
    assert find_checkpoint(tmp_path, verify_files=None).step == 10
    assert not (tmp_path / "curves.png").exists()
    assert run_to(tmp_path, digits, snapshot_every=160).images == 160
    assert (tmp_path / "curves.png").exists()
    drawn = (tmp_path / "curves.png").stat().st_mtime_ns
    run_to(tmp_path, digits, snapshot_every=160)
    assert (tmp_path / "curves.png").stat().st_mtime_ns == drawn
