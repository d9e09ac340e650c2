"""A run's log: one JSON object per line."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from sagan.files import append_durably, parse_json, write_atomically


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


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        record = parse_json(line)
    except ValueError:  # not UTF-8, not JSON
        return None
    return record if isinstance(record, dict) else None
