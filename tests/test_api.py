"""The public names: what they import, what their docstrings say, their types, their reference."""

import ast
import doctest
import importlib
import inspect
import os
import pkgutil
import re
import runpy
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import sagan

ROOT = Path(__file__).parent.parent
reference = runpy.run_path(str(ROOT / "docs/reference.py"))
DOCUMENTED = dict(reference["documented"]())
FORMULAS = reference["SECTIONS"]["Formulas of the metrics, for features of your own"]
HEAVY = "cyclopts datasets fastapi lightning_fabric matplotlib onnx onnxruntime sklearn tensorboard"
PUBLISHED = {  # what a paper or a released code is the source of
    "ConditionalBatchNorm",
    "DiscriminatorBlock",
    "EMA",
    "GeneratorBlock",
    "SelfAttention",
    "SpectralNorm",
    "build_discriminator",
    "build_generator",
    "discriminator_loss",
    "generator_loss",
    "gradient_penalty",
    "metrics.load_inception",
    "power_iteration",
    *FORMULAS,
}


def in_a_new_python(code):
    """What a program prints; the tree under test is found before an installed one."""
    path = os.pathsep.join([str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def public(name):
    """What is meant by a name of the reference."""
    return pkgutil.resolve_name(f"sagan.{name}")


def sections(name):
    """A docstring's sections by their heading, each as its text."""
    parts = re.split(r"^(Args|Returns|Raises|Source|Example):\n", inspect.getdoc(public(name)),
                     flags=re.MULTILINE)  # fmt: skip
    return dict(zip(["", *parts[1::2]], parts[::2], strict=True))


def test_importing_the_package_is_quick_and_imports_nothing():
    seconds, *loaded = in_a_new_python("""
        import importlib, sys, time, typing  # its own time, without the standard library's
        before = set(sys.modules)
        start = time.perf_counter()
        import sagan
        print(time.perf_counter() - start, *sorted(set(sys.modules) - before))
    """).split()
    assert set(loaded) == {"sagan", "sagan.version"}
    assert float(seconds) < 0.1


def test_no_name_imports_what_it_does_not_need():
    """All of them together load no engine, no drawing and no command line."""
    out = in_a_new_python(f"""
        import sys, sagan
        for name in ("NetworkConfig", "RunConfig", "TrainingConfig", "preset"):
            getattr(sagan, name)
        assert not {{"torch", "numpy"}} & set(sys.modules)
        for name in sagan.__all__:
            getattr(sagan, name)
        assert "torch" in sys.modules
        print(*sorted(set("{HEAVY}".split()) & set(sys.modules)))
    """)
    assert out.split() == []


@pytest.mark.parametrize("name", ["sagan", "sagan.training", "sagan.explain"])
def test_lazy_faces_import_at_run_time_what_type_checkers_read(name):
    face = importlib.import_module(name)
    (block,) = (
        node.body
        for node in ast.parse(Path(face.__file__).read_text()).body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    read = {alias.asname: statement.module for statement in block for alias in statement.names}
    assert read == face._MODULES
    assert {*face.__all__} - {"__version__"} == read.keys()
    for exported in face.__all__:
        assert getattr(face, exported) is not None


def test_tab_completion_shows_the_public_names():
    assert dir(sagan) == sorted(sagan.__all__)


def test_the_reference_has_every_public_name():
    assert {name for name in DOCUMENTED if "." not in name} == {*sagan.__all__} - {"__version__"}


def test_the_reference_is_fresh():
    assert reference["FILE"].read_text() == reference["reference"](), "run ./dev docs"


@pytest.mark.parametrize("name", DOCUMENTED)
def test_a_docstring_says_what_the_house_asks_for(name):
    thing = public(name)
    said = sections(name)
    first, blank, *_ = [*inspect.getdoc(thing).splitlines(), ""]
    assert first.endswith(".")
    assert not blank
    arguments = [p for p in inspect.signature(thing).parameters if p not in ("self", "args")]
    listed = re.findall(r"^    (\w[\w, ]*):", said.get("Args", ""), flags=re.MULTILINE)
    assert [one for names in listed for one in names.split(", ")] == arguments
    assert ("Raises" in said) >= raises(thing)
    assert ("Source" in said) == (name in PUBLISHED)
    assert doctest.DocTestParser().get_examples(said["Example"])


def raises(thing):
    """Whether a function refuses input, or a class on being made."""
    bodies = [thing]
    if inspect.isclass(thing):
        bodies = [found for n in ("__init__", "__post_init__") if (found := vars(thing).get(n))]
    for body in bodies:
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(body)))
        except OSError:  # a dataclass's own __init__
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Raise):
                return True
            if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("require"):
                return True
    return False


def test_the_package_says_that_it_is_typed():
    assert (Path(sagan.__file__).parent / "py.typed").exists()


@pytest.mark.slow  # mypy reads torch: 25 s. `./dev lint` checks the same file from inside
def test_a_users_program_is_typed_from_outside(tmp_path):
    """Against the package alone, without this project's settings, and every Any is found."""
    program = tmp_path / "program.py"
    program.write_text((ROOT / "tests/typing_of_the_api.py").read_text())
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--cache-dir", tmp_path]
    environment = {**os.environ, "MYPYPATH": str(ROOT / "src")}

    def check():
        return subprocess.run([*command, program], env=environment, capture_output=True, text=True)

    done = check()
    assert done.returncode == 0, done.stdout
    with program.open("a") as file:
        file.write("\n\nassert_type(torch.nn.Linear(1, 1)(torch.ones(1)), Tensor)\n")
    assert 'is of type "Any"' in check().stdout
