"""The checksum in an exported file: SHA-256 of all its bytes, with its own digits taken as zeros.

It stands in the file's metadata, where other programs pass over it. It shows damage, not malice:
whoever can write the file can write its checksum.
"""

import hashlib
import json
import mmap
import os
import re

_DIGITS = 64
_BEFORE = re.compile(rb'sagan\.sha256(?:":"|\x12\x40)(?=[0-9a-f]{64})')  # JSON, or protobuf
_MARK = b"sagan.sealed"  # so that damage to the checksum's name does not pass for an older file
UNSEALED = {"sagan.sealed": "sha256", "sagan.sha256": "0" * _DIGITS}  # metadata for `seal` to fill


def seal(content: bytes) -> bytes:
    """Fill in the checksum of a file whose metadata has `UNSEALED`.

    Example:
        >>> content = seal(b'{"sagan.sealed":"sha256","sagan.sha256":"' + b"0" * 64 + b'"}')
        >>> is_sound(content), is_sound(content.replace(b"}", b"]")), is_sound(b"of before")
        (True, False, None)
    """
    content = _in_order(content)
    found = _BEFORE.search(content)
    assert found is not None
    return b"".join(
        (
            content[: found.end()],
            _digest(content, found.end()).encode(),
            content[found.end() + _DIGITS :],
        )
    )


def _in_order(content: bytes) -> bytes:
    """A safetensors file with its metadata by name: its library writes them in any order."""
    size = int.from_bytes(content[:8], "little")
    if size > len(content) or content[8:9] != b"{":
        return content  # of another format
    header = json.loads(content[8 : 8 + size])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    ordered = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    ordered += b" " * (-len(ordered) % 8)  # as the library aligns it
    return len(ordered).to_bytes(8, "little") + ordered + content[8 + size :]


def is_sound(content: bytes | mmap.mmap) -> bool | None:
    """Whether a file is as it was written; None if it carries no checksum."""
    found = _BEFORE.search(content)
    marked = content.find(_MARK) >= 0
    if found is None or not marked:
        return False if marked or found is not None else None
    written = content[found.end() : found.end() + _DIGITS]
    return _digest(content, found.end()).encode() == written


def check_seal(path: str | os.PathLike[str], where: object) -> str:
    """ValueError, naming `where`, for a damaged file; else what to say of one without checksum."""
    with open(path, "rb") as file:
        if not os.fstat(file.fileno()).st_size:
            return ""  # its reader will say what it is
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            sound = is_sound(content)
    if sound is False:
        raise ValueError(f"{where} is damaged: its content is not what was exported")
    return "" if sound else f"{where} carries no checksum: damage to it would not be noticed"


def _digest(content: bytes | mmap.mmap, at: int) -> str:
    digest = hashlib.sha256()
    with memoryview(content) as view:
        for part in (view[:at], b"0" * _DIGITS, view[at + _DIGITS :]):
            digest.update(part)
            if isinstance(part, memoryview):
                part.release()
    return digest.hexdigest()
