"""A run's log: one JSON object per line."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from sagan.files import append_durably, parse_json, write_atomically

_NUMBER = int | float
_MAYBE = int | float | None
_EVALUATION = "evaluation"  # what has a title and no kind: a score of `evaluations.jsonl`
# What readers take for granted in a record, by its kind, and in a layer of one of attention.
_NEEDED: Mapping[str, Mapping[str, Any]] = {
    "train": {"images": _NUMBER},
    "attention": {"images": _NUMBER, "layers": list},
    "check": {"images": _NUMBER, "sigmas": dict},
    "score": {"images": _NUMBER, "metric": str, "better": str, "value": _MAYBE},
    "health": {"images": _NUMBER},
    "rollback": {"images": _NUMBER},
    _EVALUATION: {
        "metric": str,
        "better": str,
        "value": _MAYBE,
        "spread": _MAYBE,
        "n_generated": int,
        "n_real": int,
        "real_vs_real": dict | None,
    },
}
_LAYER: Mapping[str, Any] = {"network": str, "layer": str, "size_px": int}


def append_records(path: Path, *records: Mapping[str, Any]) -> None:
    """Append records to a JSONL file, and wait until they are on the disk."""
    append_durably(path, _lines(records))


def rewrite_records(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Atomically replace a JSONL file by these records."""
    write_atomically(path, _lines(records))


def _lines(records: Iterable[Mapping[str, Any]]) -> bytes:
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def read_records(path: Path) -> Iterator[dict[str, Any]]:
    """Read a JSONL file's records, skipping broken lines."""
    return (record for _, record in read_lines(path) if record is not None)


def read_lines(path: Path) -> Iterator[tuple[bytes, dict[str, Any] | None]]:
    """Read a JSONL file's lines, each with its record, or None if it is broken."""
    if not path.is_file():
        return
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):  # else a crash has cut it short
                yield line, _parsed(line)


def by_layer(records: Iterable[Mapping[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Sort attention records by layer, each record with that layer's numbers.

    D's layers get other numbers when a run grows, as it gains blocks at the image; what a layer is
    known by is the side of its map, and it is called what it is called in the end.

    Example:
        >>> def record(images, **sides):
        ...     layers = [{"network": "D", "layer": k, "size_px": px} for k, px in sides.items()]
        ...     return {"images": images, "layers": layers}
        >>> found = by_layer([record(64, a0=8), record(128, a0=16, a1=8)])
        >>> {name: [numbers["images"] for numbers in rows] for name, rows in found.items()}
        {'D a1, 8 px': [64, 128], 'D a0, 16 px': [128]}
    """
    found: dict[tuple[str, int, int], list[dict[str, Any]]] = {}
    for record in records:
        places = [(layer["network"], layer["size_px"]) for layer in record["layers"]]
        for i, (place, layer) in enumerate(zip(places, record["layers"], strict=True)):
            behind = places[i:].count(place)  # of several layers of a side
            found.setdefault((*place, behind), []).append({**record, **layer})
    ends = [rows[-1] for rows in found.values()]
    names = [f"{end['network']} {end['layer']}, {end['size_px']} px" for end in ends]
    return dict(zip(names, found.values(), strict=True))


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        record = parse_json(line)
    except ValueError:  # not UTF-8, not JSON
        return None
    return record if isinstance(record, dict) and _is_whole(record) else None


def _is_whole(record: dict[str, Any]) -> bool:
    """Whether a record has what is read of its kind: a damaged line may still be JSON."""
    kind = record.get("kind", _EVALUATION if "title" in record else "")
    if not isinstance(kind, str) or not _has(record, _NEEDED.get(kind, {})):
        return False
    layers = record["layers"] if kind == "attention" else []
    return all(isinstance(layer, dict) and _has(layer, _LAYER) for layer in layers)


def _has(record: dict[str, Any], needed: Mapping[str, Any]) -> bool:
    return all(name in record and isinstance(record[name], form) for name, form in needed.items())
