"""`sagan runs`: what a run holds, what is wrong with it, and what --repair puts right."""

import json
import shutil
from pathlib import Path

import pytest
from command_line import sagan

from sagan.runs.run import Run

GOLDEN = Path(__file__).parents[1] / "golden" / "v0.1.0" / "digits"


@pytest.fixture
def run(tmp_path):
    shutil.copytree(GOLDEN, tmp_path / "run")
    return Run(tmp_path / "run")


def asked(run, capsys, *options):
    capsys.readouterr()
    code = sagan("runs", run.path, *options)
    out, err = capsys.readouterr()
    return code, json.loads(out), err


def damage(run, number, file="ema.safetensors"):
    path = run.checkpoint_paths()[number] / file
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def test_a_sound_run_is_listed(run, capsys):
    code, found, table = asked(run, capsys, "--verify")
    assert (code, found["sound"], found["faults"]) == (0, True, [])
    first, second = found["checkpoints"]
    assert (first["step"], first["images"], second["step"], second["images"]) == (2, 32, 4, 64)
    assert {p for c in found["checkpoints"] for p in c["pointers"]} == {"latest", "best"}
    assert first["score"]["metric"] == "fd:pixel"
    assert first["n_bytes"] > 100_000
    assert "sound" in table


def test_damage_is_seen_where_bytes_are_read_and_named(run, capsys):
    damage(run, 0)
    assert asked(run, capsys)[0] == 0  # the size is as it was
    code, found, table = asked(run, capsys, "--verify")
    assert (code, found["sound"]) == (1, False)
    assert "ema.safetensors is damaged" in found["checkpoints"][0]["fault"]
    assert found["checkpoints"][1]["fault"] == ""
    assert "ema.safetensors is damaged" in table


def test_what_can_be_put_right_is_and_no_checkpoint_is_removed(run, capsys):
    (run.path / "checkpoints/.partial-step-00000009").mkdir()
    (run.path / "latest").write_text("step-00000077\n")
    damage(run, -1, "generator.safetensors")
    (run.path / "best").write_text("step-00000004\n")
    records = run.log_path.read_bytes()
    run.log_path.write_bytes(b"junk\n" + records + b'{"kind": "tr')
    code, found, _ = asked(run, capsys)
    assert code == 1
    assert len(found["faults"]) == 4
    code, found, table = asked(run, capsys, "--verify", "--repair")
    assert (code, found["faults"]) == (1, [])  # the damaged checkpoint stays what it is
    assert [c["name"] for c in found["checkpoints"]] == ["step-00000002", "step-00000004"]
    assert found["checkpoints"][0]["pointers"] == ["latest", "best"]
    assert len(found["repaired"]) == 5
    assert run.log_path.read_bytes() == records
    assert (run.path / "log.broken.jsonl").read_bytes() == b'junk\n{"kind": "tr\n'
    assert not list(run.path.rglob(".partial*"))
    assert "repaired: latest names step-00000002" in table
    assert asked(run, capsys, "--repair")[1]["repaired"] == []  # nothing is left to do


def test_a_damaged_identity_is_said_and_is_that_of_the_checkpoints_again(run, capsys):
    (run.path / "run.json").write_text('{"id": "')
    code, found, _ = asked(run, capsys)
    (fault,) = found["faults"]
    assert (code, fault.split()[0]) == (1, "run.json")
    code, found, table = asked(run, capsys, "--repair")
    assert (code, found["faults"], len(found["repaired"])) == (0, [], 1)
    assert f"repaired: run.json was damaged; the run's identity is {found['identity'][:8]}" in table


def test_a_run_that_is_being_trained_is_not_repaired(run, capsys):
    with run.lock():
        assert sagan("runs", run.path, "--repair") == 2
    assert "another process is training" in capsys.readouterr().err


def test_what_is_not_a_run_is_refused(tmp_path, run, capsys):
    for path in (tmp_path / "nowhere", tmp_path, run.checkpoint_paths()[0]):
        assert sagan("runs", path) == 2
        assert capsys.readouterr().err.count("\n") == 1
