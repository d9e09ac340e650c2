"""The README does what it says: its commands and its Python run, the trainings shortened."""

import re
import shlex
from pathlib import Path

import pytest

from sagan.cli import app, run_safely
from sagan.cli.demo import demo

README = Path(__file__).parent.parent / "README.md"
SHORTER = {
    "train": ["--images", "64"],
    "article": ["--images", "16", "--batch-size", "8", "--g-width", "8", "--d-width", "8"],
}


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(), flags=re.DOTALL)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a short demo run in it, to be in."""
    path = tmp_path_factory.mktemp("readme")
    assert demo(path / "runs/demo", images=640, seed=0) == 0
    return path


def test_the_demo_names_pictures_that_are_there(place):
    run = place / "runs/demo"
    for name in ("samples.png", "samples-gamma-0.png", "attention/attention-g.png"):
        assert (run / name).stat().st_size > 1000, name


def test_every_command_runs(place, monkeypatch, capfd):
    monkeypatch.chdir(place)
    lines = [line for block in blocks("bash") for line in block.splitlines()]
    commands = [shlex.split(line, comments=True) for line in lines if line.startswith("sagan ")]
    commands.remove(["sagan", "explore", "runs/demo"])  # runs until stopped; tests/explain has it
    assert len(commands) >= 8
    for _, *arguments in commands:
        if arguments[0] == "train":
            arguments += SHORTER["article" if "article" in arguments else "train"]
        call = arguments  # bound now
        code = run_safely(lambda call=call: app(call, exit_on_error=False, print_error=False))
        assert code == 0, (arguments, capfd.readouterr().err)
        if "--out" in arguments:
            assert (place / arguments[arguments.index("--out") + 1]).exists()


def test_the_python_runs(place, monkeypatch):
    monkeypatch.chdir(place)
    (code,) = blocks("python")
    names = {}
    exec(code, names)
    assert names["images"].shape == (16, 1, 8, 8)
    assert names["logits"].shape == (4,)
    assert names["maps"].shape == (2, 256, 64)


def test_every_path_that_the_readme_names_exists():
    text = README.read_text()
    root = README.parent
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if "://" not in target:
            assert (root / target).exists(), target


def test_every_preset_is_in_the_readme():
    from sagan.presets import PRESETS

    for name in PRESETS:
        assert f"| `{name}` |" in README.read_text()
