"""The example that makes the bundled fashion, on made files."""

import gzip
import struct

import make_fashion
import numpy as np
import pytest

from sagan.data import load_dataset
from sagan.data.sources import bundled


def write_idx(path, array):
    head = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    path.write_bytes(gzip.compress(head + array.tobytes()))


@pytest.fixture
def files(tmp_path):
    """IDX files with 4 pictures of each class to train on and 2 to test on, and their arrays."""
    draws = np.random.default_rng(0)
    arrays = {}
    for split, num in (("train", 40), ("t10k", 20)):
        images = draws.integers(0, 256, (num, 28, 28), np.uint8)
        labels = draws.permutation(np.arange(num, dtype=np.uint8) % 10)
        write_idx(tmp_path / f"{split}-images-idx3-ubyte.gz", images)
        write_idx(tmp_path / f"{split}-labels-idx1-ubyte.gz", labels)
        arrays[split] = images, labels
    return tmp_path, arrays


def test_what_is_cut_reads_back_as_the_files_hold_it(files, monkeypatch, capsys):
    folder, arrays = files
    monkeypatch.setattr(make_fashion, "NUM", {"train": 3, "test": 1})
    monkeypatch.setattr(bundled, "FASHION_FILE", folder / "made.npy.xz")
    monkeypatch.setattr(bundled, "_FASHION_NUM", 30)
    make_fashion.main(folder, bundled.FASHION_FILE)
    assert "made.npy.xz" in capsys.readouterr().out
    for split, name, num in (("train", "train", 3), ("test", "t10k", 1)):
        images, labels = arrays[name]
        data = load_dataset("fashion", resolution=28, split=split)
        assert data.labels.tolist() == [k for k in range(10) for _ in range(num)]
        for label in range(10):
            theirs = images[labels == label][:num]
            assert np.array_equal(data.images[data.labels == label, 0], theirs)


def test_a_class_with_too_few_pictures_is_named(files):
    folder, _ = files
    with pytest.raises(SystemExit, match="class 0 has 4 pictures, not 1200"):
        make_fashion.main(folder, folder / "made.npy.xz")
