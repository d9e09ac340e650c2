"""Growing inside one run: each size begins with the images of the last, and resumes exactly."""

import dataclasses

import pytest
import torch
from digits_run import SMALL, configure, fingerprint, stable_log

import sagan
from sagan.config import GrowthStage, TrainingConfig, run_config_from_dict, to_dict
from sagan.config.growth import stages_of
from sagan.config.resized import resized
from sagan.errors import TrainingFailure
from sagan.models import build_generator
from sagan.runs.checkpoint import open_checkpoint
from sagan.runs.log import read_records
from sagan.runs.run import Run
from sagan.training import train
from sagan.training import trainer as trainer_module

STAGE = GrowthStage(resolution=8, images=96, batch_size=16, g_lr=1e-3, d_lr=2e-3)
LAST_SMALL_STEP, LAST_STEP = 6, 11


def growing(**changes):
    training = TrainingConfig(
        images=256,
        batch_size=32,
        g_lr=1e-3,
        d_lr=2e-3,
        log_every=32,
        snapshot_every=64,
        keep=20,
        ema_decay=0.9,
    )
    return dataclasses.replace(configure(resized(SMALL, 16), training, **changes), growth=(STAGE,))


def grow(path, data, **changes):
    return train(growing(**changes), Run(path), data, progress=False)


def sizes(path):
    checkpoints = map(open_checkpoint, Run(path).checkpoint_paths())
    return [checkpoint.config.network.resolution for checkpoint in checkpoints]


def test_a_run_goes_through_its_sizes(tmp_path, large_digits):
    assert grow(tmp_path, large_digits).images == 256
    assert sizes(tmp_path) == [8, 8, 16, 16, 16]
    images = sagan.load(tmp_path)(torch.randn(2, 8), torch.tensor([0, 1]))
    assert images.shape == (2, 1, 16, 16)
    records = [r for r in read_records(Run(tmp_path).log_path) if r["kind"] == "train"]
    assert [r["images"] for r in records] == [32, 64, 96, 128, 160, 192, 224, 256]


def test_a_size_begins_with_the_images_of_the_last(tmp_path, large_digits, monkeypatch):
    begun = {}
    step = trainer_module.Trainer._step

    def stops_when_grown(self):
        if self.stage:
            begun["large"] = self.state.ema.network.eval()
            raise KeyboardInterrupt
        step(self)

    monkeypatch.setattr(trainer_module.Trainer, "_step", stops_when_grown)
    with pytest.raises(KeyboardInterrupt):
        grow(tmp_path, large_digits)
    z, y = torch.randn(40, 8), torch.arange(10).repeat(4)
    was = sagan.load(tmp_path)(z, y)
    fresh = build_generator(growing().network, seed=9).eval()

    @torch.no_grad()
    def likeness(network):
        """The correlation of the images' differences from their mean image."""
        now = torch.nn.functional.avg_pool2d(network(z, y), 2)
        pair = torch.stack([(x - x.mean(0)).flatten() for x in (was, now)])
        return torch.corrcoef(pair)[0, 1].item()

    assert likeness(begun["large"]) > 0.6 > 0.3 > likeness(fresh)


@pytest.mark.parametrize(
    "cuts",
    [
        pytest.param([LAST_SMALL_STEP], marks=pytest.mark.slow),
        [2, LAST_SMALL_STEP, 9],
        pytest.param([3], marks=pytest.mark.slow),
        pytest.param([7], marks=pytest.mark.slow),
    ],
)
@pytest.mark.fault(1)
def test_stopped_at_and_between_sizes_equals_unbroken(tmp_path, large_digits, monkeypatch, cuts):
    grow(tmp_path / "unbroken", large_digits)
    stops = iter(cuts)
    stop_at = [next(stops)]
    monkeypatch.setattr(
        trainer_module.Trainer,
        "_asked_to_stop",
        lambda self, _: 143 * (self.state.step == stop_at[0]),
    )
    for _ in range(len(cuts) + 1):
        grow(tmp_path / "broken", large_digits)
        stop_at[0] = next(stops, -1)
    assert fingerprint(tmp_path / "broken") == fingerprint(tmp_path / "unbroken")
    assert stable_log(tmp_path / "broken") == stable_log(tmp_path / "unbroken")


def test_more_images_extend_the_last_size(tmp_path, large_digits):
    grow(tmp_path / "once", large_digits, images=320)
    grow(tmp_path / "twice", large_digits)
    grow(tmp_path / "twice", large_digits, images=320)
    assert fingerprint(tmp_path / "once") == fingerprint(tmp_path / "twice")


def test_a_failure_at_a_size_goes_back_to_the_one_before(tmp_path, large_digits, monkeypatch):
    """The first step of the large size fails once; the last checkpoint without alarms is small."""
    step, failed = trainer_module.Trainer._step, []

    def fails_once(self):
        if self.stage and not failed:
            failed.append(self.state.step)
            raise TrainingFailure("a failure")
        step(self)

    monkeypatch.setattr(trainer_module.Trainer, "_step", fails_once)
    drop = Run.drop_newer
    monkeypatch.setattr(
        Run, "newest_sound_checkpoint", without_the_last_small_one(Run.newest_sound_checkpoint)
    )
    monkeypatch.setattr(Run, "drop_newer", drop)
    runtime = trainer_module.Runtime(rollback=1)
    train(growing(), Run(tmp_path), large_digits, runtime=runtime, progress=False)
    assert failed == [LAST_SMALL_STEP]
    (back,) = [r for r in read_records(Run(tmp_path).log_path) if r["kind"] == "rollback"]
    assert back["step"] == 4
    assert sizes(tmp_path)[-1] == 16
    assert open_checkpoint(Run(tmp_path).pointed_to("latest")).manifest["retry"] == 1


def without_the_last_small_one(find):
    """As if the checkpoint that ended the small size had been saved during an alarm."""

    def found(self, *, without_alarms=False):
        checkpoint, faults = find(self, without_alarms=without_alarms)
        if without_alarms and checkpoint is not None and checkpoint.step == LAST_SMALL_STEP:
            return open_checkpoint(self.path / "checkpoints/step-00000004"), faults
        return checkpoint, faults

    return found


def test_steps_and_images_are_counted_on():
    first, last = stages_of(growing())
    assert (first.last_step, last.first_step, last.first_images) == (6, 6, 96)
    assert last.last_step == LAST_STEP


def test_growth_survives_the_way_through_json():
    config = growing()
    assert run_config_from_dict(to_dict(config)) == config


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"images": 0}, "images must be at least 1"),
        ({"resolution": 16}, "grows from small to large, not through 16, 16 px"),
        ({"resolution": 12}, "resolution 12 is unknown"),
        ({"g_lr": -1.0}, "g_lr must be positive"),
    ],
)
def test_bad_stages_are_refused(change, said):
    with pytest.raises(ValueError, match=said):
        dataclasses.replace(growing(), growth=(dataclasses.replace(STAGE, **change),))


def test_a_stage_without_a_field_is_refused():
    values = to_dict(growing())
    del values["growth"][0]["images"]
    with pytest.raises(ValueError, match=r"growth\[0\] lacks images"):
        run_config_from_dict(values)


def test_images_that_end_before_the_last_size_are_refused():
    with pytest.raises(ValueError, match="all shown at smaller sizes"):
        stages_of(growing(images=96))


def test_what_is_logged_after_growth_is_of_the_new_size_alone(tmp_path, large_digits, monkeypatch):
    begun_with = []
    restore = trainer_module.Trainer._restore

    def watched(self, checkpoint):
        restore(self, checkpoint)
        begun_with.append((checkpoint.manifest["log_sums"], dict(self.state.log_sums)))

    monkeypatch.setattr(trainer_module.Trainer, "_restore", watched)
    grow(tmp_path, large_digits, log_every=64)  # a step of 8 px is not logged yet
    ((saved, sums),) = begun_with
    assert saved
    assert sums == {}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"batch_size": 2000}, "batch size 2000 is larger than the data"),
        ({"evaluate_every": 64, "evaluate_metric": "nonsense"}, "unknown metric 'nonsense'"),
    ],
)
def test_what_the_last_size_cannot_do_is_told_before_the_first(
    tmp_path, large_digits, changes, said
):
    with pytest.raises(ValueError, match=said):
        grow(tmp_path / "run", large_digits, **changes)
    assert not (tmp_path / "run").exists()
