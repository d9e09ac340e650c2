"""Write a source's pictures at one size, read as `sagan` reads them, so that all learn the same.

python benchmarks/pictures/pictures.py SOURCE OUT --resolution 32

writes OUT/train.npz, and OUT/test.npz if the source has a test split: `images` uint8 n h w c, and
`labels` if there are any.
"""

import argparse
from pathlib import Path

import numpy as np

from sagan.data import load_dataset
from sagan.data.load import has_test_split


def write(source: str, out: Path, resolution: int) -> list[Path]:
    """Write the splits that there are."""
    out.mkdir(parents=True, exist_ok=True)
    written = []
    splits = ("train", "test") if has_test_split(source) else ("train",)
    for split in splits:
        data = load_dataset(source, resolution=resolution, split=split)
        arrays = {"images": np.asarray(data.images).transpose(0, 2, 3, 1)}
        if data.labels is not None:
            arrays["labels"] = np.asarray(data.labels)
        written.append(out / f"{split}.npz")
        np.savez(written[-1], **arrays)
    return written


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("source")
    parser.add_argument("out", type=Path)
    parser.add_argument("--resolution", type=int, default=32)
    options = parser.parse_args()
    for path in write(options.source, options.out, options.resolution):
        print(path)
