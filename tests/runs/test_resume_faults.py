"""What stands in the way of resuming is told apart, said in one line, and loses nothing."""

import errno
import json
import shutil
from pathlib import Path

import pytest
from command_line import SMALL, sagan

from sagan.files import hashed_json
from sagan.runs.log import read_records
from sagan.runs.run import Run

OPTIONS = [*SMALL, "--log-every", 32, "--snapshot-every", 32]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "run"
    assert sagan("train", path, "--images", 96, *OPTIONS) == 0
    return path


@pytest.fixture
def run(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "run")
    return Run(tmp_path / "run")


def go_on(run, *options):
    return sagan("train", run.path, "--images", 128, *OPTIONS, *options)


def steps(run):
    return [path.name for path in run.checkpoint_paths()]


@pytest.mark.fault(6)
def test_trouble_in_reading_is_not_taken_for_damage(run, monkeypatch, capsys):
    read = Path.read_bytes

    def failing(path):
        if path.suffix == ".safetensors":
            raise OSError(errno.EIO, "Input/output error", str(path))
        return read(path)

    before = steps(run)
    monkeypatch.setattr(Path, "read_bytes", failing)
    assert go_on(run) == 1
    said = capsys.readouterr().err
    assert "Input/output error" in said
    assert "Traceback" not in said
    monkeypatch.undo()
    assert steps(run) == before
    assert go_on(run) == 0
    assert run.checkpoint(verify_files=()).step == 4


def damage_all(run):
    for path in run.checkpoint_paths():
        (path / "generator.safetensors").write_bytes(b"")


@pytest.mark.fault(8)
def test_training_does_not_begin_again_over_unsound_checkpoints(run, capsys):
    damage_all(run)
    before = steps(run)
    assert go_on(run) == 1
    assert "--from-scratch" in capsys.readouterr().err
    assert steps(run) == before


def test_a_run_whose_checkpoints_are_gone_does_not_begin_again(run, capsys):
    shutil.rmtree(run.path / "checkpoints")
    assert go_on(run) == 1
    assert "step-00000003 is gone" in capsys.readouterr().err


def test_from_scratch_begins_again_and_removes_nothing(run):
    damage_all(run)
    before = steps(run)
    assert go_on(run, "--from-scratch") == 0
    assert sorted(path.name for path in (run.path / "before-1/checkpoints").iterdir()) == before
    assert (run.path / "before-1/log.jsonl").is_file()
    assert next(read_records(run.log_path))["images"] == 0
    assert run.checkpoint(verify_files=()).step == 4


@pytest.mark.parametrize(
    ("section", "name", "value"),
    [("training", "g_lr", 0.5), ("training", "seed", 7), ("training", "batch_size", 16),
     ("training", "loss", "non-saturating"), ("network", "latent_dim", 32)],
)  # fmt: skip
@pytest.mark.fault(10)
def test_an_edited_configuration_is_refused_with_the_difference(run, capsys, section, name, value):
    file = run.path / "config.json"
    config = json.loads(file.read_text())
    config[section][name] = value
    file.write_text(json.dumps(config))
    assert sagan("train", run.path, "--device", "cpu") == 2
    assert f"{section}.{name}: " in capsys.readouterr().err


@pytest.mark.parametrize(
    "offset",
    [pytest.param(at, marks=[pytest.mark.slow] * (at % 4 > 0)) for at in range(1, 40, 3)],
)
def test_a_flipped_bit_in_the_log_stops_nothing(run, offset, capsys):
    content = bytearray(run.log_path.read_bytes())
    content[offset * len(content) // 40] ^= 1 << offset % 8
    run.log_path.write_bytes(content)
    assert go_on(run) == 0
    lines = [json.loads(line) for line in run.log_path.read_text().splitlines()]
    assert lines[-1]["step"] == 4
    if (aside := run.path / "log.broken.jsonl").exists():
        assert "set aside in log.broken.jsonl" in capsys.readouterr().err
        assert aside.read_bytes().count(b"\n") in (1, 2)  # a flipped line break makes two lines


def test_a_record_without_its_step_is_set_aside(run, capsys):
    lines = run.log_path.read_text().splitlines(keepends=True)
    lines.insert(2, '{"kind": "train"}\n')
    lines.insert(3, "[1, 2]\n")
    run.log_path.write_text("".join(lines))
    assert go_on(run) == 0
    assert "2 broken records set aside" in capsys.readouterr().err
    assert (run.path / "log.broken.jsonl").read_text() == '{"kind": "train"}\n[1, 2]\n'


def test_sums_that_are_no_numbers_keep_no_run_from_resuming(run):
    file = run.checkpoint_paths()[-1] / "manifest.json"
    manifest = json.loads(file.read_text())
    manifest["log_sums"] = {"d_loss": float("nan"), "g_loss": float("inf")}
    file.write_bytes(hashed_json(manifest))
    assert go_on(run) == 0
    assert run.checkpoint(verify_files=()).step == 4


@pytest.mark.fault(20)
def test_sums_that_are_no_numbers_are_not_saved(tmp_path, monkeypatch, capsys):
    import torch

    from sagan.training import update

    real = update.g_step

    def bad(*args, **kwargs):
        return real(*args, **kwargs) | {"g_loss": torch.tensor(torch.nan)}

    monkeypatch.setattr(update, "g_step", bad)
    options = [*SMALL, "--log-every", 96, "--snapshot-every", 32]
    assert sagan("train", tmp_path / "run", "--images", 96, *options) == 1
    assert "g_loss is no longer finite at 32 images" in capsys.readouterr().err
    assert not Run(tmp_path / "run").checkpoint_paths()


@pytest.mark.parametrize("arguments", [("",), ("run", "--data", ""), ("run", "--data", " ")])
def test_an_empty_argument_is_refused(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert sagan("train", *arguments, *SMALL) == 2
    assert "is empty" in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


def test_a_pointer_that_is_not_text_names_nothing(tmp_path):
    (tmp_path / "latest").write_bytes(b"\xf3tep-00000004\n")
    pointed = Run(tmp_path).pointed_to("latest")
    assert pointed is not None
    assert not pointed.exists()
