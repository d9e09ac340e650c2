"""The house's rules: which wing may import which, and which library only one file may name."""

import ast
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import pytest

import sagan

SOURCE = Path(sagan.__file__).parent
FLOORS = {
    "version": 0,
    "errors": 0,
    "files": 0,
    "devices": 0,
    "images": 0,
    "progress": 0,
    "pth": 0,
    "randomness": 0,
    "text": 0,
    "config": 0,
    "sampling": 1,
    "nn": 1,
    "sharing": 1,
    "metrics": 1,
    "data": 2,
    "models": 2,
    "runs": 3,
    "training": 4,
    "explain": 4,
    "peers": 4,
    "exchange": 4,
    "gallery": 4,
    "evaluation": 5,
    "structure": 5,
    "bench": 5,
    "ablation": 6,
    "cli": 7,
    "__main__": 8,
}
ONLY_IN = {
    "huggingface_hub": {"sharing/hub.py"},
    "lightning_fabric": {"training/engine.py"},
    "cyclopts": {"cli"},
    "matplotlib": {"explain", "training/curves.py", "ablation/plots.py"},
    "tensorboard": {"training/tensorboard.py"},
    "rich": {"progress.py"},
    "sklearn": {"data", "metrics"},
    "onnx": {"exchange/onnx.py"},
    "onnxruntime": {"exchange/onnx.py"},
    "onnxscript": {"exchange/onnx.py"},
    "safetensors": {
        "exchange/safetensors_file.py",
        "gallery/contents.py",
        "metrics/features/inception_features.py",
        "runs/checkpoint.py",
        "sharing/mixin.py",
    },
    "fastapi": {"explain/live/server.py"},
    "pydantic": {"explain/live/server.py"},
    "starlette": {"explain/live/server.py"},
    "uvicorn": {"explain/live/door.py", "explain/live/server.py"},
    "PIL": {"data", "images.py", "bench"},
}
FILES = sorted(SOURCE.rglob("*.py"))


def imported(path):
    """Every module that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            for alias in node.names:  # a module of a package, or a name of a module
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in MODULES else node.module


def dotted(path):
    """A file's module name; a package's face has its folder's."""
    place = path.relative_to(SOURCE.parent).with_suffix("")
    return ".".join(place.parts).removesuffix(".__init__")


def wing(path):
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


MODULES = {dotted(path): path for path in FILES}
WINGS = {wing(path) for path in FILES}


def test_few_files_stand_at_the_top():
    assert len(list(SOURCE.glob("*.py"))) <= 12


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_go_down_the_floors(path):
    mine = wing(path)
    if mine == "__init__":  # the package's face hands every room's names on
        return
    for module in imported(path):
        first, *rest = module.split(".")
        if first == "sagan" and rest and rest[0] != mine and rest[0] in WINGS:
            assert FLOORS[rest[0]] < FLOORS[mine], f"{mine} imports {module}"


def test_every_wing_has_a_whole_floor():
    assert {*FLOORS} == WINGS - {"__init__"}
    assert all(isinstance(floor, int) for floor in FLOORS.values())


def test_files_import_each_other_in_no_circle():
    uses = {
        name: {module for module in imported(path) if module in MODULES and module != name}
        for name, path in MODULES.items()
    }
    while uses:
        leaves = {name for name, used in uses.items() if not used & uses.keys()}
        assert leaves, f"a circle among {sorted(uses)}"
        uses = {name: used for name, used in uses.items() if name not in leaves}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_libraries_stay_in_their_rooms(path):
    place = path.relative_to(SOURCE)
    for module in imported(path):
        rooms = ONLY_IN.get(module.split(".")[0])
        if rooms is not None:
            assert str(place) in rooms or place.parts[0] in rooms, f"{place} imports {module}"


def test_metrics_never_import_models():
    for path in (SOURCE / "metrics").glob("*.py"):
        assert not any(module.startswith("sagan.models") for module in imported(path))


NO_TORCH = (
    [f"sagan.config.{path.stem}" for path in (SOURCE / "config").glob("*.py")]
    + ["sagan.sharing.facts", "sagan.sharing.hub", "sagan.sharing.card"]
    + ["sagan.runs.place", "sagan.training.options"]
    + ["sagan", "sagan.cli", "sagan.errors", "sagan.files", "sagan.progress", "sagan.text"]
    + ["sagan.version"]
)


def test_no_torch_where_none_is_claimed():
    program = f"""
import importlib, sys
for name in {NO_TORCH!r}:
    importlib.import_module(name)
    assert "torch" not in sys.modules, name
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_nothing_is_pickled():
    for path in FILES:
        tree = ast.parse(path.read_text())
        assert not {"pickle", "dill", "joblib", "marshal"} & set(imported(path)), path
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                forbidden = {("torch", "save")} | (
                    set() if path.name == "pth.py" else {("torch", "load")}
                )
                assert (node.value.id, node.attr) not in forbidden, path


def test_the_one_torch_load_reads_weights_only():
    calls = [
        node
        for node in ast.walk(ast.parse((SOURCE / "pth.py").read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load"
    ]
    assert len(calls) == 1
    assert "weights_only=True" in ast.unparse(calls[0])


def test_files_stay_readable():
    for path in FILES:
        assert len(path.read_text().splitlines()) <= 350, path


# Outside cli/ and bench/, whose files and functions are named for the commands and for what they
# measure.
NAMED_ROOMS = [path for path in FILES if wing(path) not in {"cli", "bench"}]
NAMES_TWICE = {
    "read_generator": "every peer's reader has this pair",
    "read_discriminator": "every peer's reader has this pair",
    "Networks": "what a step trains, and a group of train's options",
}


def test_no_two_files_share_a_name():
    names = Counter(path.name for path in NAMED_ROOMS if path.name != "__init__.py")
    assert not [name for name, count in names.items() if count > 1]


def test_no_two_functions_or_classes_share_a_name():
    places = defaultdict(list)
    for path in NAMED_ROOMS:
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(dotted(path))
    twice = {name: where for name, where in places.items() if len(where) > 1}
    assert not {name: where for name, where in twice.items() if name not in NAMES_TWICE}


def test_every_exported_name_exists():
    for name in sagan.__all__:
        assert getattr(sagan, name) is not None
    with pytest.raises(AttributeError, match="nonsense"):
        sagan.nonsense  # noqa: B018
