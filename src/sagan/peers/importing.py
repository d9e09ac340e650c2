"""Imports other implementations' files as a run.

Raw weights and spectral vectors are the files' own, so training continues from them; optimisers
start afresh.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from sagan.config import DataConfig, NetworkConfig, RunConfig, TrainingConfig
from sagan.config.channels import RESNET_D, RESNET_G
from sagan.config.presets import preset
from sagan.files import sha256_of_file
from sagan.models import build_discriminator, build_generator
from sagan.peers.recognise import PEERS, Found, Role, read_networks
from sagan.peers.tensors import State
from sagan.runs.run import Run
from sagan.runs.write_whole import check_new, write_whole

__all__ = ["PEERS", "Imported", "import_run"]

_SHARED = ("resolution", "channels", "classes")  # fields that G and D must agree on


@dataclass(frozen=True)
class Imported:
    """What an import found and made."""

    run: Run
    peer: str
    config: RunConfig
    discriminator: bool  # without one, the run cannot be trained
    averaged: bool  # whether the averaged generator was among the files
    assumed: str  # what the files do not say and was taken as published; may be empty


def import_run(
    files: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    peer: str | None = None,
) -> Imported:
    """Import another implementation's checkpoint files as a new run, wholly or not at all."""
    # files: G's and optionally D's and the averaged G's (`ema` in its name), in any order; `out`
    # must not exist yet, or be empty; `peer` None tells whose they are by the weights' names
    out = Path(out)
    if peer is not None and peer not in PEERS:
        raise ValueError(f"unknown implementation {peer!r}; choose from {', '.join(PEERS)}")
    check_new(out)
    found = [network for file in files for network in read_networks(file, peer)]
    generator, average, discriminator = _roles(found)
    config = _config(generator, average, discriminator)
    tensors = {
        "generator": _checked(generator, config.network),
        "ema": _checked(average or generator, config.network),
    }
    if discriminator is not None:
        tensors["discriminator"] = _checked(discriminator, config.network)
        tensors |= {"g_optimizer": {}, "d_optimizer": {}}
    names = [Path(file).name for file in files]
    if len(set(names)) < len(names):  # as G/model.pth and D/model.pth
        names = [str(file) for file in files]
    sums = {name: sha256_of_file(file) for name, file in zip(names, files, strict=True)}
    write_whole(out, config, tensors, {"peer": generator.peer, "files": sums})
    return Imported(
        run=Run(out),
        peer=generator.peer,
        config=config,
        discriminator=discriminator is not None,
        averaged=average is not None,
        assumed=PEERS[generator.peer].ASSUMED,
    )


def _roles(found: Sequence[Found]) -> tuple[Found, Found | None, Found | None]:
    """Sort into generator, averaged generator and discriminator; an average alone is both."""
    first = found[0]
    for other in found[1:]:
        if other.peer != first.peer:
            raise ValueError(
                f"{first.where} is of {first.peer} and {other.where} of {other.peer}: they do not "
                "belong together"
            )
    raw = _only(found, "generator", average=False)
    average = _only(found, "generator", average=True)
    discriminator = _only(found, "discriminator", average=False)
    generator = raw or average
    if generator is None:
        assert discriminator is not None
        raise ValueError(f"{discriminator.where} is a discriminator: give the generator's file too")
    for part in (average, discriminator):
        if part is not None:
            _check_together(generator, part)
    return generator, average, discriminator


def _check_together(one: Found, other: Found) -> None:
    for name in _SHARED:
        mine, its = one.part.network.get(name, 0), other.part.network.get(name, 0)
        if mine != its:
            raise ValueError(
                f"{one.where} has {name} {mine} and {other.where} {its}: they do not belong "
                "together"
            )


def _only(found: Sequence[Found], role: Role, *, average: bool) -> Found | None:
    chosen = [network for network in found if (network.role, network.average) == (role, average)]
    if len(chosen) > 1:
        hint = "; name the averaged one's file with `ema`" if role == "generator" else ""
        raise ValueError(f"{chosen[0].where} and {chosen[1].where} are both {role}s{hint}")
    return chosen[0] if chosen else None


def _config(generator: Found, average: Found | None, discriminator: Found | None) -> RunConfig:
    """Join the networks' fields with the published training settings."""
    # The generator last: both have the norms' constants, and its file may say its own.
    fields = {**(discriminator.part.network if discriminator else {}), **generator.part.network}
    try:
        network = NetworkConfig(**_with_tables(fields))
    except ValueError as error:
        raise ValueError(
            f"{generator.where} is a network that sagan cannot build: {error}"
        ) from None
    return RunConfig(
        preset=generator.peer,
        network=network,
        training=_training(generator, average, network),
        data=DataConfig(source="", class_names=tuple(str(i) for i in range(network.classes))),
    )


def _training(generator: Found, average: Found | None, network: NetworkConfig) -> TrainingConfig:
    name = "cifar" if network.resolution == 32 else PEERS[generator.peer].PRESET
    training = preset(name)[1]
    decay = training.ema_decay if average else 0.0
    return replace(training, ema_decay=decay, ema_start=0, standing_batches=0)


def _with_tables(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Shorten widths that follow the family's table to their base width, as presets have it."""
    fields = dict(fields)
    resolution = fields["resolution"]
    for letter, table in (("g", RESNET_G), ("d", {k: v[0] for k, v in RESNET_D.items()})):
        widths, multiples = fields.get(f"{letter}_channels", ()), table.get(resolution, ())
        base = widths[-1] // multiples[-1] if widths and multiples else 0
        if base and widths == tuple(m * base for m in multiples):
            fields |= {f"{letter}_channels": (), f"{letter}_width": base}
            if letter == "d" and fields["d_hidden"] == widths:
                fields["d_hidden"] = ()
    if fields.get("d_hidden") == fields.get("d_channels"):
        fields["d_hidden"] = ()
    strides = RESNET_D[resolution][1] if resolution in RESNET_D else ()
    if fields.get("d_halvings") == strides.count(2):
        fields["d_halvings"] = 0
    return fields


def _checked(found: Found, config: NetworkConfig) -> State:
    """Check the weights against the inferred network."""
    build = build_generator if found.role == "generator" else build_discriminator
    try:
        with torch.device("meta"):
            expected = build(config).state_dict()
    except ValueError as error:
        raise ValueError(f"{found.where} is a network that sagan cannot build: {error}") from None
    state = found.part.state
    for name in expected.keys() ^ state.keys():
        lacks = "has no" if name in expected else "has a"
        raise ValueError(f"{found.where} {lacks} weight for {name}, unlike its kind")
    for name, tensor in expected.items():
        if tensor.shape != state[name].shape:
            raise ValueError(
                f"{found.where}: the weight for {name} is {tuple(state[name].shape)}, where "
                f"{tuple(tensor.shape)} belongs"
            )
    return state
