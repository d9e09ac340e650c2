"""Row 4: a file is on the disk before it has its name, and its name before it is relied on."""

import os
from pathlib import Path

import pytest
from faults.test_row02_kills_inside_a_save import CONFIG, state

from sagan.runs.log import append_records
from sagan.runs.run import Run


@pytest.fixture
def calls(monkeypatch):
    """What is synced, renamed and removed, in order, by name."""
    made = []
    names = {}
    real_open, real_os_open = open, os.open

    def opened(path, *args, **kwargs):
        file = real_open(path, *args, **kwargs)
        names[file.fileno()] = Path(path).name
        return file

    def os_opened(path, *args, **kwargs):
        descriptor = real_os_open(path, *args, **kwargs)
        names[descriptor] = Path(os.fspath(path)).name
        return descriptor

    def recording(name):
        call = getattr(os, name)

        def recorded(*args):
            what = names[args[0]] if name == "fsync" else Path(args[-1]).name
            made.append((name, what))
            return call(*args)

        return recorded

    monkeypatch.setattr("sagan.files.open", opened, raising=False)
    for name in ("fsync", "rename", "replace"):
        monkeypatch.setattr(os, name, recording(name))
    monkeypatch.setattr(os, "open", os_opened)
    return made


@pytest.mark.fault(4)
def test_a_checkpoint_is_on_the_disk_before_it_has_its_name(tmp_path, calls):
    run = Run(tmp_path / "run")
    run.save(1, state(1), config=CONFIG, keep=1)
    calls.clear()
    run.save(2, state(2), config=CONFIG, keep=1)
    files = [f"{name}.safetensors" for name in state(2)]
    assert calls[: len(files)] == [("fsync", file) for file in files]
    rest = [what for what in calls[len(files) :]]
    assert rest[:-1] == [
        ("fsync", "manifest.json"),  # last of the files, as it vouches for them
        ("fsync", ".partial-step-00000002"),
        ("rename", "step-00000002"),
        ("fsync", "checkpoints"),
        ("fsync", ".partial-latest"),  # and only then is it pointed to
        ("replace", "latest"),
        ("fsync", "run"),
    ]
    call, doomed = rest[-1]  # the old one goes last
    assert call == "rename"
    assert doomed.startswith(".removed-step-00000001-")


@pytest.mark.fault(4)
def test_the_log_is_on_the_disk_once_appended_to(tmp_path, calls):
    log = tmp_path / "log.jsonl"
    append_records(log, {"step": 1})
    assert calls == [("fsync", "log.jsonl"), ("fsync", tmp_path.name)]  # the new name too
    calls.clear()
    append_records(log, {"step": 2}, {"step": 3})
    assert calls == [("fsync", "log.jsonl")]
    assert log.read_bytes() == b'{"step": 1}\n{"step": 2}\n{"step": 3}\n'


@pytest.mark.fault(4)
def test_a_torn_line_does_not_swallow_the_next(tmp_path):
    log = tmp_path / "log.jsonl"
    log.write_bytes(b'{"step": 1}\n{"st')
    append_records(log, {"step": 2})
    assert log.read_bytes() == b'{"step": 1}\n{"st\n{"step": 2}\n'
