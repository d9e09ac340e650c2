"""Images and labels: sources, and the arrays that they become."""

from sagan.data.sources import ImageDataset, load_dataset

__all__ = ["ImageDataset", "load_dataset"]
