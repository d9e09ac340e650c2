"""Hub data sets, with a stand-in for the library, and Parquet files with the real one."""

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from image_corpus import READABLE, encoded, grey, rgb

from sagan.data import load_dataset
from sagan.data.sources import tables as hub
from sagan.data.sources.open_source import open_source

PICTURE = encoded(rgb())


class Image:
    def __init__(self, decode: bool = True) -> None:
        self.decode = decode


class ClassLabel(SimpleNamespace):
    pass


class Value:
    pass


class DatasetNotFoundError(FileNotFoundError):
    pass


class Rows(list[Any]):
    features: Any

    def cast_column(self, name: str, feature: Image) -> "Rows":
        assert isinstance(self.features[name], Image)
        assert not feature.decode  # decoding is ours
        return self


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A stand-in for `datasets` with one data set, `cats`."""
    monkeypatch.setattr(
        "urllib.request.getproxies", lambda: {"https": "one"}
    )  # so that nobody knocks
    rows = Rows({"image": {"bytes": PICTURE, "path": f"{i}.png"}, "label": i % 2} for i in range(6))
    rows.features = {"image": Image(), "label": ClassLabel(names=["cat", "dog"])}
    fake: Any = ModuleType("datasets")
    info = SimpleNamespace(
        splits={"train": 1, "test": 1},
        download_size=100,
        dataset_size=200,
        features=rows.features,
        version="1.0.0",
    )
    fake.rows, fake.info, fake.error, fake.streamed = rows, info, None, []

    def builder(name: str) -> Any:
        if fake.error:
            raise fake.error
        if name != "cats":
            raise DatasetNotFoundError(f"Dataset '{name}' doesn't exist on the Hub\nor cannot ...")
        return SimpleNamespace(info=info, hash="abc")

    def load(name: str, *, split: str, streaming: bool) -> Any:
        fake.streamed.append(streaming)
        return rows

    fake.load_dataset_builder, fake.load_dataset, fake.Image = builder, load, Image
    monkeypatch.setitem(sys.modules, "datasets", fake)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    return fake


def refused(source: str) -> str:
    with pytest.raises(ValueError, match=r".") as error:
        open_source(source)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_hub_data_set_is_packed_with_its_class_names(library: Any, tmp_path: Path) -> None:
    data = load_dataset("hub:cats", resolution=8, cache=tmp_path)
    assert data.class_names == ("cat", "dog")
    assert data.labels is not None
    assert data.labels.tolist() == [0, 1] * 3
    assert data.images.shape == (6, 3, 8, 8)
    assert library.streamed == [False]


@pytest.mark.parametrize("size", [0, 3 * 2**30])
def test_large_and_unmeasured_sets_are_streamed(library: Any, size: int) -> None:
    library.info.download_size = library.info.dataset_size = size
    source = open_source("hub:cats:test")
    assert library.streamed == [True]
    assert source.length is None
    assert len(list(source.items())) == 6


def test_what_the_hub_does_not_have_is_one_line(library: Any) -> None:
    assert "no public data set 'nope'" in refused("hub:nope")
    assert "no split 'x'; it has train, test" in refused("hub:cats:x")
    assert "which data set?" in refused("hub:")


@pytest.mark.parametrize("kind", [ConnectionError, type("ConnectTimeout", (OSError,), {})])
def test_no_network_is_one_line(library: Any, kind: Any) -> None:
    library.error = kind("HTTPSConnectionPool:\nMax retries exceeded")
    assert "cannot be reached: is there a network?" in refused("hub:cats")


def test_an_unreachable_hub_is_noticed_at_once(
    library: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    constants = SimpleNamespace(ENDPOINT="http://127.0.0.1:1")  # where nobody listens
    monkeypatch.setitem(sys.modules, "huggingface_hub.constants", constants)
    monkeypatch.setattr("urllib.request.getproxies", dict)
    assert "cannot be reached" in refused("hub:cats")
    assert library.streamed == []


def test_offline_says_so_before_the_library_is_even_imported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)  # importing it would fail
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "HF_HUB_OFFLINE is set" in refused("hub:cats")
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    assert "pip install 'sagan[data]'" in refused("hub:cats")


def test_odd_tables_are_refused(library: Any, tmp_path: Path) -> None:
    library.rows[2]["label"] = None
    with pytest.raises(ValueError, match="1 of 6 pictures have no label"):
        load_dataset("hub:cats", resolution=8, cache=tmp_path)
    library.rows[2]["label"] = 2
    with pytest.raises(ValueError, match="label 2 is out of range: there are 2 class names"):
        load_dataset("hub:cats", resolution=8, cache=tmp_path)
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]
    library.rows.features["other"] = Image()
    del library.rows.features["image"]
    library.rows.features["third"] = Image()
    assert "name it image" in refused("hub:cats")


def test_labels_without_names_are_found_while_reading(library: Any, tmp_path: Path) -> None:
    library.rows.features["label"] = Value()
    for row, label in zip(library.rows, [10, 9, 10, 9, 9, 10], strict=True):
        row["label"] = label
    data = load_dataset("hub:cats", resolution=8, cache=tmp_path)
    assert data.class_names == ("9", "10")
    assert data.labels is not None
    assert data.labels.tolist() == [1, 0, 1, 0, 0, 1]


def parquet_file(path: Path, metadata: Any = None, labels: Any = (0, 1, 1)) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    contents = [PICTURE, encoded(grey()), READABLE["exif-6.png"][0]]
    pictures = [{"bytes": content, "path": None} for content in contents]
    table = pa.table({"image": pictures, "label": list(labels)})
    if metadata:
        table = table.replace_schema_metadata({"huggingface": json.dumps(metadata)})
    pq.write_table(table, path)
    return path


def test_parquet_files_are_read_with_the_names_that_they_note(tmp_path: Path) -> None:
    names = {"info": {"features": {"label": {"_type": "ClassLabel", "names": ["cat", "dog"]}}}}
    file = parquet_file(tmp_path / "0.parquet", names)
    data = load_dataset(str(file), resolution=24, cache=tmp_path / "cache")
    assert data.class_names == ("cat", "dog")
    assert np.array_equal(data.images[0], data.images[2])  # turned upright
    (tmp_path / "set").mkdir()
    for name in "ab":
        parquet_file(tmp_path / "set" / f"{name}.parquet")
    folder = load_dataset(str(tmp_path / "set"), resolution=24, cache=tmp_path / "cache")
    assert folder.class_names == ("0", "1")
    assert len(folder) == 6


@pytest.mark.parametrize(
    ("train", "test"),
    [("train-00000-of-1.parquet", "test-00000-of-1.parquet"), ("train/0.parquet", "Val/0.parquet")],
)
def test_tables_for_testing_are_not_trained_on(tmp_path: Path, train: str, test: str) -> None:
    folder = tmp_path / "set"
    for name in (train, test):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
    parquet_file(folder / train, labels=(3, 5, 5))
    parquet_file(folder / test, labels=(5, 5, 5))
    options: dict[str, Any] = {"resolution": 24, "cache": tmp_path / "cache"}
    data = load_dataset(str(folder), **options)
    assert (len(data), data.class_names) == (3, ("3", "5"))
    held_out = load_dataset(str(folder), split="test", **options)
    assert (len(held_out), held_out.class_names) == (3, ("3", "5"))
    assert held_out.labels is not None
    assert held_out.labels.tolist() == [1, 1, 1]  # by the names of training
    old = load_dataset(str(folder), rules=2, **options)
    assert (len(old), old.class_names) == (6, ("3", "5"))
    parquet_file(folder / test, labels=(5, 7, 5))
    with pytest.raises(ValueError, match="no training picture is of the class 7 of the tests"):
        load_dataset(str(folder), split="test", **options)
    (folder / train).unlink()
    assert len(load_dataset(str(folder), **options)) == 3  # nothing else to train on


def test_a_missing_library_is_named_and_a_damaged_table_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "t.parquet"
    file.write_bytes(b"PAR1 and no more")
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "pyarrow", None)
        patch.setitem(sys.modules, "pyarrow.parquet", None)
        assert "need the library pyarrow" in refused(str(file))
    assert "a Parquet file is damaged" in refused(str(file))


def test_no_code_of_a_data_set_is_trusted() -> None:
    assert "trust_remote_code" not in Path(hub.__file__).read_text()
