"""A run's numbers and sample grids for TensorBoard (extra `log`)."""

import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_INSTALL = "pip install 'sagan[log]'"


def require_tensorboard() -> None:
    """Raise ValueError, with how to install it, if TensorBoard is missing."""
    if importlib.util.find_spec("tensorboard") is None:
        raise ValueError(f"--tensorboard needs TensorBoard: {_INSTALL}, or leave it out")


class Board:
    """Write a run's records for TensorBoard, with images shown as its steps.

    Events after `images`, where this call starts, are purged.
    """

    def __init__(self, folder: Path, *, images: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder), purge_step=images + 1)

    def record(self, record: Mapping[str, Any]) -> None:
        """Write the numbers of a log record."""
        for tag, value in scalars(record):
            self._writer.add_scalar(tag, value, record["images"])

    def grid(self, pixels: NDArray[np.uint8], *, images: int) -> None:
        """Write a sample grid, uint8 `h w` or `h w c`."""
        pixels = np.atleast_3d(pixels)
        self._writer.add_image("samples", pixels, images, dataformats="HWC")

    def close(self) -> None:
        """Flush and close."""
        self._writer.close()


def scalars(record: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield the numbers of a log record with their tags.

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
