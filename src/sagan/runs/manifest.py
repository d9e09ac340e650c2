"""What a checkpoint's manifest holds, checked once, so that nothing after needs to doubt it."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from sagan.config import run_config_from_dict

_FILE = re.compile(r"\w+\.safetensors", re.ASCII)
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
_MOST = 2**53  # of a step, of images and of bytes


def why_not_sound(manifest: Mapping[str, Any]) -> str:
    """What a manifest's values cannot be; empty if they are what is written.

    ValueError if its configuration cannot be read, as that of a newer version.

    Example:
        >>> why_not_sound({"step": 1, "config": {}, "files": {}}), why_not_sound({"step": -1})
        ('', 'step is -1')
    """
    for name, is_sound in _FIELDS.items():
        optional = name not in ("step", "config", "files")
        if not (optional and name not in manifest) and not is_sound(manifest.get(name)):
            return f"{name} is {manifest.get(name)!r:.60}"
    config = run_config_from_dict(manifest["config"])
    stage = manifest.get("stage", 0)
    return "" if stage <= len(config.growth) else f"stage is {stage} of {len(config.growth) + 1}"


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < _MOST


def _is_number(value: Any) -> bool:
    return type(value) is float or (type(value) is int and abs(value) < _MOST)


def _are_files(value: Any) -> bool:
    return isinstance(value, dict) and all(
        _FILE.fullmatch(name)
        and isinstance(facts, dict)
        and _is_count(facts.get("bytes"))
        and isinstance(facts.get("sha256"), str)
        and _SHA256.fullmatch(facts["sha256"])
        for name, facts in value.items()
    )


def _is_score(value: Any) -> bool:
    return value is None or (
        isinstance(value, dict)
        and isinstance(value.get("metric"), str)
        and "value" in value
        and (value["value"] is None or _is_number(value["value"]))
    )


def _is_imported(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("peer"), str)


def _is_augmentation(value: Any) -> bool:
    return isinstance(value, dict) and _is_number(value.get("p")) and 0 <= value["p"] <= 1


def _are_plans(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(plan, dict)
        and _is_number(plan.get("elapsed"))
        and all(
            isinstance(plan.get(key), list) and plan[key] and all(map(_is_number, plan[key]))
            for key in ("rates", "ends")
        )
        for plan in value
    )


_FIELDS: dict[str, Callable[[Any], object]] = {
    "step": _is_count,
    "config": lambda value: isinstance(value, dict),
    "files": _are_files,
    "stage": _is_count,
    "images": _is_count,
    "retry": _is_count,
    "run": lambda value: isinstance(value, str),
    "alarms": lambda value: isinstance(value, list) and all(isinstance(v, str) for v in value),
    "score": _is_score,
    "score_due": lambda value: type(value) is bool,
    "log_sums": lambda value: isinstance(value, dict) and all(map(_is_number, value.values())),
    "augmentation": _is_augmentation,
    "imported": _is_imported,
    "plan": _are_plans,
}
