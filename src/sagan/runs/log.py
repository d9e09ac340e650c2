"""A run's log: one JSON object a line."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from sagan.files import write_atomically


def append_records(path: Path, *records: Mapping[str, Any]) -> None:
    """Append records to a JSONL file, whole lines at once."""
    with open(path, "a", encoding="utf-8") as file:
        file.write("".join(json.dumps(record) + "\n" for record in records))


def rewrite_records(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Replace a JSONL file by these records, at once."""
    write_atomically(path, "".join(json.dumps(record) + "\n" for record in records).encode())


def read_records(path: Path) -> Iterator[dict[str, Any]]:
    """Read a JSONL file's records; broken lines are left out."""
    return (record for _, record in read_lines(path) if record is not None)


def read_lines(path: Path) -> Iterator[tuple[bytes, dict[str, Any] | None]]:
    """Read a JSONL file's lines, each with its record, or None where it is broken.

    A last line cut short by a crash is left out.
    """
    if not path.is_file():
        return
    for line in path.read_bytes().split(b"\n")[:-1]:
        yield line + b"\n", _parsed(line)


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):  # not UTF-8, not JSON
        return None
    return record if isinstance(record, dict) else None
