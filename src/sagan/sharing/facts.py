"""Metadata stored with an exported generator: in a file's strings, or in `config.json`.

`config.json` has the network's fields at its top level, as huggingface_hub's mixin writes and reads
them, and everything else under `sagan`. Needs no torch.
"""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sagan.config import RunConfig, run_config_from_dict, to_dict
from sagan.config.growth import images_at, stages_of
from sagan.files import parse_json
from sagan.version import __version__

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
CARD_FILE = "README.md"
PICTURE_FILE = "samples.png"
MAX_CONFIG_BYTES = 2**22  # the names of a hundred thousand classes


@dataclass(frozen=True)
class Facts:
    """Where a generator comes from.

    Example:
        >>> facts = Facts(RunConfig(), 7, "ema")
        >>> Facts.from_strings(facts.to_strings(), "model.onnx") == facts
        True
        >>> Facts.from_config(facts.to_config(), "config.json") == facts
        True
    """

    config: RunConfig  # of the run that trained it
    step: int  # generator steps taken
    weights: str  # `ema` or `raw`; empty if unknown

    @property
    def class_names(self) -> tuple[str, ...]:
        """In label order; empty for an unconditional network."""
        return self.config.data.class_names if self.config.network.classes else ()

    @property
    def averaged(self) -> bool:
        """Whether the weights are an average over steps rather than those of the last one."""
        training = self.config.training
        if self.weights != "ema" or not training.ema_decay:
            return False
        if self.step == 0:  # an imported average
            return True
        before_last = images_at(stages_of(self.config), self.step - 1)
        return before_last >= training.ema_start

    def to_strings(self) -> dict[str, str]:
        """Give what a file's metadata holds; class names get a key of their own, easy to find."""
        return {
            "class_names": json.dumps(self.class_names),
            "sagan.config": json.dumps(to_dict(self.config), sort_keys=True),
            "sagan.step": str(self.step),
            "sagan.version": __version__,
            "sagan.weights": self.weights,
        }

    @classmethod
    def from_strings(cls, strings: Mapping[str, str], where: object) -> "Facts":
        """Read them back; `where` names the file in errors."""
        if "sagan.config" not in strings:
            raise ValueError(f"{where} was not written by sagan export: it has no sagan.config")
        try:
            config = run_config_from_dict(parse_json(strings["sagan.config"]))
            return cls(config, int(strings["sagan.step"]), strings["sagan.weights"])
        except (KeyError, ValueError) as error:
            raise ValueError(f"{where} has a configuration that cannot be read: {error}") from None

    def to_config(self) -> bytes:
        """Give the content of `config.json`."""
        rest = to_dict(self.config)
        network = rest.pop("network")
        own: dict[str, Any] = {"version": __version__}
        if self.weights:  # otherwise the training is unknown
            own |= {"step": self.step, "weights": self.weights, **rest}
        return json.dumps({**network, "sagan": own}, indent=2).encode() + b"\n"

    @classmethod
    def from_config(cls, content: bytes, where: object) -> "Facts":
        """Read a `config.json`; the mixin's own has the network alone, and classes get numbers."""
        values = parse_config(content, where)
        if "family" not in values:
            raise ValueError(f"{where} is not of a sagan network: {_describe(values)}")
        own = values.pop("sagan", {})
        if not isinstance(own, dict):
            raise ValueError(f"{where} cannot be read: sagan must be an object, not {own!r}")
        own.setdefault("data", {"source": ""})
        version, step, weights = own.pop("version", ""), own.pop("step", 0), own.pop("weights", "")
        try:
            if type(step) is not int or weights not in ("ema", "raw", ""):
                raise ValueError(f"step {step!r} and weights {weights!r}")
            config = run_config_from_dict({**own, "network": values})
            return cls(_with_class_names(config), step, weights)
        except ValueError as error:
            by = f" (written by sagan {version}, read by {__version__})" if version else ""
            raise ValueError(f"{where} cannot be read{by}: {error}") from None

    def published(self) -> "Facts":
        """Copy them without what is private: of a path, only the last name is kept."""
        sections: dict[str, Any] = {}
        for name, section in vars(self.config).items():
            if dataclasses.is_dataclass(section) and name != "network":  # which names no files
                texts = {k: last_name(v) for k, v in vars(section).items() if isinstance(v, str)}
                sections[name] = replace(section, **texts)  # type: ignore[type-var]
        return replace(self, config=replace(self.config, **sections))


def last_name(source: str) -> str:
    """Keep the last name of a path; a data set of the hub keeps its whole name.

    Example:
        >>> last_name("/home/me/pets/"), last_name(r"C:\\data\\pets"), last_name("hub:me/pets")
        ('pets', 'pets', 'hub:me/pets')
    """
    if source.startswith("hub:"):
        return source
    return source.replace("\\", "/").rstrip("/").rpartition("/")[2]


def parse_config(content: bytes, where: object) -> dict[str, Any]:
    """Parse any program's `config.json`, which must be an object."""
    try:
        values = parse_json(content)
    except ValueError:
        raise ValueError(f"{where} is not JSON") from None
    if not isinstance(values, dict):
        raise ValueError(f"{where} must be an object, not a {type(values).__name__}")
    return values


def _with_class_names(config: RunConfig) -> RunConfig:
    names, classes = config.data.class_names, config.network.classes
    if names and classes and len(names) != classes:
        raise ValueError(f"{len(names)} class names for {classes} classes")
    if names or not classes:
        return config
    numbers = tuple(str(label) for label in range(classes))
    return replace(config, data=replace(config.data, class_names=numbers))


def _describe(values: Mapping[str, Any]) -> str:
    """Say whose configuration this is instead, as far as it tells."""
    if "network" in values:
        return "it is that of a run"
    if "_class_name" in values:
        return f"it is that of diffusers' {values['_class_name']}"
    if "model_type" in values or "architectures" in values:
        return f"it is that of transformers' {values.get('model_type') or values['architectures']}"
    return f"it has {', '.join(sorted(values)[:5]) or 'nothing'} in it, and no family"


def read_folder_config(folder: Path) -> dict[str, Any] | None:
    """Read any program's `config.json` in a folder; None if there is none that can be read."""
    try:
        with open(folder / CONFIG_FILE, "rb") as file:
            return parse_config(file.read(MAX_CONFIG_BYTES), folder)
    except (OSError, ValueError):
        return None


def is_shared_folder(path: Path) -> bool:
    """Whether a folder holds an exported model, ours or another program's, rather than a run."""
    if (path / "checkpoints").is_dir() or (path / "manifest.json").is_file():
        return False
    if (path / WEIGHTS_FILE).is_file():
        return True
    config = read_folder_config(path)
    return config is not None and "network" not in config
