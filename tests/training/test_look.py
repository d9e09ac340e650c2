"""Looking at the networks needs no more memory than training does, however large a map is."""

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from sagan.config import NetworkConfig, RunConfig, Runtime, TrainingConfig
from sagan.data import ImageDataset
from sagan.explain.maps import explain_latents
from sagan.nn.attention import SelfAttention, attention_numbers, record_attention
from sagan.randomness import sample_latents
from sagan.training.diagnostics import Viewer
from sagan.training.engine import Engine
from sagan.training.state import new_state

ARTICLE_64_PX = NetworkConfig(
    resolution=64, g_width=8, d_width=8, g_attention=(64,), d_attention=(), attention_form="article"
)


class LargestTensor(TorchDispatchMode):
    """The number of elements of the largest tensor that is made inside the block."""

    def __enter__(self):
        self.numel = 0
        return super().__enter__()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        sizes = [t.numel() for t in tree_leaves(made) if isinstance(t, torch.Tensor)]
        self.numel = max([self.numel, *sizes])
        return made


@pytest.fixture
def state():
    config = RunConfig(network=ARTICLE_64_PX, training=TrainingConfig(batch_size=4))
    engine = Engine(Runtime(device="cpu"), "float32")
    engine.launch()
    return new_state(config, Runtime(device="cpu"), engine), engine


def test_a_look_makes_no_large_map_whole(state):
    pictures = ImageDataset(np.zeros((20, 3, 64, 64), np.uint8), None, ())
    viewer = Viewer(ARTICLE_64_PX, pictures, batch_size=4)
    with LargestTensor() as largest:
        (layer,) = viewer.look(*state).layers
    assert layer["size_px"] == 64
    assert largest.numel < 64**4 / 4  # a quarter of one image's map; 17 of them were made before


def test_an_explanation_makes_the_rows_that_are_asked_for(state):
    generator = state[0].generator.eval()
    with LargestTensor() as largest:
        _, (layer,) = explain_latents(generator, None, sample_latents([0], 128), None, points=3)
    assert layer.maps.shape == (3, 64, 64)
    torch.testing.assert_close(layer.maps.sum((1, 2)), torch.ones(3))
    assert largest.numel < 64**4 / 4


def test_a_look_shows_the_same_in_batches_of_any_size(state):
    pictures = ImageDataset(np.zeros((20, 3, 64, 64), np.uint8), None, ())
    one, ten = (Viewer(ARTICLE_64_PX, pictures, batch_size=b).look(*state) for b in (1, 10))
    for a, b in zip(one.layers, ten.layers, strict=True):
        assert a.keys() == b.keys()
        assert a["entropy"] == pytest.approx(b["entropy"], rel=1e-5)
        assert a["query_dependence"] == pytest.approx(b["query_dependence"], abs=1e-5)
    assert (one.samples.int() - ten.samples.int()).abs().max() <= 1


def test_numbers_of_a_large_unpooled_map_come_in_pieces():
    layer = SelfAttention(8, form="article")
    with LargestTensor() as largest, record_attention(layer) as maps, torch.no_grad():
        layer(torch.randn(1, 8, 128, 128))
        numbers = attention_numbers(maps[""])
    assert maps[""].shape == (1, 128**2, 128**2)
    assert largest.numel <= 2 * 2**20  # the whole map has 2^28
    assert 0 < numbers.entropy <= np.log(128**2)
