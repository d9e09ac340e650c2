import copy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from sagan.config import NetworkConfig
from sagan.config.presets import PRESETS
from sagan.models import build_discriminator, build_generator
from sagan.nn import ConditionalBatchNorm, DiscriminatorBlock, GeneratorBlock, SpectralNorm
from sagan.nn.blocks import ClassNorm

LABELS = torch.tensor([2, 0, 1, 2, 2, 0])


def maps(channels: int, side: int = 4) -> Tensor:
    return torch.randn(len(LABELS), channels, side, side, dtype=torch.float64) * 3 + 1


def norm_with_tables() -> ConditionalBatchNorm:
    norm = ConditionalBatchNorm(4, classes=3, eps=1e-3, momentum=0.3).double()
    nn.init.normal_(norm.gain.weight)
    nn.init.normal_(norm.bias.weight)
    return norm


@pytest.mark.parametrize("training", [True, False])
def test_conditional_norm_is_batch_norm_with_each_classs_own_affine(training: bool) -> None:
    norm, x = norm_with_tables(), maps(4)
    plain = nn.BatchNorm2d(4, eps=1e-3, momentum=0.3).double()
    for _ in range(3):  # statistics that are not the start's
        norm(x, LABELS)
        plain(x)
    norm.train(training)
    plain.train(training)
    output = norm(x, LABELS)
    state = copy.deepcopy(plain.state_dict())
    for i, label in enumerate(LABELS):
        plain.load_state_dict(state)  # so that every call sees the same statistics
        with torch.no_grad():
            plain.weight.copy_(1 + norm.gain.weight[label])
            plain.bias.copy_(norm.bias.weight[label])
        torch.testing.assert_close(output[i], plain(x)[i], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(norm.norm.running_mean, plain.running_mean)
    torch.testing.assert_close(norm.norm.running_var, plain.running_var)


def test_a_new_conditional_norm_has_gain_one_and_bias_zero() -> None:
    x = maps(4)
    new = ConditionalBatchNorm(4, classes=3).double()
    assert torch.equal(new(x, LABELS), nn.BatchNorm2d(4, affine=False).double()(x))


def test_one_hot_class_weights_equal_integer_labels() -> None:
    norm, x = norm_with_tables(), maps(4)
    one_hot = F.one_hot(LABELS, 3).double()
    torch.testing.assert_close(norm(x, one_hot), norm(x, LABELS), rtol=0, atol=1e-12)


def test_class_weights_mix_the_tables() -> None:
    norm, x = norm_with_tables(), maps(4)
    halves = torch.tensor([[0.5, 0.5, 0.0]], dtype=torch.float64).expand(len(x), 3)
    ends = [norm(x, torch.full((len(x),), label)) for label in (0, 1)]
    torch.testing.assert_close(norm(x, halves), (ends[0] + ends[1]) / 2, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("classes", "kind"), [(0, nn.BatchNorm2d), (3, ConditionalBatchNorm)])
def test_class_norm_is_conditional_only_with_classes(classes: int, kind: type) -> None:
    norm = ClassNorm(4, classes=classes, eps=1e-3, momentum=0.3)
    assert type(norm.norm) is kind
    (inner,) = (m for m in norm.modules() if isinstance(m, _BatchNorm))
    assert (inner.eps, inner.momentum) == (1e-3, 0.3)
    assert inner.affine == (classes == 0)


@pytest.mark.parametrize("name", [name for name in PRESETS if PRESETS[name][0].family == "resnet"])
def test_the_tables_of_conditional_norm_are_never_spectrally_normalised(name: str) -> None:
    config = replace(
        PRESETS[name][0], classes=3, resolution=8, g_attention=(8,), d_attention=(), g_width=8
    )
    generator = build_generator(config)
    norms = [m for m in generator.modules() if isinstance(m, ConditionalBatchNorm)]
    assert len(norms) == 2 * len(generator.blocks)
    parameters = {id(parameter) for parameter in generator.parameters()}
    for norm in norms:
        assert not any(isinstance(m, SpectralNorm) for m in norm.modules())
        for table in (norm.gain, norm.bias):
            assert type(table) is nn.Embedding
            assert id(table.weight) in parameters
            assert not table.weight.any()  # initialisation left them at 0
    inside = {
        id(m)
        for wrapper in generator.modules()
        if isinstance(wrapper, SpectralNorm)
        for m in wrapper.modules()
    }
    assert not inside & {id(table) for norm in norms for table in (norm.gain, norm.bias)}


@pytest.mark.parametrize("classes", [0, 3])
def test_generator_block_equals_its_definition_with_upsampling_first(classes: int) -> None:
    block, x = GeneratorBlock(6, 4, classes=classes).double(), maps(6)
    labels = LABELS if classes else None
    up = nn.UpsamplingNearest2d(scale_factor=2)
    hidden = block.conv1(up(F.relu(block.norm1(x, labels))))
    hidden = block.conv2(F.relu(block.norm2(hidden, labels)))
    expected = hidden + block.shortcut(up(x))
    output = block(x, labels)
    assert output.shape == (len(LABELS), 4, 8, 8)
    torch.testing.assert_close(output, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(
    ("c_in", "c_out", "downsample"), [(3, 4, True), (4, 4, True), (3, 4, False), (4, 4, False)]
)
def test_discriminator_block_equals_its_definition_with_pooling_last(
    c_in: int, c_out: int, downsample: bool, first: bool
) -> None:
    block = DiscriminatorBlock(c_in, c_out, downsample=downsample, first=first).double()
    x = maps(c_in)
    before = x.clone()
    hidden = block.conv2(F.relu(block.conv1(x if first else F.relu(x))))
    assert (block.shortcut is None) == (c_in == c_out and not downsample)
    skip = x if block.shortcut is None else block.shortcut(x)
    expected = hidden + skip
    if downsample:
        expected = F.avg_pool2d(expected, 2)
    torch.testing.assert_close(block(x), expected, rtol=0, atol=1e-12)
    assert torch.equal(x, before)  # no ReLU in place: the shortcut sees x


@pytest.mark.parametrize("family", ["resnet", "dcgan"])
@pytest.mark.parametrize("classes", [0, 3])
def test_batch_norm_is_in_the_generator_and_nowhere_in_the_discriminator(
    family: str, classes: int
) -> None:
    config = NetworkConfig(
        family=family,  # type: ignore[arg-type]
        classes=0 if family == "dcgan" else classes,
        resolution=32,
        g_width=8,
        d_width=8,
    )

    def norms(network: nn.Module) -> int:
        kinds = (_BatchNorm, nn.GroupNorm, nn.LayerNorm, nn.modules.instancenorm._InstanceNorm)
        return sum(isinstance(m, kinds) for m in network.modules())

    assert norms(build_generator(config)) == (3 if family == "dcgan" else 7)
    assert norms(build_discriminator(config)) == 0


@pytest.mark.parametrize("labels", [torch.tensor([0, 2]), torch.eye(3)[:2]])
def test_conditional_batch_norm_leaves_a_bf16_map_bf16(labels):
    norm = ConditionalBatchNorm(8, classes=3)
    x = torch.randn(2, 8, 4, 4).to(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        out = norm(x.bfloat16(), labels)
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.float(), norm(x, labels), atol=0.05, rtol=0.02)
    assert norm(x, labels).is_contiguous(memory_format=torch.channels_last)


def test_unconditional_blocks_stand_in_a_sequential() -> None:
    network = nn.Sequential(GeneratorBlock(8, 4, classes=0), nn.Conv2d(4, 3, 1))
    assert network(torch.randn(2, 8, 4, 4)).shape == (2, 3, 8, 8)


def test_what_a_class_is_missing_for_is_said() -> None:
    with pytest.raises(ValueError, match="needs labels"):
        GeneratorBlock(8, 4, classes=3)(torch.randn(2, 8, 4, 4))
    with pytest.raises(ValueError, match="classes must be at least 1, not 0"):
        ConditionalBatchNorm(8, classes=0)
