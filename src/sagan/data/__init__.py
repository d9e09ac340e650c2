"""Images and labels: sources, and the arrays that they become."""

from sagan.data.dataset import ImageDataset
from sagan.data.load import load_dataset, pack_dataset

__all__ = ["ImageDataset", "load_dataset", "pack_dataset"]
