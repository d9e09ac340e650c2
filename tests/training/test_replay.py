"""Recorded steps: the same weights as steps that run as they are, and what happens when it fails.

CUDA graphs need a GPU. Here a tape is the function itself: as with a graph, recording changes
nothing, and playing it reads the inputs where they lay when it was recorded.
"""

import dataclasses

import numpy as np
import pytest
import torch

from sagan.config import NetworkConfig, RunConfig, Runtime, TrainingConfig
from sagan.data import ImageDataset
from sagan.training.batches import BatchSource, Share
from sagan.training.engine import Engine
from sagan.training.replay import EAGER_STEPS, Replays
from sagan.training.state import new_state, state_tensors
from sagan.training.update import train_step

CPU = Runtime(device="cpu")
NETWORK = NetworkConfig(
    resolution=8, classes=10, latent_dim=8, g_width=4, d_width=8, g_attention=(8,), d_attention=(8,)
)
PLAIN = TrainingConfig(batch_size=8, g_lr=1e-2, d_lr=1e-2, ema_start=24)
KINDS = {
    "plain": PLAIN,
    "micro-batches": dataclasses.replace(PLAIN, accumulate=2),
    "several D steps": dataclasses.replace(PLAIN, d_steps=2),
    "gradient penalty": dataclasses.replace(PLAIN, loss="wgan-gp"),
    "adaptive augmentation": dataclasses.replace(
        PLAIN,
        augment=("color", "cutout"),
        augment_p=0.2,
        augment_target=0.5,
        augment_ramp=1_000,
        holdout=0.5,
    ),
}


class FakeRecorder:
    def __init__(self, state):
        self.state, self.recorded, self.played = state, 0, 0

    def _tensors(self):
        yield from (t for files in state_tensors(self.state).values() for t in files.values())

    def __call__(self, function):
        self.recorded += 1
        before = [t.clone() for t in self._tensors()]
        function()
        networks = self.state.generator, self.state.discriminator
        parameters = [p for network in networks for p in network.parameters()]
        gradients = [p.grad for p in parameters]
        for tensor, old in zip(self._tensors(), before, strict=True):
            tensor.copy_(old)
        recorder = self

        class Tape:
            def replay(self):
                recorder.played += 1
                function()
                for parameter, old in zip(parameters, gradients, strict=True):
                    if old is not None and parameter.grad is not old:
                        old.copy_(parameter.grad)

        return Tape()


def trained(training, steps, recorder_of=None, runtime=CPU):
    draw = np.random.default_rng(0)
    dataset = ImageDataset(
        draw.integers(0, 256, (50, 3, 8, 8), np.uint8),
        draw.integers(0, 10, 50),
        tuple("0123456789"),
    )
    config = RunConfig(network=NETWORK, training=training)
    engine = Engine(runtime, "float32")
    engine.launch()
    state = new_state(config, runtime, engine)
    recorder = None
    if recorder_of is not None:
        recorder = recorder_of(state)
        state.replays = Replays((state.generator, state.discriminator), recorder)
    batches = BatchSource(dataset, config, Share(0, 1), engine.device)
    for _ in range(steps):
        train_step(state, batches, training, engine, state.step * training.batch_size)
    return state, recorder


@pytest.mark.parametrize("training", KINDS.values(), ids=KINDS)
def test_recorded_steps_make_the_same_weights_bit_for_bit(training):
    steps = 22
    plain, _ = trained(training, steps)
    replayed, recorder = trained(training, steps, FakeRecorder)
    assert recorder.recorded == (3 if training.augment else 2)
    assert recorder.played >= 20
    expected, found = state_tensors(plain), state_tensors(replayed)
    for file, tensors in expected.items():
        for name, tensor in tensors.items():
            assert torch.equal(found[file][name], tensor), (file, name)
    for name, value in plain.log_sums.items():
        assert torch.equal(replayed.log_sums[name], value), name
    for mine, theirs in zip(
        replayed.discriminator.parameters(), plain.discriminator.parameters(), strict=True
    ):
        assert torch.equal(mine.grad, theirs.grad)
    if training.augment:
        assert plain.augmentation.p not in (0, 0.2, 1)  # it has adapted
        assert torch.equal(replayed.augmentation.p, plain.augmentation.p)


@pytest.mark.parametrize("message", ["operation not permitted", "CUDA out of memory"])
def test_where_recording_fails_steps_go_on_as_they_are_and_it_is_told_once(message):
    def failing(_):
        def record(_):
            raise RuntimeError(message)

        return record

    plain, _ = trained(PLAIN, EAGER_STEPS + 3)
    state, _ = trained(PLAIN, EAGER_STEPS + 3, failing)
    expected, found = state_tensors(plain), state_tensors(state)
    for file, tensors in expected.items():
        for name, tensor in tensors.items():
            assert torch.equal(found[file][name], tensor), (file, name)
    assert message.removeprefix("CUDA ") in state.replays.news()
    assert state.replays.news() == ""


def test_nothing_is_recorded_on_the_cpu():
    state, _ = trained(PLAIN, 1)
    assert state.replays is None


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("training", KINDS.values(), ids=KINDS)
def test_cuda_graphs_make_the_weights_of_plain_steps(training):
    plain, replayed = (
        trained(training, 12, runtime=Runtime(device="cuda", cuda_graphs=graphs))[0]
        for graphs in (False, True)
    )
    assert plain.replays is None
    assert replayed.replays is not None
    assert replayed.replays.trouble == ""
    for mine, theirs in zip(
        replayed.generator.parameters(), plain.generator.parameters(), strict=True
    ):
        torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-4)
