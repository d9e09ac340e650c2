"""TensorBoard: a run's numbers and grids, for those who watch many runs in it (extra `log`)."""

import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_INSTALL = "pip install 'sagan[log]'"


def require_tensorboard() -> None:
    """Refuse where TensorBoard is not installed.

    Raises:
        ValueError: it is not; the message says how to get it.
    """
    if importlib.util.find_spec("tensorboard") is None:
        raise ValueError(f"--tensorboard needs TensorBoard: {_INSTALL}, or leave it out")


class Board:
    """Write a run's records for TensorBoard; its steps are images shown to the discriminator.

    Args:
        folder: where its event files go.
        images: where this call starts; what was written of later ones is taken back.
    """

    def __init__(self, folder: Path, *, images: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder), purge_step=images + 1)

    def record(self, record: Mapping[str, Any]) -> None:
        """Write one log record's numbers."""
        for tag, value in scalars(record):
            self._writer.add_scalar(tag, value, record["images"])

    def grid(self, pixels: NDArray[np.uint8], *, images: int) -> None:
        """Write a sample grid, uint8 `h w` or `h w c`."""
        pixels = np.atleast_3d(pixels)
        self._writer.add_image("samples", pixels, images, dataformats="HWC")

    def close(self) -> None:
        """Write out what is left."""
        self._writer.close()


def scalars(record: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Give the numbers of a log record, each with its tag.

    Example:
        >>> list(scalars({"kind": "train", "step": 1, "images": 64, "d_loss": 0.5}))
        [('train/d_loss', 0.5)]
        >>> list(scalars({"kind": "score", "metric": "cas", "value": None}))
        []
    """
    kind = record["kind"]
    if kind == "score":
        if record["value"] is not None:
            yield f"score/{record['metric']}", record["value"]
    elif kind == "attention":
        for layer in record["layers"]:
            for name in ("gamma", "entropy", "distance", "far_mass"):
                yield f"attention {name}/{layer['network']} {layer['layer']}", layer[name]
    elif kind in ("train", "check"):
        for name, value in record.items():
            if isinstance(value, float) and name not in ("time", "elapsed"):
                yield f"{kind}/{name}", value
        for layer_name, value in record.get("sigmas", {}).items():
            yield f"largest singular value/{layer_name}", value
