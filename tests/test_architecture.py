"""docs/architecture.md says what the code is: rooms, floors, files and functions."""

import ast
import re
from pathlib import Path

import pytest
from test_contract import FLOORS

import sagan

SOURCE = Path(sagan.__file__).parent
PAGE = (Path(__file__).parent.parent / "docs/architecture.md").read_text(encoding="utf-8")
PLACES = sorted(set(re.findall(r"`([\w/]+\.py)(?::(\w+))?`", PAGE)))
ROWS = re.findall(r"^\| (\d) \| (.*?) \|", PAGE, re.MULTILINE)


def test_the_table_lists_every_room_on_its_floor():
    listed = {
        name.removesuffix("/").removesuffix(".py"): int(floor)
        for floor, names in ROWS
        for name in re.findall(r"`([\w/.]+)`", names)
    }
    assert listed == FLOORS


@pytest.mark.parametrize(("file", "name"), PLACES)
def test_every_file_and_function_on_the_page_is_there(file, name):
    path = SOURCE / file
    assert path.is_file() or path.name in {p.name for p in (Path(__file__).parent).glob("*.py")}
    if name:
        defined = {n.name for n in ast.parse(path.read_text()).body if hasattr(n, "name")}
        assert name in defined


def test_every_folder_on_the_page_is_there():
    for folder in set(re.findall(r"`([\w/]+/)`", PAGE)):
        assert any(path.is_dir() for path in (SOURCE / folder, *SOURCE.glob(f"*/{folder}")))
