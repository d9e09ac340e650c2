import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from sagan.config import RESOLUTIONS_PX, NetworkConfig
from sagan.config.channels import discriminator_blocks, generator_blocks
from sagan.config.presets import PRESETS, preset
from sagan.models import Discriminator, Generator, build_discriminator, build_generator
from sagan.nn import ConditionalBatchNorm, SelfAttention, SpectralNorm, record_attention

FAMILY_RESOLUTIONS_PX = {"resnet": RESOLUTIONS_PX, "dcgan": (32, 64, 128)}
FAMILIES_AND_RESOLUTIONS = [
    (family, px) for family, sizes in FAMILY_RESOLUTIONS_PX.items() for px in sizes
]
BUILDERS = {"G": build_generator, "D": build_discriminator}
STAGES = {"G": generator_blocks, "D": discriminator_blocks}

each_network = pytest.mark.parametrize("which", ["G", "D"])


def narrow(family: Any = "resnet", resolution: int = 32, **changes: Any) -> NetworkConfig:
    return NetworkConfig(
        **{  # type: ignore[arg-type]
            "family": family,
            "resolution": resolution,
            "latent_dim": 12,
            "g_width": 8,
            "d_width": 8,
            **changes,
        }
    )


# Every kind of network in small, attention included.
KINDS = {
    "conditional": narrow(classes=3, g_attention=(8, 16), d_attention=(8, 16)),
    "unconditional": narrow(g_attention=(16,), d_attention=(16,)),
    "article": narrow(
        "dcgan",
        g_attention=(8, 16),
        d_attention=(4, 8),
        attention_form="article",
        init="default",
    ),
}
each_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture
def shapes_only(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Compute no numbers, only shapes, so that networks of any size are quick.

    Not the meta device, for which torch.autocast cannot even be switched off.
    """
    monkeypatch.setattr(SpectralNorm, "power_iteration", lambda self, steps=1: None)
    with FakeTensorMode():
        yield


uses_shapes_only = pytest.mark.usefixtures("shapes_only")


def labels_for(config: NetworkConfig, b: int) -> Tensor | None:
    return torch.arange(b) % config.classes if config.classes else None


def inputs_for(which: str, config: NetworkConfig, b: int = 4) -> tuple[Tensor, Tensor | None]:
    if which == "G":
        return torch.randn(b, config.latent_dim), labels_for(config, b)
    images = torch.rand(b, config.channels, config.resolution, config.resolution) * 2 - 1
    return images, labels_for(config, b)


def open_attention(network: nn.Module) -> None:
    """Set every gamma off its start, so that attention takes part."""
    for module in network.modules():
        if isinstance(module, SelfAttention):
            nn.init.constant_(module.gamma, 0.5)


def count(parameters: Any) -> int:
    return sum(parameter.numel() for parameter in parameters)


def unnormalised(network: nn.Module) -> set[str]:
    """Name the layers with a weight matrix but no spectral norm."""
    kinds = nn.Conv2d | nn.ConvTranspose2d | nn.Linear | nn.Embedding
    wrapped = {id(m.layer) for m in network.modules() if isinstance(m, SpectralNorm)}
    return {
        name for name, m in network.named_modules() if isinstance(m, kinds) and id(m) not in wrapped
    }


@uses_shapes_only
def test_the_papers_networks_have_exactly_its_parameters() -> None:
    config = replace(PRESETS["paper"][0], classes=1000)
    generator, discriminator = build_generator(config), build_discriminator(config)
    assert count(generator.parameters()) == 42_078_852
    assert count(discriminator.parameters()) == 39_463_618
    tables = [
        table.weight
        for m in generator.modules()
        if isinstance(m, ConditionalBatchNorm)
        for table in (m.gain, m.bias)
    ]
    assert count(generator.parameters()) - count(tables) == 32_222_852
    assert discriminator.embedding is not None
    embedding = count(discriminator.embedding.parameters())
    assert count(discriminator.parameters()) - embedding == 38_439_618


@pytest.mark.parametrize(("channels", "classes"), [(1, 3), (3, 0), (4, 3)])
@pytest.mark.parametrize(("family", "resolution"), FAMILIES_AND_RESOLUTIONS)
@uses_shapes_only
def test_shapes_at_every_resolution(
    family: str, resolution: int, channels: int, classes: int
) -> None:
    classes = 0 if family == "dcgan" else classes
    config = narrow(family, resolution, channels=channels, classes=classes)
    latents, labels = inputs_for("G", config, 2)
    images = build_generator(config)(latents, labels)
    logits = build_discriminator(config)(images, labels)
    assert images.shape == (2, channels, resolution, resolution)
    assert logits.shape == (2,)


@pytest.mark.parametrize(("family", "resolution"), FAMILIES_AND_RESOLUTIONS)
def test_images_are_finite_and_in_range_even_for_extreme_latents(
    family: str, resolution: int
) -> None:
    config = narrow(family, resolution)
    generator, discriminator = build_generator(config), build_discriminator(config)
    with torch.no_grad():
        images = generator(torch.randn(2, 12) * 1e3)
        logits = discriminator(images)
    assert images.shape == (2, 3, resolution, resolution)
    assert images.abs().max() <= 1
    assert images.std() > 1e-3
    assert logits.isfinite().all()


def attended_sizes(network: nn.Module, inputs: tuple[Any, ...]) -> dict[str, int]:
    """Run a network and tell which attention layers ran, and on maps of which side."""
    sizes: dict[str, int] = {}

    def watch(name: str) -> Callable[..., None]:
        return lambda _layer, layer_inputs: sizes.update({name: layer_inputs[0].shape[2]})

    for name, module in network.named_modules():
        if isinstance(module, SelfAttention):
            module.register_forward_pre_hook(watch(name))
    network(*inputs)
    return sizes


@each_network
@pytest.mark.parametrize(("family", "resolution"), FAMILIES_AND_RESOLUTIONS)
@uses_shapes_only
def test_attention_stands_behind_the_first_block_with_that_map(
    family: str, resolution: int, which: str
) -> None:
    sizes = [stage.size_px for stage in STAGES[which](narrow(family, resolution))]
    attended = {size for size in sizes if size <= 64}  # larger maps come in many pieces
    changes = {f"{which.lower()}_attention": tuple(attended)}
    config = narrow(family, resolution, **changes)
    ran = attended_sizes(BUILDERS[which](config), inputs_for(which, config, 1))
    assert ran == {f"attention.{sizes.index(size)}": size for size in attended}
    for size in set(sizes):
        one = narrow(family, resolution, **{f"{which.lower()}_attention": (size,)})
        attends = [i for i, stage in enumerate(STAGES[which](one)) if stage.attention]
        assert attends == [sizes.index(size)]
    assert not any(stage.attention for stage in STAGES[which](narrow(family, resolution)))


@each_network
def test_attention_takes_the_output_of_its_own_block(which: str) -> None:
    config = KINDS["conditional"]
    network = BUILDERS[which](config)
    outputs: dict[str, Tensor] = {}
    taken: dict[str, Tensor] = {}
    for i, block in enumerate(network.blocks):
        block.register_forward_hook(lambda _m, _i, o, i=i: outputs.update({str(i): o}))
    for i, layer in network.attention.items():
        layer.register_forward_pre_hook(lambda _m, inputs, i=i: taken.update({i: inputs[0]}))
    network(*inputs_for(which, config))
    assert len(taken) == 2
    assert all(taken[i] is outputs[i] for i in taken)


@each_network
@each_kind
def test_opening_attention_changes_the_output(which: str, kind: str) -> None:
    network = BUILDERS[which](KINDS[kind])
    inputs = inputs_for(which, KINDS[kind])
    with record_attention(network) as maps:
        closed = network(*inputs)
    assert list(maps) == [f"attention.{i}" for i in network.attention]
    open_attention(network)
    assert (network(*inputs) - closed).abs().max() > 1e-4


@each_network
@pytest.mark.parametrize(
    ("family", "resolution", "wanted", "g_has", "d_has"),
    [
        ("resnet", 32, 4, "8, 16, 32", "8, 16"),
        ("resnet", 64, 128, "8, 16, 32, 64", "4, 8, 16, 32"),
        ("dcgan", 64, 2, "4, 8, 16, 32", "4, 8, 16, 32"),
    ],
)
def test_attention_on_a_missing_map_is_refused_and_the_maps_named(
    which: str, family: str, resolution: int, wanted: int, g_has: str, d_has: str
) -> None:
    config = narrow(family, resolution, **{f"{which.lower()}_attention": (wanted,)})
    name, has = ("generator", g_has) if which == "G" else ("discriminator", d_has)
    message = f"the {name} at {resolution} px has no {wanted} px feature map for attention; it has "
    with pytest.raises(ValueError, match=f"^{message}{has}$"):
        BUILDERS[which](config)


@each_network
def test_attention_on_too_few_channels_is_refused(which: str) -> None:
    config = narrow(g_width=1, d_width=1, **{f"{which.lower()}_attention": (16,)})
    with pytest.raises(ValueError, match="attention at 16 px needs at least 8 channels"):
        BUILDERS[which](config)


@pytest.mark.parametrize(
    ("resolution", "g_widths", "d_widths"),
    [
        (32, (256, 128, 64), (64, 128, 256)),
        (64, (512, 256, 128, 64), (64, 128, 256, 512)),
        (128, (1024, 512, 256, 128, 64), (64, 128, 256, 512, 1024)),
    ],
)
@uses_shapes_only
def test_article_widths_and_attention(
    resolution: int, g_widths: tuple[int, ...], d_widths: tuple[int, ...]
) -> None:
    config = preset("article", resolution)[0]
    generator, discriminator = build_generator(config), build_discriminator(config)
    assert tuple(block[0].layer.out_channels for block in generator.blocks) == g_widths
    assert tuple(block.layer.out_channels for block in discriminator.blocks) == d_widths
    last = len(g_widths) - 1
    for network in (generator, discriminator):  # on the last two hidden maps of each
        assert list(network.attention) == [str(last - 1), str(last)]
        assert all(layer.form == "article" for layer in network.attention.values())
    assert [s.size_px for s in generator_blocks(config)] == [4 << i for i in range(last + 1)]
    assert [s.size_px for s in discriminator_blocks(config)] == [
        4 << last - i for i in range(last + 1)
    ]


@pytest.mark.parametrize(
    ("name", "resolution", "g_multiples", "d_multiples", "d_sizes"),
    [
        ("cifar", 32, (4, 4, 4, 4), (2, 2, 2, 2), (16, 8, 8, 8)),
        ("paper", 64, (16, 8, 4, 2, 1), (1, 2, 4, 8, 8), (32, 16, 8, 4, 4)),
        ("paper", 128, (16, 16, 8, 4, 2, 1), (1, 2, 4, 8, 16, 16), (64, 32, 16, 8, 4, 4)),
    ],
)
def test_resnet_widths_are_the_recipes(
    name: str,
    resolution: int,
    g_multiples: tuple[int, ...],
    d_multiples: tuple[int, ...],
    d_sizes: tuple[int, ...],
) -> None:
    config = preset(name, resolution)[0]
    generator, discriminator = generator_blocks(config), discriminator_blocks(config)
    widths = (generator[0].c_in, *(stage.c_out for stage in generator))
    assert widths == tuple(64 * m for m in g_multiples)
    assert tuple(stage.c_out for stage in discriminator) == tuple(64 * m for m in d_multiples)
    assert tuple(stage.size_px for stage in discriminator) == d_sizes


@each_network
@each_kind
def test_every_parameter_gets_gradient(which: str, kind: str) -> None:
    config = KINDS[kind]
    network = BUILDERS[which](config).double().eval()  # in training BN cancels biases before it
    open_attention(network)
    data, labels = inputs_for(which, config, 6)
    network(data.double(), labels).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        if "attention" in name and name.endswith("key.bias"):  # the softmax cancels it
            assert parameter.grad.abs().max() < 1e-12, name
        elif parameter.ndim == 2 and ("gain" in name or "norm" in name):  # each class's row
            assert (parameter.grad.abs().amax(1) > 0).all(), name
        else:
            assert parameter.grad.abs().max() > 1e-12, name


@each_network
@each_kind
def test_the_same_seed_gives_the_same_weights_and_leaves_global_draws_alone(
    which: str, kind: str
) -> None:
    before = torch.get_rng_state()
    first = BUILDERS[which](KINDS[kind], seed=5).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(7)
    again = BUILDERS[which](KINDS[kind], seed=5).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    other = BUILDERS[which](KINDS[kind], seed=6).state_dict()
    weights = [name for name in first if name.endswith("layer.weight")]
    assert weights
    assert not any(torch.equal(first[name], other[name]) for name in weights)


@each_network
@each_kind
def test_results_do_not_depend_on_the_rest_of_the_batch_in_eval_mode(which: str, kind: str) -> None:
    config = KINDS[kind]
    network = BUILDERS[which](config).double()
    open_attention(network)
    data, labels = inputs_for(which, config, 7)
    data = data.double()
    network(data, labels)  # statistics that are not the start's
    network.eval()
    whole = network(data, labels)
    for rows in ([3], [6, 0, 2]):
        part = network(data[rows], None if labels is None else labels[rows])
        torch.testing.assert_close(part, whole[rows], rtol=0, atol=1e-10)


@each_network
def test_one_hot_class_weights_equal_integer_labels(which: str) -> None:
    config = KINDS["conditional"]
    network = BUILDERS[which](config).double().eval()
    for name, parameter in network.named_parameters():
        if "gain" in name or ".bias" in name:
            nn.init.normal_(parameter)
    data, labels = inputs_for(which, config, 6)
    one_hot = nn.functional.one_hot(labels, 3).double()
    data, by_number = data.double(), network(data.double(), labels)
    torch.testing.assert_close(network(data, one_hot), by_number, rtol=0, atol=1e-10)
    assert (network(data, (labels + 1) % 3) - by_number).abs().min() > 1e-9  # classes matter


def test_the_logit_is_the_projection_of_summed_features() -> None:
    config = KINDS["conditional"]
    network = build_discriminator(config).double()
    images, labels = inputs_for("D", config)
    last: list[Tensor] = []
    network.blocks[-1].register_forward_hook(lambda _m, _i, output: last.append(output))
    logits = network(images.double(), labels)
    features = last[0].clamp(min=0).sum((2, 3))
    rows = network.embedding.normalized_weight()[labels]
    linear = network.linear
    expected = features @ linear.normalized_weight()[0] + linear.layer.bias
    expected = expected + torch.einsum("bc,bc->b", rows, features)
    torch.testing.assert_close(logits, expected, rtol=1e-12, atol=1e-12)


@each_network
def test_missing_labels_are_refused(which: str) -> None:
    config = KINDS["conditional"]
    with pytest.raises(ValueError, match=r"conditional: labels in \[0, 3\) are needed"):
        BUILDERS[which](config)(inputs_for(which, config)[0])


@each_network
@pytest.mark.parametrize("kind", ["unconditional", "article"])
def test_labels_without_classes_are_refused(which: str, kind: str) -> None:
    with pytest.raises(ValueError, match="unconditional: it takes no labels"):
        BUILDERS[which](KINDS[kind])(inputs_for(which, KINDS[kind])[0], torch.zeros(4).long())


@each_network
@pytest.mark.parametrize("shape", [(4,), (4, 2), (4, 3, 1)])
def test_class_weights_of_the_wrong_shape_are_refused(which: str, shape: tuple[int, ...]) -> None:
    config = KINDS["conditional"]
    with pytest.raises(ValueError, match="class weights must be b x 3, not"):
        BUILDERS[which](config)(inputs_for(which, config)[0], torch.ones(shape))


@each_network
def test_article_normalises_all_convolutions_but_the_last_and_attentions(which: str) -> None:
    network = BUILDERS[which](KINDS["article"])
    last = "to_image" if which == "G" else "to_logit"
    attention = {
        f"attention.{i}.{name}" for i in network.attention for name in ("query", "key", "value")
    }
    assert len(attention) == 6
    assert unnormalised(network) == {last} | attention
    spectral = [m for m in network.modules() if isinstance(m, SpectralNorm)]
    assert len(spectral) == 3
    assert all(m.dim == 0 for m in spectral)  # transposed ones too, as the quoted code does


@pytest.mark.parametrize("kind", ["conditional", "unconditional"])
def test_paper_normalises_everything_but_the_tables_of_conditional_norm(kind: str) -> None:
    generator, discriminator = build_generator(KINDS[kind]), build_discriminator(KINDS[kind])
    assert unnormalised(discriminator) == set()
    tables = {
        f"blocks.{i}.norm{j}.norm.{table}"
        for i in range(3)
        for j in (1, 2)
        for table in ("gain", "bias")
    }
    assert unnormalised(generator) == (tables if kind == "conditional" else set())


@pytest.mark.parametrize("name", PRESETS)
@each_network
@uses_shapes_only
def test_constants_of_the_norms_reach_every_layer(which: str, name: str) -> None:
    config = replace(
        preset(name, 32)[0],
        spectral_eps=1e-3,
        norm_eps=2e-3,
        norm_momentum=0.3,
        final_norm_momentum=0.4,
    )
    network = BUILDERS[which](replace(config, init="default"))
    spectral = [m for m in network.modules() if isinstance(m, SpectralNorm)]
    assert spectral
    assert all(m.eps == 1e-3 for m in spectral)
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    assert all(m.eps == 2e-3 for m in norms)
    final = [0.4] if norms and config.family == "resnet" else []
    assert [m.momentum for m in norms] == [0.3] * (len(norms) - len(final)) + final


@each_network
@pytest.mark.parametrize("init", ["xavier", "orthogonal"])
def test_initialisation_is_the_one_asked_for(which: str, init: Any) -> None:
    network = BUILDERS[which](replace(KINDS["conditional"], init=init))
    spectral = [m for m in network.modules() if isinstance(m, SpectralNorm)]
    for module in spectral:
        layer, matrix = module.layer, module.layer.weight.detach().flatten(1)
        bias = getattr(layer, "bias", None)
        assert bias is None or not bias.any()
        if init == "orthogonal":
            gram = matrix @ matrix.T if len(matrix) <= matrix.shape[1] else matrix.T @ matrix
            torch.testing.assert_close(gram, torch.eye(len(gram)), rtol=0, atol=1e-5)
        else:
            receptive = layer.weight[0, 0].numel() if layer.weight.ndim > 2 else 1
            bound = math.sqrt(6 / (receptive * sum(layer.weight.shape[:2])))
            assert 0.8 * bound < matrix.abs().max() <= bound
        # the vectors belong to these weights, not to those that the layer was made with
        largest = torch.linalg.matrix_norm(module.matrix().detach(), 2)
        assert 0.9 * largest < module.sigma() <= 1.001 * largest


@pytest.mark.parametrize(
    ("name", "resolution"),
    [
        (name, px)
        for name, (network, _) in PRESETS.items()
        for px in FAMILY_RESOLUTIONS_PX[network.family]
    ],
)
@uses_shapes_only
def test_every_preset_runs_at_every_resolution_of_its_family(name: str, resolution: int) -> None:
    config = preset(name, resolution)[0]
    if config.family == "resnet":
        config = replace(config, classes=3)
    assert config.resolution == resolution
    generator: Generator = build_generator(replace(config, init="default"))
    discriminator: Discriminator = build_discriminator(replace(config, init="default"))
    latents, labels = inputs_for("G", config, 2)
    g_attended = attended_sizes(generator, (latents, labels))
    d_attended = attended_sizes(discriminator, (inputs_for("D", config, 2)[0], labels))
    assert sorted(g_attended.values()) == sorted(config.g_attention)
    assert sorted(d_attended.values()) == sorted(config.d_attention)
    assert len(g_attended) == len(d_attended) == (2 if config.family == "dcgan" else 1)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_initialises(name: str) -> None:
    config = preset(name, FAMILY_RESOLUTIONS_PX[PRESETS[name][0].family][0])[0]
    config = replace(config, g_width=8, d_width=8)
    images = build_generator(config)(torch.randn(2, config.latent_dim))
    assert build_discriminator(config)(images).isfinite().all()


def test_an_unknown_preset_and_a_resolution_that_its_family_lacks_are_refused() -> None:
    with pytest.raises(ValueError, match=r"unknown preset 'sagan'; choose from digits, quick"):
        preset("sagan")
    with pytest.raises(ValueError, match="dcgan family has 32, 64 and 128 px, not 8"):
        preset("article", resolution=8)
    with pytest.raises(ValueError, match="resolution 48 is unknown; choose from 8, 16, 32"):
        preset("paper", resolution=48)


@each_kind
def test_bf16_does_not_round_large_logits_together(kind: str) -> None:
    config = KINDS[kind]
    discriminator = build_discriminator(config, seed=0)
    head = getattr(discriminator, "to_logit", None) or discriminator.linear.layer  # type: ignore[union-attr]
    nn.init.constant_(head.bias, 100.0)  # type: ignore[arg-type]
    images = torch.rand(32, config.channels, 32, 32) * 2 - 1
    labels = torch.arange(32) % config.classes if config.classes else None
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        logits = discriminator(images, labels)
    assert logits.dtype == torch.float32
    assert len(logits.unique()) == 32
