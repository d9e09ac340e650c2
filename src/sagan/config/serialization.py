"""Configurations as plain JSON types, and what differs between two of them."""

import dataclasses
from collections.abc import Mapping
from typing import Any, get_args, get_type_hints

from sagan.config.checks import require
from sagan.config.network import NetworkConfig
from sagan.config.run_config import DataConfig, GrowthStage, InitConfig, RunConfig, TrainingConfig


def to_dict(config: Any) -> Any:
    """Turn a configuration into plain JSON types.

    Example:
        >>> to_dict(DataConfig(class_names=("cat", "dog")))["class_names"]
        ['cat', 'dog']
    """
    if dataclasses.is_dataclass(config):
        return {f.name: to_dict(getattr(config, f.name)) for f in dataclasses.fields(config)}
    return [to_dict(item) for item in config] if isinstance(config, tuple) else config


def run_config_from_dict(values: Mapping[str, Any]) -> RunConfig:
    """Read a `RunConfig` back from JSON types; ValueError if a field is unknown or of a wrong type.

    Example:
        >>> run_config_from_dict(to_dict(RunConfig())) == RunConfig()
        True
    """
    require(isinstance(values, Mapping), f"a configuration must be an object, not {values!r}")
    sections = {
        "network": NetworkConfig,
        "training": TrainingConfig,
        "data": DataConfig,
        "init": InitConfig,
    }
    unknown = set(values) - {"preset", "growth", *sections}
    require(not unknown, f"unknown configuration section: {', '.join(sorted(unknown))}")
    built = {name: _section(cls, values.get(name, {}), name) for name, cls in sections.items()}
    name = values.get("preset", "")
    require(isinstance(name, str), f"preset must be a string, not {name!r}")
    growth = values.get("growth", [])
    require(isinstance(growth, list | tuple), f"growth must be a list, not {growth!r}")
    stages = tuple(_section(GrowthStage, stage, f"growth[{i}]") for i, stage in enumerate(growth))
    return RunConfig(preset=name, **built, growth=stages)


def _section(cls: type, values: Any, name: str) -> Any:
    require(isinstance(values, Mapping), f"configuration section {name} is not an object")
    fields = {f.name: f for f in dataclasses.fields(cls)}
    types = get_type_hints(cls)
    unknown = set(values) - set(fields)
    require(not unknown, f"unknown configuration in {name}: {', '.join(sorted(unknown))}")
    needed = [key for key, f in fields.items() if f.default is dataclasses.MISSING]
    missing = [key for key in needed if key not in values]
    require(not missing, f"{name} lacks {', '.join(missing)}")
    arguments: dict[str, Any] = {"rules": 1} if cls is DataConfig and values else {}
    for key, value in values.items():
        default = fields[key].default
        expected: Any = types[key] if default is dataclasses.MISSING else type(default)
        if expected is tuple and isinstance(value, list | tuple):
            items, _ = get_args(types[key])  # of `tuple[int, ...]`
            require(
                all(type(item) is items for item in value),
                f"{name}.{key} must be a list of {items.__name__}, not {value!r}",
            )
            value = tuple(value)
        elif expected is float and type(value) is int and abs(value) < 2**53:
            value = float(value)
        require(
            type(value) is expected,
            f"{name}.{key} must be {expected.__name__}, not {type(value).__name__} {value!r}",
        )
        arguments[key] = value
    return cls(**arguments)


def differences(old: RunConfig, new: RunConfig) -> list[str]:
    """List the fields in which two configurations differ, as `training.seed: 0 -> 1`.

    Example:
        >>> differences(RunConfig(), RunConfig(training=TrainingConfig(seed=1)))
        ['training.seed: 0 -> 1']
    """
    before, after = _flat(to_dict(old)), _flat(to_dict(new))
    return [
        f"{key}: {before.get(key)} -> {after.get(key)}"
        for key in sorted(before | after)
        if before.get(key) != after.get(key)
    ]


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, list) and value and isinstance(value[0], Mapping):
            value = {str(i): item for i, item in enumerate(value)}
        flat |= (
            _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {prefix + key: value}
        )
    return flat
