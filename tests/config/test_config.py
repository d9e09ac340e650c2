import dataclasses
import json
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagan.config import (
    READING_RULES,
    RESOLUTIONS_PX,
    AttentionForm,
    AugmentKind,
    DataConfig,
    Family,
    Init,
    Loss,
    NetworkConfig,
    Precision,
    RunConfig,
    Runtime,
    TrainingConfig,
    differences,
    run_config_from_dict,
    to_dict,
)

SECTIONS: dict[str, type] = {
    "network": NetworkConfig,
    "training": TrainingConfig,
    "data": DataConfig,
}

counts = st.integers(1, 10**9)
positive = st.floats(1e-12, 1e3)
shares = st.floats(0, 1, exclude_max=True)
small = st.floats(1e-12, 0.5)
sizes = st.lists(st.sampled_from([4, 8, 16, 32, 64]), max_size=4).map(tuple)


@st.composite
def networks(draw: st.DrawFn) -> NetworkConfig:
    family = draw(st.sampled_from(get_args(Family)))
    dcgan = family == "dcgan"
    return NetworkConfig(
        family=family,
        resolution=draw(st.sampled_from((32, 64, 128) if dcgan else RESOLUTIONS_PX)),
        channels=draw(st.sampled_from((1, 3, 4))),
        classes=0 if dcgan else draw(st.integers(0, 1000)),
        latent_dim=draw(st.integers(1, 1 << 20)),
        g_width=draw(st.integers(1, 1 << 14)),
        d_width=draw(st.integers(1, 1 << 14)),
        g_attention=draw(sizes),
        d_attention=draw(sizes),
        attention_form=draw(st.sampled_from(get_args(AttentionForm))),
        init=draw(st.sampled_from(get_args(Init))),
        spectral_eps=draw(small),
        norm_eps=draw(small),
        norm_momentum=draw(small),
        final_norm_momentum=draw(small),
    )


@st.composite
def trainings(draw: st.DrawFn) -> TrainingConfig:
    accumulate = draw(st.integers(1, 16))
    return TrainingConfig(
        images=draw(counts),
        batch_size=accumulate * draw(st.integers(1, 1000)),
        loss=draw(st.sampled_from(get_args(Loss))),
        gradient_penalty=draw(positive),
        g_lr=draw(positive),
        d_lr=draw(positive),
        beta1=draw(shares),
        beta2=draw(shares),
        d_steps=draw(st.integers(1, 1000)),
        accumulate=accumulate,
        ema_decay=draw(shares),
        ema_start=draw(st.integers(0, 10**9)),
        precision=draw(st.sampled_from(get_args(Precision))),
        standing_batches=draw(st.integers(0, 1000)),
        fake_labels=draw(st.sampled_from(("uniform", "data"))),
        augment=tuple(draw(st.sets(st.sampled_from(get_args(AugmentKind))))),
        augment_p=draw(st.floats(0, 1)),
        augment_ramp=draw(counts),
        mirror=draw(st.booleans()),
        seed=draw(st.integers(0, 1 << 62)),
        log_every=draw(counts),
        snapshot_every=draw(counts),
        keep=draw(counts),
    )


runs = st.builds(
    RunConfig,
    preset=st.text(),
    network=networks(),
    training=trainings(),
    data=st.builds(DataConfig, source=st.text(), class_names=st.lists(st.text()).map(tuple)),
)


@given(runs)
def test_every_valid_configuration_survives_json(config: RunConfig) -> None:
    text = json.dumps(to_dict(config), allow_nan=False)
    assert run_config_from_dict(json.loads(text)) == config
    assert differences(config, run_config_from_dict(json.loads(text))) == []


@given(runs, runs)
def test_differences_are_empty_exactly_for_equal_configurations(a: RunConfig, b: RunConfig) -> None:
    assert (differences(a, b) == []) == (a == b)


def test_differences_name_each_changed_field_with_both_values() -> None:
    old = RunConfig()
    new = RunConfig(
        preset="paper",
        network=NetworkConfig(g_attention=(16, 8)),
        training=TrainingConfig(seed=3),
        data=DataConfig(class_names=("cat",)),
    )
    assert differences(old, new) == [
        "data.class_names: [] -> ['cat']",
        "network.g_attention: [] -> [8, 16]",
        "preset: digits -> paper",
        "training.seed: 0 -> 3",
    ]


def test_missing_fields_take_their_defaults() -> None:
    assert run_config_from_dict({"preset": "digits"}) == RunConfig()
    assert run_config_from_dict({"training": {"seed": 4}}).training == TrainingConfig(seed=4)


def test_attention_sizes_are_sorted_and_unique() -> None:
    assert NetworkConfig(g_attention=(32, 8, 32)).g_attention == (8, 32)


INVALID: list[tuple[type, dict[str, Any], str]] = [
    (NetworkConfig, {"family": "biggan"}, "resnet, dcgan"),
    (NetworkConfig, {"resolution": 48}, "8, 16, 32, 64, 128, 256"),
    (NetworkConfig, {"resolution": 512}, "8, 16, 32, 64, 128, 256"),
    (NetworkConfig, {"channels": 2}, "1, 3, 4"),
    (NetworkConfig, {"attention_form": "both"}, "article, paper"),
    (NetworkConfig, {"init": "zeros"}, "xavier, orthogonal, default"),
    (NetworkConfig, {"classes": -1}, "0 or more"),
    (NetworkConfig, {"latent_dim": 0}, "at least 1"),
    (NetworkConfig, {"g_width": 0}, "at least 1"),
    (NetworkConfig, {"d_width": -3}, "at least 1"),
    (NetworkConfig, {"family": "dcgan", "classes": 10}, "unconditional"),
    (NetworkConfig, {"family": "dcgan", "resolution": 16}, "32, 64 and 128"),
    (NetworkConfig, {"family": "dcgan", "resolution": 256}, "32, 64 and 128"),
    (TrainingConfig, {"loss": "lsgan"}, "hinge, wgan-gp, non-saturating"),
    (TrainingConfig, {"precision": "fp16"}, "float32, tf32, bf16, auto"),
    (TrainingConfig, {"fake_labels": "real"}, "uniform, data"),
    *(
        (TrainingConfig, {name: value}, "at least 1")
        for name in (
            "images",
            "batch_size",
            "d_steps",
            "accumulate",
            "log_every",
            "snapshot_every",
            "keep",
        )
        for value in (0, -1)
    ),
    (TrainingConfig, {"seed": -1}, "0 or more"),
    *(
        (TrainingConfig, {name: value}, "positive")
        for name in ("g_lr", "d_lr")
        for value in (0.0, -1e-4, float("inf"), float("nan"))
    ),
    *(
        (TrainingConfig, {name: value}, r"in \[0, 1\)")
        for name in ("beta1", "beta2", "ema_decay")
        for value in (1.0, -0.1, float("nan"))
    ),
    (TrainingConfig, {"batch_size": 64, "accumulate": 3}, "does not divide into 3"),
    (Runtime, {"device": "tpu"}, "auto, cpu, cuda, mps"),
    (Runtime, {"devices": 0}, "at least 1"),
]


@pytest.mark.parametrize(
    ("cls", "values", "what_would_do"),
    INVALID,
    ids=["-".join(f"{name}={value}" for name, value in values.items()) for _, values, _ in INVALID],
)
def test_an_invalid_value_is_refused_and_the_message_names_it(
    cls: type, values: dict[str, Any], what_would_do: str
) -> None:
    with pytest.raises(ValueError, match=what_would_do) as error:
        cls(**values)
    names = ["attention form" if name == "attention_form" else name for name in values]
    assert any(name in str(error.value) for name in names)
    assert str(list(values.values())[-1]) in str(error.value)


ACCEPTED = {int: (int,), float: (int, float), str: (str,), tuple: (list,), bool: (bool,)}
WRONG_TYPES = [
    (section, field.name, type(field.default), value)
    for section, cls in SECTIONS.items()
    for field in dataclasses.fields(cls)
    for value in (None, True, {}, "text", 1.5, [], 3)
    if type(value) not in ACCEPTED[type(field.default)]
]


@pytest.mark.parametrize(("section", "name", "expected", "value"), WRONG_TYPES)
def test_a_value_of_the_wrong_type_is_refused_by_its_name(
    section: str, name: str, expected: type, value: Any
) -> None:
    message = f"^{section}.{name} must be {expected.__name__}, not {type(value).__name__} "
    with pytest.raises(ValueError, match=message):
        run_config_from_dict({section: {name: value}})


def test_a_whole_number_is_taken_for_a_float() -> None:
    beta1 = run_config_from_dict({"training": {"beta1": 0}}).training.beta1
    assert type(beta1) is float
    assert beta1 == 0


@pytest.mark.parametrize(
    ("section", "name", "value"),
    [
        *(
            (section, field.name, [None])
            for section, cls in SECTIONS.items()
            for field in dataclasses.fields(cls)
            if field.default == ()
        ),
        ("network", "g_attention", [8, "16"]),
        ("network", "g_attention", [[8]]),
        ("network", "d_attention", [True]),
        ("network", "d_attention", [8.5]),
        ("training", "augment", [1]),
        ("data", "class_names", [1]),
    ],
)
def test_an_item_of_the_wrong_type_is_refused_by_its_lists_name(
    section: str, name: str, value: list[Any]
) -> None:
    with pytest.raises(ValueError, match=f"{section}.{name}"):
        run_config_from_dict({section: {name: value}})


@pytest.mark.parametrize("section", SECTIONS)
def test_an_unknown_field_is_refused_by_its_name(section: str) -> None:
    with pytest.raises(ValueError, match=f"unknown configuration in {section}: colour"):
        run_config_from_dict({section: {"colour": 1}})


def test_an_unknown_section_is_refused_by_its_name() -> None:
    with pytest.raises(ValueError, match="unknown configuration section: runtime"):
        run_config_from_dict({"runtime": {}})


@pytest.mark.parametrize("section", SECTIONS)
@pytest.mark.parametrize("value", [None, 3, [], "text"])
def test_a_section_that_is_no_object_is_refused_by_its_name(section: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"section {section} is not an object"):
        run_config_from_dict({section: value})


@pytest.mark.parametrize("values", [None, 3, [1], "text"])
def test_a_configuration_that_is_no_object_is_refused(values: Any) -> None:
    with pytest.raises(ValueError, match="configuration"):
        run_config_from_dict(values)


@pytest.mark.parametrize("cls", [*SECTIONS.values(), RunConfig, Runtime])
def test_configurations_are_frozen_and_keyword_only(cls: type) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(cls(), dataclasses.fields(cls)[0].name, 0)
    with pytest.raises(TypeError):
        cls("positional")


def test_reading_rules_are_the_newest_unless_a_file_is_older_than_their_field() -> None:
    assert DataConfig().rules == READING_RULES == 3
    assert run_config_from_dict({"data": {"source": "pictures"}}).data.rules == 1
    with pytest.raises(ValueError, match="reading rules 4 are of a newer sagan"):
        run_config_from_dict({"data": {"rules": 4}})
