"""The README and the docs do what they say: commands and Python run, the trainings shortened."""

import pkgutil
import re
import runpy
import shlex
import sys
from pathlib import Path

import pytest
import torch

import sagan
from sagan.cli import app, run_safely
from sagan.cli.demo import demo

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
DOCS = sorted((ROOT / "docs").glob("*.md"))
SHORTER = {
    "train": ["--images", "64"],
    "time": ["--images", "1280", "--g-width", "4", "--d-width", "8"],
    "article": ["--images", "16", "--batch-size", "8", "--g-width", "8", "--d-width", "8"],
}


def blocks(language, file=README):
    return re.findall(rf"```{language}\n(.*?)```", file.read_text(), flags=re.DOTALL)


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
            if "--time" in arguments:
                at = arguments.index("--time")
                arguments[at : at + 2] = SHORTER["time"]
            else:
                arguments += SHORTER["article" if "article" in arguments else "train"]
        call = arguments  # bound now
        code = run_safely(lambda call=call: app(call, exit_on_error=False, print_error=False))
        assert code == 0, (arguments, capfd.readouterr().err)
        if "--out" in arguments:
            assert (place / arguments[arguments.index("--out") + 1]).exists()


def test_every_row_of_a_table_has_as_many_cells_as_its_heading():
    for page in (README, *sorted((ROOT / "docs").rglob("*.md"))):
        cells = None
        for number, line in enumerate(page.read_text().splitlines(), 1):
            found = len(re.split(r"(?<!\\)\|", line)) if line.startswith("|") else None
            assert found == cells or None in (found, cells), f"{page}:{number}"
            cells = found


def test_the_python_runs_and_its_loop_learns(place, monkeypatch):
    monkeypatch.chdir(place)
    monkeypatch.setattr("sagan.metrics.scorer._SPLITS", 1)  # sooner
    sampling, networks, loop, scoring = blocks("python")
    shorter = loop.replace("num_samples=32_000", "num_samples=640")
    assert shorter != loop
    names = {}
    torch.manual_seed(0)
    exec(sampling, names)
    assert names["images"].shape == (16, 1, 8, 8)
    exec(networks, names)
    assert names["logits"].shape == (4,)
    assert names["maps"]["2"].weights.shape == (2, 256, 64)
    exec(shorter, names)
    untrained = sagan.sample(sagan.build_generator(names["network"]).eval(), 600)
    exec(scoring, names)
    before, after = (
        pixel_distance(images, names["test"].images) for images in (untrained, names["made"])
    )
    assert after < 0.95 * before
    assert names["ema"].network.attention["0"].gamma.item() != 0
    assert names["scores"]["cas"].real_vs_real.value > 0.9
    for picture in ("threes.png", "digits.png"):
        assert (place / picture).stat().st_size > 1000


def pixel_distance(generated, real):
    return sagan.evaluate(generated, real, metrics="fd:pixel")["fd:pixel"].value


def test_the_training_loop_has_ten_lines():
    (loop,) = (block for block in blocks("python") if "for images, labels in batches:" in block)
    body = loop[loop.index("for images, labels in batches:") :].split("\n")
    assert sum(line.startswith(("for ", " ")) for line in body) == 10


@pytest.mark.parametrize("file", [f for f in DOCS if blocks("python", f)], ids=lambda f: f.name)
def test_the_docs_python_runs_from_top_to_bottom(file, place, monkeypatch):
    """On a run of a few steps; what a trained one shows is told in the text."""
    monkeypatch.chdir(place)
    exec(compile("\n".join(blocks("python", file)), file.name, "exec"), {})


def test_the_figures_of_the_walk_can_be_made_again(place, tmp_path, monkeypatch):
    script = ROOT / "examples" / "attention_walk.py"
    arguments = [script, place / "runs/demo", "--out", tmp_path]
    monkeypatch.setattr(sys, "argv", [str(argument) for argument in arguments])
    runpy.run_path(str(script), run_name="__main__")
    made = {path.name for path in tmp_path.iterdir()}
    shown = set(
        re.findall(r"images/(attention-[0-7].*?png)", (ROOT / "docs/attention.md").read_text())
    )
    assert made == shown
    assert len(made) == 8


@pytest.mark.parametrize("file", [README, *DOCS], ids=lambda f: f.name)
def test_every_path_that_is_named_exists(file):
    for target in re.findall(r"\]\(([^)]+)\)", file.read_text()):
        if "://" not in target:
            path, _, anchor = target.partition("#")
            named = file.parent / path if path else file
            assert named.exists(), target
            assert not anchor or anchor in anchors(named), target


def anchors(file):
    """Where a link into a page can go, as GitHub names the headings."""
    headings = re.findall(r"^#+ (.*)", file.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings}


@pytest.mark.parametrize("file", [README, *DOCS], ids=lambda f: f.name)
def test_every_name_of_the_package_exists(file):
    """Of `sagan.a.b` in text and in code; TensorBoard's and exports' facts are no names of it."""
    facts = {"sagan.step", "sagan.version", "sagan.weights", "sagan.attention", "sagan.sha256"}
    for name in set(re.findall(r"\bsagan(?:\.[A-Za-z_]\w*)+", file.read_text())) - facts:
        assert resolve(name) is not None, name


def resolve(name):
    """What a dotted name means; None where it means nothing."""
    try:
        return pkgutil.resolve_name(name)
    except (ImportError, AttributeError):
        return None


def test_every_preset_is_in_the_readme():
    from sagan.config.presets import PRESETS

    for name in PRESETS:
        assert f"| `{name}` |" in README.read_text()
