"""A longer search for inputs that raise what is not declared, guided by coverage (atheris).

    pip install atheris
    python tests/faults/coverage_fuzz.py TARGET [-max_total_time=600] [FOLDER]

TARGET is configuration, manifest, log, picture, archive or export; FOLDER keeps what was found to
reach new code. It stops at the first input that raises anything else, and writes it to a file.
"""

import json
import sys
import tempfile
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parents[1]))
with atheris.instrument_imports(include=["sagan"]):
    from sagan.config import run_config_from_dict
    from sagan.data.decode import Unreadable, read_picture
    from sagan.data.sources.open_source import open_source
    from sagan.data.threads import read_all
    from sagan.errors import CheckpointError
    from sagan.exchange.open_exported import load
    from sagan.files import hashed_json
    from sagan.runs.checkpoint import open_checkpoint
    from sagan.runs.log import read_lines

PLACE = Path(tempfile.mkdtemp())
DECLARED = (ValueError, CheckpointError, Unreadable)


def written(name, content):
    (PLACE / name).write_bytes(content)
    return PLACE / name


def configuration(content):
    run_config_from_dict(json.loads(content))


def manifest(content):
    values = json.loads(content)
    if isinstance(values, dict):  # with its checksum right, so that its values are looked at
        content = hashed_json({**values, "format": 1})
    written("manifest.json", content)
    open_checkpoint(PLACE).verify()


def log(content):
    list(read_lines(written("log.jsonl", content)))


def archive(content):
    for _, result in read_all(open_source(str(written("archive", content))), lambda p: p.size_px):
        assert isinstance(result, tuple | Unreadable)


def export(content):
    load(written("g.safetensors", content))


TARGETS = {
    "configuration": configuration,
    "manifest": manifest,
    "log": log,
    "picture": read_picture,
    "archive": archive,
    "export": export,
}


def main():
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        sys.exit(f"name one of {', '.join(TARGETS)}")
    target = TARGETS[sys.argv.pop(1)]

    def once(content):
        try:
            target(content)
        except (*DECLARED, RecursionError):  # of json.loads above, which the program does not call
            pass

    atheris.Setup(sys.argv, once)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
