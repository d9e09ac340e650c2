"""What a model file of this program says of itself, in strings that any reader can show."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from sagan import __version__
from sagan.checkpoint import Checkpoint
from sagan.config import RunConfig, run_config_from_dict, to_dict


@dataclass(frozen=True)
class Facts:
    """Where a generator comes from.

    Args:
        config: of the run that trained it.
        step: generator steps taken.
        weights: `ema` or `raw`.
    """

    config: RunConfig
    step: int
    weights: str

    def to_strings(self) -> dict[str, str]:
        """Give keys and strings; the class names, in label order, stand apart to be found easily.

        Example:
            >>> sorted(Facts(RunConfig(), 7, "ema").to_strings())
            ['class_names', 'sagan.config', 'sagan.step', 'sagan.version', 'sagan.weights']
        """
        classes = self.config.data.class_names if self.config.network.classes else ()
        return {
            "class_names": json.dumps(classes),
            "sagan.config": json.dumps(to_dict(self.config), sort_keys=True),
            "sagan.step": str(self.step),
            "sagan.version": __version__,
            "sagan.weights": self.weights,
        }


def facts_of(checkpoint: Checkpoint, weights: str) -> Facts:
    """What there is to say of one of a checkpoint's generators."""
    return Facts(checkpoint.config, checkpoint.step, weights)


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
