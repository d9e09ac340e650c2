"""Growing inside one run: each size begins with the pictures of the size before, and resumes exactly."""

import dataclasses

import pytest
import torch

import sagan
from digits_run import configure, fingerprint, stable_log
from sagan.config import GrowthStage, NetworkConfig, TrainingConfig
from sagan.config.growth import stages_of
from sagan.config.resized import resized
from sagan.data import load_dataset
from sagan.runs.run import Run
from sagan.training import loop as loop_module
from sagan.training import train

SMALL = NetworkConfig(
    resolution=8, channels=1, classes=10, latent_dim=8, g_width=4, d_width=8, g_attention=(8,), d_attention=(8,)
)
STAGE = GrowthStage(resolution=8, images=96, batch_size=16, g_lr=1e-3, d_lr=2e-3)


@pytest.fixture(scope="module")
def large_digits():
    return load_dataset("digits", resolution=16)


def growing(**changes):
    training = TrainingConfig(
        images=256, batch_size=32, g_lr=1e-3, d_lr=2e-3, log_every=32, snapshot_every=64, keep=20, ema_decay=0.9
    )
    config = configure(resized(SMALL, 16), training, **changes)
    return dataclasses.replace(config, growth=(STAGE,))


def test_a_run_goes_through_its_sizes(tmp_path, large_digits):
    result = train(growing(), Run(tmp_path), large_digits, progress=False)
    assert result.images == 256
    sizes = [c.config.network.resolution for c in map(sagan_checkpoint, Run(tmp_path).checkpoint_paths())]
    assert sizes == [8, 8, 16, 16, 16]
    assert sagan.load(tmp_path)(torch.randn(2, 8), torch.tensor([0, 1])).shape == (2, 1, 16, 16)


def sagan_checkpoint(path):
    from sagan.runs.checkpoint import open_checkpoint

    return open_checkpoint(path)


def test_the_images_at_first_are_those_of_the_size_before(tmp_path, large_digits, monkeypatch):
    before = {}

    def seen(self):
        if self.index == 1 and not before:
            before["ema"] = self.state.ema.network
            raise KeyboardInterrupt

    monkeypatch.setattr(loop_module._Trainer, "_step", seen_at(before))
    with pytest.raises(KeyboardInterrupt):
        train(growing(), Run(tmp_path), large_digits, progress=False)
    z, y = torch.randn(20, 8), torch.arange(10).repeat(2)
    small, large = sagan.load(tmp_path), before["ema"].eval()
    with torch.no_grad():
        was, now = small(z, y), torch.nn.functional.avg_pool2d(large(z, y), 2)
    assert (was - now).abs().mean() < 0.15 * was.std()


def seen_at(before):
    step = loop_module._Trainer._step

    def stepping(self):
        if self.index == 1:
            before["ema"] = self.state.ema.network
            raise KeyboardInterrupt
        step(self)

    return stepping


@pytest.mark.parametrize("cut", [[3], [6], [7], [2, 6, 9]])
def test_interrupted_at_and_between_sizes_equals_unbroken(tmp_path, large_digits, monkeypatch, cut):
    """Step 6 is the first size's last."""
    train(growing(), Run(tmp_path / "whole"), large_digits, progress=False)
    stops = iter(cut)
    stop_at = [next(stops)]
    monkeypatch.setattr(
        loop_module._Trainer, "_asked_to_stop", lambda self, _: 143 if self.state.step == stop_at[0] else 0
    )
    for _ in range(len(cut) + 1):
        train(growing(), Run(tmp_path / "cut"), large_digits, progress=False)
        stop_at[0] = next(stops, -1)
    assert fingerprint(tmp_path / "cut") == fingerprint(tmp_path / "whole")
    assert stable_log(tmp_path / "cut") == stable_log(tmp_path / "whole")


def test_steps_and_images_are_counted_on():
    first, last = stages_of(growing())
    assert (first.last_step, last.first_step, last.first_images, last.last_step) == (6, 6, 96, 11)


def test_images_that_end_before_the_last_size_are_refused():
    with pytest.raises(ValueError, match="all shown at smaller sizes"):
        stages_of(growing(images=96))
