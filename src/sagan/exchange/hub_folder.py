"""A generator as a folder that model hubs know: `config.json`, `model.safetensors`, `README.md`."""

import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Literal

from sagan.exchange.run_card import make_run_card
from sagan.exchange.safetensors_file import build_from_content, read_content
from sagan.files import write_together
from sagan.models import Generator
from sagan.runs.open_run import CHECKPOINT_FILES, load_run_generator
from sagan.runs.run import find_checkpoint
from sagan.sharing import hub
from sagan.sharing.facts import (
    CARD_FILE,
    CONFIG_FILE,
    MAX_CONFIG_BYTES,
    PICTURE_FILE,
    WEIGHTS_FILE,
    Facts,
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
    """Write a run's generator as `save_pretrained` does, with the full card and samples."""
    # Returns the names of the files written. An existing card is kept, because its owner may have
    # added to it. `address` is what the card tells people to open, by default the folder's name.
    checkpoint, folder = find_checkpoint(run, verify_files=[CHECKPOINT_FILES[weights]]), Path(out)
    check_folder(folder, (CONFIG_FILE, WEIGHTS_FILE, PICTURE_FILE))
    generator = load_run_generator(checkpoint.path, weights=weights)
    card = make_run_card(
        checkpoint,
        generator,
        title=hub.parse(address).name if address else None,
        address=address or folder.resolve().name,
        picture=PICTURE_FILE,
    )
    contents = {**generator.pretrained_files(), PICTURE_FILE: card.picture}
    if not (folder / CARD_FILE).exists():
        contents[CARD_FILE] = card.text
    write_together(folder, contents)
    return sorted(contents)


def push_folder(
    folder: str | os.PathLike[str],
    repository: str,
    written: Collection[str],
    *,
    commit_message: str,
    private: bool | None = None,
) -> str:
    """Push what `export_folder` wrote to a repository of the hub, and return the commit's URL."""
    # a card just written does not replace the repository's; one that was in the folder does
    return hub.push(
        Path(folder),
        repository,
        files={*written, CARD_FILE},
        kept=[CARD_FILE] if CARD_FILE in written else [],
        commit_message=commit_message,
        private=private,
    )


def open_generator_folder(path: Path) -> Generator:
    """Open such a folder's generator, in eval mode on the CPU."""
    config, weights = path / CONFIG_FILE, path / WEIGHTS_FILE
    for file in (config, weights):
        if not file.is_file():
            raise ValueError(_not_one(path, file.name, [p.name for p in path.iterdir()]))
    facts = _read_config(config, config)
    return build_from_content(facts, read_content(weights, weights), weights)


def open_generator_repository(address: hub.Address) -> Generator:
    """Open such a folder on the hub; only its two files are downloaded, from the same commit."""
    try:
        config, commit = hub.fetch(address, CONFIG_FILE, max_bytes=MAX_CONFIG_BYTES)
        facts = _read_config(config, f"{address}/{CONFIG_FILE}")
        weights, _ = hub.fetch(commit, WEIGHTS_FILE)
    except hub.NotInRepositoryError as error:
        raise ValueError(_not_one(address, error.file, hub.list_files(address))) from None
    where = f"{address}/{WEIGHTS_FILE}"
    return build_from_content(facts, read_content(weights, where), where)


def _read_config(path: Path, where: object) -> Facts:
    with open(path, "rb") as file:
        content = file.read(MAX_CONFIG_BYTES + 1)
    if len(content) > MAX_CONFIG_BYTES:
        raise ValueError(f"{where} is larger than {MAX_CONFIG_BYTES:,} bytes: not one of sagan's")
    return Facts.from_config(content, where)


def _not_one(where: object, missing: str, files: Sequence[str]) -> str:
    """Say what a place has instead of a generator of ours."""
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
    return f"{where} has no sagan generator: it has no {missing}; {found}"
