"""The house's rules: which wing may import which, and which library only one file may name."""

import ast
from pathlib import Path

import pytest

import sagan

SOURCE = Path(sagan.__file__).parent
FLOORS = {
    "__init__": 0,
    "checks": -2,
    "network": -1,
    "config": 0,
    "card": 0.7,
    "devices": 0,
    "facts": 0.5,
    "files": 0,
    "hub": 0,
    "presets": 0.5,
    "pth": 0,
    "randomness": 0,
    "runlog": 0.5,
    "nn": 1,
    "data": 1,
    "metrics": 1,
    "models": 2,
    "checkpoint": 3,
    "run": 3.3,
    "sampling": 3.5,
    "training": 4,
    "explain": 4,
    "exchange": 4,
    "bench": 4.5,
    "cli": 5,
    "__main__": 6,
}
ONLY_IN = {
    "huggingface_hub": {"hub.py"},
    "lightning_fabric": {"training/engine.py"},
    "cyclopts": {"cli"},
    "matplotlib": {"bench", "explain", "training/curves.py"},
    "tensorboard": {"training/board.py"},
    "rich": {"runlog.py"},
    "sklearn": {"data", "metrics"},
    "onnx": {"exchange/onnx.py"},
    "onnxruntime": {"exchange/onnx.py"},
    "onnxscript": {"exchange/onnx.py"},
    "safetensors": {
        "checkpoint.py",
        "exchange/weights_file.py",
        "metrics/inception_features.py",
        "models/pretrained.py",
    },
    "fastapi": {"explain/server.py"},
    "pydantic": {"explain/server.py"},
    "starlette": {"explain/server.py"},
    "uvicorn": {"explain/server.py"},
    "PIL": {"data", "sampling.py", "bench"},
}
FILES = sorted(SOURCE.rglob("*.py"))


def imported(path):
    """Every module that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module
            if node.module == "sagan":
                yield from (f"sagan.{alias.name}" for alias in node.names)


def wing(path):
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_go_down_the_floors(path):
    mine = wing(path)
    for module in imported(path):
        parts = module.split(".")
        if parts[0] != "sagan" or len(parts) == 1 or parts[1] not in FLOORS:
            continue
        if mine != "__init__" and parts[1] != mine:
            assert FLOORS[parts[1]] < FLOORS[mine], f"{mine} imports {module}"


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


@pytest.mark.parametrize("name", ["config", "network", "presets", "models/channels"])
def test_no_torch_in_what_the_command_line_reads_first(name):
    assert "torch" not in set(imported(SOURCE / f"{name}.py"))


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


def test_every_exported_name_exists():
    for name in sagan.__all__:
        assert getattr(sagan, name) is not None
    with pytest.raises(AttributeError, match="nonsense"):
        sagan.nonsense  # noqa: B018
