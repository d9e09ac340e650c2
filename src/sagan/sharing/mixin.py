"""Saves a generator in the layout of model hubs, to disk or to the hub.

The layout is that of huggingface_hub's mixin: each opens the other's folders. Inheriting the mixin
itself would make its library a dependency of every use and add 0.3 s to the import.
"""

import os
import tempfile
from collections.abc import Collection
from pathlib import Path

import safetensors.torch
from torch import nn

from sagan.config import DataConfig, NetworkConfig, RunConfig
from sagan.files import write_together
from sagan.sharing import hub
from sagan.sharing.card import make_card
from sagan.sharing.facts import CARD_FILE, CONFIG_FILE, WEIGHTS_FILE, Facts, read_folder_config
from sagan.sharing.seal import UNSEALED, seal


class Pretrained(nn.Module):
    """A generator that can be saved in the hub's layout, and pushed to the hub."""

    config: NetworkConfig
    facts: Facts | None = None  # of the run that trained it, class names included; set on opening
    is_folded = False

    def save_pretrained(self, save_directory: str | os.PathLike[str]) -> None:
        """Write `config.json`, `model.safetensors` and, if it is missing, a card `README.md`.

        They include the run's class names and training settings; of the data's path only the last
        name. Other files in the folder stay.

        Args:
            save_directory: the folder, created if needed.

        Raises:
            ValueError: it is a run's folder, files of these names are another program's, or the
                generator is folded.
            OSError: it cannot be written; what was there is unchanged.

        Example:
            >>> import sagan
            >>> generator = sagan.build_generator(NetworkConfig(resolution=8, g_width=4)).eval()
            >>> folder = Path(tempfile.mkdtemp()) / "mine"
            >>> generator.save_pretrained(folder)
            >>> sorted(path.name for path in folder.iterdir())
            ['README.md', 'config.json', 'model.safetensors']
            >>> images = sagan.sample(sagan.load(folder), 4)
        """
        folder = Path(save_directory)
        check_folder(folder, (CONFIG_FILE, WEIGHTS_FILE))
        contents = self.pretrained_files()
        if not (folder / CARD_FILE).exists():
            title = folder.resolve().name
            contents[CARD_FILE] = self._card(title=title, address=title)
        write_together(folder, contents)

    def push_to_hub(
        self,
        repo_id: str,
        *,
        commit_message: str = "Push a generator of sagan's",
        private: bool | None = None,
        branch: str | None = None,
    ) -> str:
        """Save as `save_pretrained` does, to a repository of the Hugging Face hub.

        The repository is created if needed; a card that it already has is kept.

        Args:
            repo_id: OWNER/NAME.
            commit_message: the commit's first line.
            private: for a new repository; True refuses a public one. None takes the owner's
                default.
            branch: the branch to commit to; None is the main one.

        Returns:
            The commit's URL.

        Raises:
            ValueError: the generator is folded; `repo_id` has a revision; there is no network,
                branch or permission; or huggingface_hub is not installed.
        """
        address = hub.parse_to_push(repo_id)
        contents = self.pretrained_files()
        contents[CARD_FILE] = self._card(title=address.name, address=str(address))
        with tempfile.TemporaryDirectory(prefix="sagan-") as folder:
            write_together(Path(folder), contents)
            return hub.push(
                Path(folder),
                repo_id,
                files=contents,
                kept=[CARD_FILE],
                commit_message=commit_message,
                private=private,
                branch=branch,
            )

    def pretrained_files(self) -> dict[str, bytes]:
        """Make `config.json` and `model.safetensors`, without what is private."""
        if self.is_folded:
            raise ValueError("a folded generator cannot be saved: open it without fold")
        tensors = {name: value.cpu().contiguous() for name, value in self.state_dict().items()}
        return {
            CONFIG_FILE: self._published().to_config(),
            # the format is as the hub's library has it
            WEIGHTS_FILE: seal(safetensors.torch.save(tensors, {"format": "pt", **UNSEALED})),
        }

    def _card(self, *, title: str, address: str) -> bytes:
        return make_card(self._published(), title, address).encode()

    def _published(self) -> Facts:
        if self.facts is not None:
            return self.facts.published()
        unknown = RunConfig(preset="", network=self.config, data=DataConfig(source=""))
        return Facts(unknown, step=0, weights="")


def check_folder(folder: Path, names: Collection[str]) -> None:
    """Refuse a file, a run's folder, and one in which files of these names are not ours."""
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file, not a folder")
    config = read_folder_config(folder) or {}
    of_run = any((folder / name).exists() for name in ("checkpoints", "manifest.json"))
    if of_run or "network" in config:
        raise ValueError(f"{folder} is a run's folder, not one of a model alone: name another")
    if "family" in config:  # ours, as in `Facts.from_config`
        return
    for path in (folder / name for name in names):
        if path.exists():
            raise ValueError(
                f"{path} is there already, in a folder that sagan did not write: name another"
            )
