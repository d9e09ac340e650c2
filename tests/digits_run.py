"""Shared by tests of training: a configuration on the digits, and what a run leaves behind."""

import dataclasses
import hashlib

from sagan.config import DataConfig, NetworkConfig, RunConfig
from sagan.runs.log import read_records
from sagan.runs.run import Run

SMALL = NetworkConfig(  # as small as attention in both networks allows
    resolution=8,
    channels=1,
    classes=10,
    latent_dim=8,
    g_width=4,
    d_width=8,
    g_attention=(8,),
    d_attention=(8,),
)
CLOCK = {"time", "elapsed", "images_per_sec"}  # fields of log records that depend on it


def configure(network, training, **changes):
    """A run configuration on the digits, with changes to its training."""
    return RunConfig(
        network=network,
        training=dataclasses.replace(training, **changes),
        data=DataConfig(class_names=tuple("0123456789") if network.classes else ()),
    )


def fingerprint(path):
    """The SHA-256 of every tensor file of the newest checkpoint."""
    folder = Run(path).pointed_to("latest")
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.glob("*.safetensors"))
    }


def stable_log(path):
    """The log without what depends on the clock or on where a run was interrupted."""
    records = [r for r in read_records(Run(path).log_path) if r["kind"] != "start"]
    return [{k: v for k, v in r.items() if k not in CLOCK} for r in records]
