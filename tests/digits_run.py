"""What the tests of training share: a configuration on the digits, and what a run left behind."""

import dataclasses
import hashlib

from sagan.config import DataConfig, RunConfig
from sagan.runs.log import read_records
from sagan.runs.run import Run

CLOCK = {"time", "elapsed", "images_per_sec"}  # the fields of log records that it decides


def configure(network, training, **changes):
    """Join a network and its training, with some of the latter changed, for the digits."""
    return RunConfig(
        network=network,
        training=dataclasses.replace(training, **changes),
        data=DataConfig(class_names=tuple("0123456789") if network.classes else ()),
    )


def fingerprint(path):
    """The SHA-256 of every file of the newest checkpoint."""
    folder = Run(path).pointed_to("latest")
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.glob("*.safetensors"))
    }


def stable_log(path):
    """The log without what depends on the clock or on where a run was cut."""
    records = [r for r in read_records(Run(path).log_path) if r["kind"] != "start"]
    return [{k: v for k, v in r.items() if k not in CLOCK} for r in records]
