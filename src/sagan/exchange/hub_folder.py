"""A generator as a folder that model hubs know: `config.json`, `model.safetensors`, `README.md`."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from sagan.exchange.run_card import full_card
from sagan.exchange.safetensors_file import generator_of, read_tensors
from sagan.files import write_together
from sagan.models import Generator
from sagan.runs.open_run import load_run_generator
from sagan.runs.run import find_checkpoint
from sagan.sharing import hub
from sagan.sharing.facts import (
    CARD_FILE,
    CONFIG_FILE,
    MOST_CONFIG_BYTES,
    PICTURE_FILE,
    WEIGHTS_FILE,
    Facts,
    read_config,
)
from sagan.sharing.mixin import check_folder

_PICKLES = (".bin", ".pt", ".pth", ".pkl", ".ckpt")


def export_folder(
    run: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    weights: Literal["ema", "raw"] = "ema",
    address: str | None = None,
) -> list[str]:
    """Write a run's generator as `save_pretrained` does, with the full card and a grid of samples.

    A card that is there already stays: its owner may have added to it. So do other files.

    Args:
        run: a run's folder, or one of its checkpoints'.
        out: the folder.
        weights: the averaged ones, or the raw.
        address: that the card tells people to open; None takes the folder's name.

    Returns:
        The names of the files that were written.

    Raises:
        ValueError: there is no run, or the folder is one.
        CheckpointError: it is damaged, or has no such weights.
        OSError: they cannot be written; what was there is unchanged.
    """
    checkpoint, folder = find_checkpoint(run), Path(out)
    check_folder(folder)
    contents = load_run_generator(checkpoint.path, weights=weights).pretrained_files()
    card = full_card(
        checkpoint,
        title=hub.parse(address).name if address else None,
        address=address or folder.resolve().name,
        picture=PICTURE_FILE,
        weights=weights,
    )
    contents[PICTURE_FILE] = card.picture
    if not (folder / CARD_FILE).exists():
        contents[CARD_FILE] = card.text
    write_together(folder, contents)
    return sorted(contents)


def open_folder(path: Path) -> tuple[Generator, Facts]:
    """Open such a folder: its generator, in eval mode on the CPU, and where it comes from.

    Raises:
        ValueError: it holds something else, or is damaged.
        OSError: it cannot be read.
    """
    config, weights = path / CONFIG_FILE, path / WEIGHTS_FILE
    for file in (config, weights):
        if not file.is_file():
            raise ValueError(_not_one(path, file.name, [p.name for p in path.iterdir()]))
    facts = _read_config(config, config)
    return generator_of(facts, read_tensors(weights, weights)[1], weights), facts


def open_hub(address: hub.Address) -> tuple[Generator, Facts]:
    """Open such a folder on the hub, by its two files alone and both from one commit.

    Raises:
        ValueError: it cannot be had, holds something else, or is damaged.
        OSError: the copy cannot be written or read.
    """
    try:
        config, commit = hub.fetch(address, CONFIG_FILE, most_bytes=MOST_CONFIG_BYTES)
        facts = _read_config(config, f"{address}/{CONFIG_FILE}")
        weights, _ = hub.fetch(commit, WEIGHTS_FILE)
    except hub.NotInRepositoryError as error:
        raise ValueError(_not_one(address, error.file, hub.list_files(address))) from None
    where = f"{address}/{WEIGHTS_FILE}"
    return generator_of(facts, read_tensors(weights, where)[1], where), facts


def _read_config(path: Path, where: object) -> Facts:
    with open(path, "rb") as file:
        content = file.read(MOST_CONFIG_BYTES + 1)
    if len(content) > MOST_CONFIG_BYTES:
        raise ValueError(f"{where} is larger than {MOST_CONFIG_BYTES:,} bytes: not one of sagan's")
    return read_config(content, where)


def _not_one(where: object, missing: str, files: Sequence[str]) -> str:
    """Say what a place holds in place of a generator of ours."""
    pickles = [name for name in files if name.lower().endswith(_PICKLES)]
    if "model_index.json" in files:
        found = "it holds a pipeline of diffusers"
    elif pickles:
        found = (
            f"its weights are a pickle, {pickles[0]}, which is not opened here: download it, and "
            "see sagan import"
        )
    else:
        found = f"it holds {', '.join(sorted(files)[:5]) or 'nothing'}"
    return f"{where} holds no generator of sagan's: it has no {missing}; {found}"
