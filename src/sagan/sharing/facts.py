"""What a model says of itself where it is passed on: in a file's strings, or in `config.json`.

`config.json` holds the network's fields at its top, as the mixin of huggingface_hub writes them and
reads them back, and all that is not the network's under `sagan`. No torch here.
"""

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sagan.config import RunConfig, run_config_from_dict, to_dict
from sagan.version import __version__

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
CARD_FILE = "README.md"
PICTURE_FILE = "samples.png"
MOST_CONFIG_BYTES = 2**22  # the names of a hundred thousand classes


@dataclass(frozen=True)
class Facts:
    """Where a generator comes from.

    Args:
        config: of the run that trained it.
        step: generator steps taken.
        weights: `ema` or `raw`; empty where it is not known.
    """

    config: RunConfig
    step: int
    weights: str

    @property
    def class_names(self) -> tuple[str, ...]:
        """In label order; none of an unconditional network."""
        return self.config.data.class_names if self.config.network.classes else ()

    @property
    def averaged(self) -> bool:
        """Whether the weights are an average over steps, rather than those of the last one."""
        training = self.config.training
        if self.weights != "ema" or not training.ema_decay:
            return False
        averaged_from = math.ceil(training.ema_start / (training.batch_size * training.d_steps))
        return self.step == 0 or self.step > averaged_from  # an imported average is of step 0

    def to_strings(self) -> dict[str, str]:
        """Give keys and strings; the class names, in label order, stand apart to be found easily.

        Example:
            >>> sorted(Facts(RunConfig(), 7, "ema").to_strings())
            ['class_names', 'sagan.config', 'sagan.step', 'sagan.version', 'sagan.weights']
        """
        return {
            "class_names": json.dumps(self.class_names),
            "sagan.config": json.dumps(to_dict(self.config), sort_keys=True),
            "sagan.step": str(self.step),
            "sagan.version": __version__,
            "sagan.weights": self.weights,
        }

    def to_config(self) -> bytes:
        """Give the content of `config.json`.

        Example:
            >>> facts = Facts(RunConfig(), 7, "ema")
            >>> read_config(facts.to_config(), "config.json") == facts
            True
        """
        rest = to_dict(self.config)
        network = rest.pop("network")
        own: dict[str, Any] = {"version": __version__}
        if self.weights:  # else nobody knows where they are from
            own |= {"step": self.step, "weights": self.weights, **rest}
        return json.dumps({**network, "sagan": own}, indent=2).encode() + b"\n"

    def published(self) -> "Facts":
        """Without what is only this machine's: of a path, its last name is kept.

        Example:
            >>> from sagan.config import DataConfig
            >>> config = RunConfig(data=DataConfig(source="/home/me/pets"))
            >>> Facts(config, 7, "ema").published().config.data.source
            'pets'
        """
        sections: dict[str, Any] = {}
        for name, section in vars(self.config).items():
            if dataclasses.is_dataclass(section) and name != "network":  # which names no files
                texts = {k: last_name(v) for k, v in vars(section).items() if isinstance(v, str)}
                sections[name] = replace(section, **texts)  # type: ignore[type-var]
        return replace(self, config=replace(self.config, **sections))


def last_name(source: str) -> str:
    """Keep the last name of a path; a data set of the hub has none, and stays.

    Example:
        >>> last_name("/home/me/pets/"), last_name(r"C:\\data\\pets"), last_name("hub:me/pets")
        ('pets', 'pets', 'hub:me/pets')
    """
    if source.startswith("hub:"):
        return source
    return source.replace("\\", "/").rstrip("/").rpartition("/")[2]


def read_facts(strings: Mapping[str, str], where: object) -> Facts:
    """Read them from a file's strings.

    Raises:
        ValueError: they are missing or not what this version writes.

    Example:
        >>> facts = Facts(RunConfig(), 7, "ema")
        >>> read_facts(facts.to_strings(), "model.onnx") == facts
        True
    """
    if "sagan.config" not in strings:
        raise ValueError(f"{where} was not written by sagan export: it holds no sagan.config")
    try:
        config = run_config_from_dict(json.loads(strings["sagan.config"]))
        return Facts(config, int(strings["sagan.step"]), strings["sagan.weights"])
    except (KeyError, ValueError) as error:
        raise ValueError(f"{where} holds a configuration that cannot be read: {error}") from None


def read_config(content: bytes, where: object) -> Facts:
    """Read a `config.json`; the mixin's own has the network alone, and its classes get numbers.

    Args:
        content: the file's.
        where: its name, for messages.

    Raises:
        ValueError: it is not JSON, or not the configuration of a network of ours.
    """
    values = parse_config(content, where)
    if "family" not in values:
        raise ValueError(f"{where} is not of a network of sagan's: {_kind_of(values)}")
    own = values.pop("sagan", {})
    if not isinstance(own, dict):
        raise ValueError(f"{where} cannot be read: sagan must be an object, not {own!r}")
    own.setdefault("data", {"source": ""})
    version, step, weights = own.pop("version", ""), own.pop("step", 0), own.pop("weights", "")
    try:
        if type(step) is not int or weights not in ("ema", "raw", ""):
            raise ValueError(f"step {step!r} and weights {weights!r}")
        config = run_config_from_dict({**own, "network": values})
        return Facts(_with_class_names(config), step, weights)
    except ValueError as error:
        by = f" (written by sagan {version}, read by {__version__})" if version else ""
        raise ValueError(f"{where} cannot be read{by}: {error}") from None


def parse_config(content: bytes, where: object) -> dict[str, Any]:
    """Read a JSON object, of whatever program.

    Raises:
        ValueError: it is none.
    """
    try:
        values = json.loads(content)
    except (ValueError, RecursionError):
        raise ValueError(f"{where} is not JSON") from None
    if not isinstance(values, dict):
        raise ValueError(f"{where} must be an object, not a {type(values).__name__}")
    return values


def _with_class_names(config: RunConfig) -> RunConfig:
    names, classes = config.data.class_names, config.network.classes
    if names and classes and len(names) != classes:
        raise ValueError(f"there are {len(names)} class names for {classes} classes")
    if names or not classes:
        return config
    numbers = tuple(str(label) for label in range(classes))
    return replace(config, data=replace(config.data, class_names=numbers))


def _kind_of(values: Mapping[str, Any]) -> str:
    """Whose configuration it is instead, as far as it tells."""
    if "network" in values:
        return "it is that of a run"
    if "_class_name" in values:
        return f"it is that of diffusers' {values['_class_name']}"
    if "model_type" in values or "architectures" in values:
        return f"it is that of transformers' {values.get('model_type') or values['architectures']}"
    return f"it has {', '.join(sorted(values)[:5]) or 'nothing'} in it, and no family"


def is_shared_folder(path: Path) -> bool:
    """Whether a folder holds a model to be passed on, ours or another's, rather than a run."""
    if (path / "checkpoints").is_dir() or (path / "manifest.json").is_file():
        return False
    if (path / WEIGHTS_FILE).is_file():
        return True
    try:
        with open(path / CONFIG_FILE, "rb") as file:
            return "network" not in parse_config(file.read(MOST_CONFIG_BYTES), path)
    except (OSError, ValueError):
        return False
