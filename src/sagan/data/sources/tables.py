"""Tables of pictures: Parquet files, and data sets of the Hugging Face hub.

Libraries are imported when needed. No code of a data set is run.
"""

import importlib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sagan.data.decode import Unreadable
from sagan.data.sources.folder import file_stamp
from sagan.data.sources.labels import label_name, number_names
from sagan.data.sources.source import Item, Source, stamp_of
from sagan.files import parse_json
from sagan.sharing import hub
from sagan.text import listed, one_line

STREAM_FROM_BYTES = 2**31  # larger data sets are read over the network as they are packed
_INSTALL = "pip install 'sagan[data]'"
_TEST = re.compile(r"(?<![a-z])(val|valid|validation|test|testing)(?![a-z])", re.IGNORECASE)
_IMAGE_COLUMNS = ("image", "img", "images", "picture")
_LABEL_COLUMNS = ("label", "labels", "fine_label", "class")


def _library(name: str, what: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        library = name.partition(".")[0]
        raise ValueError(f"{what} need the library {library}: {_INSTALL}") from None


def open_parquet(paths: list[Path]) -> Source:
    """Open Parquet files with a column of pictures and, optionally, one of labels."""
    parquet = _library("pyarrow.parquet", "Parquet files")
    try:
        files = [parquet.ParquetFile(path) for path in paths]
        schemas = [file.schema_arrow for file in files]
    except Exception as error:  # pyarrow's own kinds of error
        raise ValueError(f"a Parquet file is damaged: {one_line(error, 300)}") from None
    schema = schemas[0]
    if any(other.names != schema.names for other in schemas[1:]):
        raise ValueError("the Parquet files have different columns")
    features = _features_of(schema.metadata or {})
    kinds = {name: str(schema.field(name).type) for name in schema.names}
    pictures = {name for name, kind in kinds.items() if "binary" in kind}
    image = _image_column(pictures, kinds)
    label = _label_column(kinds, features)

    def items() -> Iterator[Item]:
        number = 0
        for file in files:
            columns = [image] if label is None else [image, label]
            for batch in file.iter_batches(batch_size=64, columns=columns):
                for row in batch.to_pylist():
                    yield _item(number, row, image, label, features)
                    number += 1

    stamp = stamp_of((path.name, *file_stamp(path)) for path in paths)
    length = sum(file.metadata.num_rows for file in files)
    return Source("Parquet", stamp, items, _names(label, features), length)


def open_parquet_folder(folder: Path, paths: list[Path], rules: int) -> Source:
    """Open a folder's Parquet files; those named as for testing, or in such a folder, are apart."""
    tests = [path for path in paths if _TEST.search(path.relative_to(folder).as_posix())]
    trains = [path for path in paths if path not in tests]
    if rules < 3 or not tests or not trains:
        return open_parquet(paths)
    source, test = open_parquet(trains), open_parquet(tests)
    if (test.class_names == ()) != (source.class_names == ()):
        without = tests if source.class_names != () else trains
        raise ValueError(f"there are no labels in {listed([path.name for path in without])}")
    kind = f"Parquet, {listed([path.relative_to(folder).as_posix() for path in tests])}"
    names = source.class_names
    if names is None:  # the test's labels count as those of training, whichever it has
        names, in_test = _labels_in(trains), _labels_in(tests)
        if unknown := [name for name in in_test if name not in names]:
            raise ValueError(f"no training picture is of the class {listed(unknown)} of the tests")
        test = replace(test, stamp=stamp_of([(test.stamp, *names)]))
    test = replace(test, kind=kind, class_names=names, may_lack_classes=True)
    return replace(source, test=test)


def _labels_in(paths: list[Path]) -> tuple[str, ...]:
    """The names of the classes in some files, which say nothing of them."""
    pq = _library("pyarrow.parquet", "Parquet files")
    found = set()
    for path in paths:
        schema = pq.ParquetFile(path).schema_arrow
        label = _label_column({name: "" for name in schema.names}, {})
        assert label is not None
        values = pq.read_table(path, columns=[label])[label].unique().to_pylist()
        found |= {label_name(value) for value in values if value is not None}
    return number_names(found)


def open_hub(name: str) -> Source:
    """Open a data set of the hub: `NAME` (its train split) or `NAME:SPLIT`."""
    name, _, split = name.partition(":")
    if not name:
        raise ValueError("which data set? as hub:NAME or hub:NAME:SPLIT")
    split = split or "train"
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        raise ValueError(f"hub:{name} needs the network, and HF_HUB_OFFLINE is set; {_ELSE}")
    datasets = _library("datasets", "data sets of the hub")
    _check_network(name)
    builder = _ask(name, lambda: datasets.load_dataset_builder(name))
    info = builder.info
    if info.splits and split not in info.splits:
        raise ValueError(f"hub:{name} has no split {split!r}; it has {listed(list(info.splits))}")
    size = max(info.download_size or 0, info.dataset_size or 0)
    streaming = size == 0 or size > STREAM_FROM_BYTES
    rows = _ask(name, lambda: datasets.load_dataset(name, split=split, streaming=streaming))
    features = rows.features or info.features or {}
    kinds = {column: type(feature).__name__ for column, feature in features.items()}
    image = _image_column({column for column, kind in kinds.items() if kind == "Image"}, kinds)
    classes = {c: tuple(f.names) for c, f in features.items() if kinds[c] == "ClassLabel"}
    label = _label_column(kinds, classes)
    rows = rows.cast_column(image, datasets.Image(decode=False))  # our rules decode, not theirs

    def items() -> Iterator[Item]:
        for number, row in enumerate(rows):
            yield _item(number, row, image, label, classes)

    stamp = stamp_of([(name, split, str(builder.hash), str(info.version))])
    length = None if streaming else len(rows)
    kind = "hub, streamed" if streaming else "hub"
    return Source(kind, stamp, items, _names(label, classes), length)


_ELSE = "name a local folder or file, or one that sagan data pack made"


def _check_network(name: str) -> None:
    try:
        there = Path(name).exists() or hub.answers()
    except ImportError:
        return  # reported where the library is needed
    if not there:
        raise ValueError(_unreachable(name))


def _unreachable(name: str) -> str:
    return f"hub:{name} cannot be reached: is there a network? If not, {_ELSE}"


def _ask(name: str, question: Callable[[], Any]) -> Any:
    """Ask the hub; errors become one line."""
    try:
        return question()
    except Exception as error:  # of four libraries, told apart by name to avoid importing them
        kinds = {kind.__name__ for kind in type(error).__mro__}
        if "DatasetNotFoundError" in kinds or "RepositoryNotFoundError" in kinds:
            raise ValueError(
                f"the hub has no public data set {name!r}; names are as cifar10 or OWNER/NAME"
            ) from None
        if isinstance(error, ConnectionError | TimeoutError) or kinds & {
            "ConnectionError",
            "ConnectTimeout",
            "ConnectError",
            "OfflineModeIsEnabled",
            "LocalEntryNotFoundError",
        }:
            raise ValueError(_unreachable(name)) from None
        raise ValueError(f"hub:{name} cannot be opened: {one_line(error, 300)}") from None


def _features_of(metadata: Mapping[bytes, bytes]) -> dict[str, tuple[str, ...]]:
    """Read class names by column, as the hub's library stores them in a Parquet file."""
    try:
        features = parse_json(metadata[b"huggingface"])["info"]["features"]
        return {
            column: tuple(str(name) for name in feature["names"])
            for column, feature in features.items()
            if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
        }
    except (KeyError, ValueError, TypeError, AttributeError):
        return {}


def _image_column(pictures: set[str], kinds: Mapping[str, str]) -> str:
    known = [column for column in _IMAGE_COLUMNS if column in pictures]
    if known or len(pictures) == 1:
        return (known or list(pictures))[0]
    columns = listed([f"{column} ({kind})" for column, kind in kinds.items()])
    raise ValueError(f"which column holds the pictures? name it image; it has {columns}")


def _label_column(kinds: Mapping[str, str], classes: Mapping[str, tuple[str, ...]]) -> str | None:
    known = [column for column in _LABEL_COLUMNS if column in kinds]
    if known:
        return known[0]
    if len(classes) > 1:
        raise ValueError(
            f"which column holds the labels? name it label; it has {listed(sorted(classes))}"
        )
    return next(iter(classes), None)


def _names(label: str | None, classes: Mapping[str, tuple[str, ...]]) -> tuple[str, ...] | None:
    if label is None:
        return ()
    return classes.get(label)


def _item(
    number: int,
    row: Mapping[str, Any],
    image: str,
    label: str | None,
    classes: Mapping[str, tuple[str, ...]],
) -> Item:
    value = row[image]
    path = value.get("path") if isinstance(value, Mapping) else None
    name = f"#{number} {Path(path).name}" if path else f"#{number}"
    return Item(name, _class_of(row, label, classes), partial(_content, value))


def _class_of(
    row: Mapping[str, Any], label: str | None, classes: Mapping[str, tuple[str, ...]]
) -> str | None:
    if label is None or row[label] is None:
        return None
    names, value = classes.get(label), row[label]
    if names is None:
        return label_name(value)
    if not 0 <= value < len(names):
        raise ValueError(f"label {value} is out of range: there are {len(names)} class names")
    return str(names[value])


def _content(value: Any) -> bytes | NDArray[np.uint8]:
    content = value.get("bytes") if isinstance(value, Mapping) else value
    if isinstance(content, bytes):
        return content
    raise Unreadable("the table has no content for it")
