"""Row 20: NaN or Inf anywhere is seen within a step, counted, and never saved as good."""

import digits_run
import pytest
import torch
from digits_run import SMALL

from sagan.config import Runtime, TrainingConfig
from sagan.errors import TrainingFailure
from sagan.runs.log import read_records
from sagan.runs.run import Run
from sagan.training import train
from sagan.training import trainer as trainer_module

pytestmark = pytest.mark.fault(20)
AT = 6
# Nobody looks for 40 steps otherwise: a record every 40, a snapshot every 4 before the fault.
TRAINING = TrainingConfig(
    images=640, batch_size=16, g_lr=1e-3, d_lr=1e-3, log_every=640, snapshot_every=64
)


def weight_of_g(state, value):
    next(state.generator.parameters()).view(-1)[0] = value


def weight_of_d(state, value):
    next(state.discriminator.parameters()).view(-1)[0] = value


def row_of_a_class_that_is_seldom_drawn(state, value):
    rows = [p for n, p in state.discriminator.named_parameters() if p.shape[0] == 10 and p.ndim > 1]
    rows[0][-1, 0] = value


def loss(state, value):
    state.log_sums["g_loss"] += value


def gradient(state, value):
    """As it comes from a backward pass: before the optimiser has used it."""
    parameter = next(state.generator.parameters())
    handle = parameter.register_hook(lambda gradient: torch.full_like(gradient, value))
    state.hooked = handle


def run_to(path, digits, *, rollback=0):
    config = digits_run.configure(SMALL, TRAINING)
    runtime = Runtime(device="cpu", rollback=rollback)
    return train(config, Run(path), digits, runtime=runtime, progress=False)


def plant(monkeypatch, fault, value):
    """After a step, once; and note the steps that are run."""
    update, steps = trainer_module.Trainer._update, []

    def faulty(self):
        update(self)
        steps.append(self.state.step)
        if self.state.step == AT and not self.state.retry:
            with torch.no_grad():
                fault(self.state, value)

    monkeypatch.setattr(trainer_module.Trainer, "_update", faulty)
    return steps


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize(
    "fault", [weight_of_g, weight_of_d, row_of_a_class_that_is_seldom_drawn, loss, gradient]
)
def test_it_is_seen_within_a_step_and_the_checkpoint_before_stands(
    tmp_path, digits, monkeypatch, fault, value
):
    steps = plant(monkeypatch, fault, value)
    with pytest.raises(TrainingFailure, match="is no longer finite"):
        run_to(tmp_path, digits)
    assert steps[-1] == AT + (fault is gradient)
    (kept,) = Run(tmp_path).checkpoint_paths()
    assert kept.name == "step-00000004"
    for name in ("generator", "discriminator", "ema", "g_optimizer", "d_optimizer"):
        assert all(
            t.isfinite().all()
            for t in Run(tmp_path).checkpoint(verify_files=()).tensors(name).values()
        )


def test_it_is_counted(tmp_path, digits, monkeypatch):
    plant(monkeypatch, weight_of_g, float("nan"))
    config = digits_run.configure(SMALL, TRAINING, images=160)
    runtime = Runtime(device="cpu", rollback=2)
    train(config, Run(tmp_path), digits, runtime=runtime, progress=False)
    (record,) = [r for r in read_records(Run(tmp_path).log_path) if r["kind"] == "rollback"]
    assert (record["retry"], record["failed_at_images"]) == (1, 16 * AT)
    assert "a weight of G" in record["reason"]
    assert Run(tmp_path).checkpoint(verify_files=()).manifest["retry"] == 1
