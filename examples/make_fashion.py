"""Make the bundled source `fashion` anew from the four IDX files of Fashion-MNIST.

    apt install dataset-fashion-mnist
    python examples/make_fashion.py
    sagan train runs/fashion --data fashion --preset small --resolution 32

Fashion-MNIST (https://github.com/zalandoresearch/fashion-mnist) is Copyright (c) 2017 Zalando SE,
under the MIT licence. Of each class the first 1,200 pictures of the `train` files are taken, then
the first 200 of the `t10k` files, in the files' order: those for training come first.
"""

import argparse
import hashlib
import lzma
import tempfile
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sagan.data import load_dataset
from sagan.data.sources import bundled

DEBIAN = Path("/usr/share/datasets/fashion-mnist")
NUM = {"train": 1200, "test": 200}  # of each class
SIDE_PX = 28


def first_of_each(images: NDArray[np.uint8], labels: NDArray[np.int64], num: int) -> NDArray:
    """The first `num` images of each class, a class after the other."""
    rows = [np.flatnonzero(labels == label)[:num] for label in range(labels.max() + 1)]
    for label, found in enumerate(rows):
        if len(found) < num:
            raise SystemExit(f"class {label} has {len(found)} pictures, not {num}")
    return images[np.concatenate(rows)]


def compressed(images: NDArray[np.uint8]) -> bytes:
    """A .npy file of `i w h` under LZMA; columns after each other take 5 % less than rows."""
    plain = BytesIO()
    np.save(plain, np.ascontiguousarray(images.transpose(0, 2, 1)))
    preset = 9 | lzma.PRESET_EXTREME
    filters = [{"id": lzma.FILTER_LZMA2, "preset": preset, "lc": 4, "lp": 0, "pb": 0}]
    return lzma.compress(plain.getvalue(), filters=filters)


def main(folder: Path, out: Path) -> None:
    """Read the IDX files, cut the part, and write it."""
    parts = []
    with tempfile.TemporaryDirectory() as cache:
        for split, num in NUM.items():
            data = load_dataset(str(folder), resolution=SIDE_PX, split=split, cache=Path(cache))
            parts.append(first_of_each(data.images[:, 0], data.labels, num))
    content = compressed(np.concatenate(parts))
    out.write_bytes(content)
    print(f"{out}: {len(content):,} bytes, sha256 {hashlib.sha256(content).hexdigest()}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", default=DEBIAN, help="of the IDX files")
    parser.add_argument("--out", type=Path, default=bundled.FASHION_FILE)
    options = parser.parse_args()
    main(options.folder, options.out)
