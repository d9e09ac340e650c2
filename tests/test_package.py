"""What is published: one version, a licence, and archives that hold what they should."""

import ast
import hashlib
import importlib.metadata
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from itertools import chain
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import sagan
from sagan.cli import app, run_safely
from sagan.config import NetworkConfig, RunConfig
from sagan.runs.run import Run

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text())
APACHE_2_0_SHA256 = "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"
IMPORTED_AS = {"pillow": "PIL", "scikit-learn": "sklearn"}
COME_WITH = {"fastapi": {"pydantic", "starlette"}}  # it promises them
MOST_WHEEL_BYTES = 10_000_000
FASHION = "sagan/data/sources/fashion_mnist"
FASHION_FILES = ("fashion.npy.xz", "LICENSE-fashion-mnist", "README.md")
FOLDERS = ["benchmarks", "docs", "examples", "src", "tests"]
TOP = [
    "CHANGELOG.md",
    "CITATION.cff",
    "LICENSE",
    "README.md",
    "constraints.txt",
    "dev",
    "lock.txt",
    "pyproject.toml",
]


def test_the_version_is_one_and_semantic(capsys):
    assert re.fullmatch(r"(0|[1-9]\d*)(\.(0|[1-9]\d*)){2}(-[0-9a-z.]+)?", sagan.__version__)
    assert CITATION["version"] == sagan.__version__
    newest = re.search(r"^## (\S+) \((.+)\)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    version, date = newest.groups()
    assert version == sagan.__version__
    assert date == "unreleased" or date == str(CITATION["date-released"])
    assert run_safely(lambda: app(["--version"])) == 0
    assert capsys.readouterr().out == f"{sagan.__version__}\n"


def test_the_citation_has_what_its_format_asks_for():
    assert CITATION["cff-version"] == "1.2.0"
    assert CITATION["title"] == PROJECT["name"]
    assert CITATION["license"] == PROJECT["license"].split(" AND ")[0]  # the code's
    assert CITATION["message"]
    (paper,) = CITATION["references"]
    assert paper["title"] == "Self-Attention Generative Adversarial Networks"
    for work in (CITATION, paper):
        assert work["type"] in ("software", "conference-paper")
        assert all({"name"} == set(a) or {"family-names"} <= set(a) for a in work["authors"])


def test_the_licence_is_apaches_word_for_word():
    assert hashlib.sha256((ROOT / "LICENSE").read_bytes()).hexdigest() == APACHE_2_0_SHA256


def installed(requirements, extras):
    """Metadata of all that these requirements bring, as far as it is installed here."""
    found = {}

    def visit(requirement, extras):
        environments = [{"extra": extra} for extra in ("", *extras)]
        if requirement.marker and not any(map(requirement.marker.evaluate, environments)):
            return
        name = canonicalize_name(requirement.name)
        if name in found or name.startswith(("nvidia-", "cuda-")):  # of torch's CUDA builds alone
            return
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:  # for another system, say
            return
        found[name] = distribution.metadata
        for line in distribution.requires or []:
            visit(Requirement(line), requirement.extras)

    for line in requirements:
        visit(Requirement(line), extras)
    return found


def test_nothing_that_is_needed_has_a_licence_that_binds_users():
    optional = PROJECT["optional-dependencies"]
    lines = [line for extra in optional if extra != "dev" for line in optional[extra]]
    found = installed([*PROJECT["dependencies"], *lines], [])
    assert len(found) > 30
    for name, metadata in found.items():
        said = [metadata.get("License-Expression", "")]
        said += [c for c in metadata.get_all("Classifier", []) if c.startswith("License ::")]
        said += (metadata.get("License") or "").splitlines()[:1]  # some give the whole text
        assert any(said), name
        assert not re.search(r"GPL|General Public|Proprietary", " ".join(said)), (name, said)


def test_every_library_that_is_imported_is_declared():
    lines = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    names = {Requirement(line).name for line in chain.from_iterable(lines)}
    known = {IMPORTED_AS.get(name, name.replace("-", "_")) for name in names}
    known |= {"sagan"}.union(*(COME_WITH.get(name, set()) for name in names))
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            modules = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module] if isinstance(node, ast.ImportFrom) else []
            for top in {module.split(".")[0] for module in modules}:
                assert top in known or top in sys.stdlib_module_names, f"{path} imports {top}"


def test_the_live_page_names_the_extra_that_it_needs(tmp_path, monkeypatch, capsys):
    network = NetworkConfig(resolution=8, g_attention=(8,))
    Run(tmp_path).write_config(RunConfig(network=network))
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert run_safely(lambda: app(["explore", str(tmp_path), "--no-open"])) == 2
    said = "sagan: explore needs FastAPI and uvicorn: pip install 'sagan[web]'\n"
    assert capsys.readouterr().err == said


def build(kind, source, out):
    """Build one archive, as a front end does, of the sources in a folder."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", kind, "--directory", out]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    (made,) = out.iterdir()
    return made


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    """The sdist's content."""
    archive = build("sdist", ROOT, tmp_path_factory.mktemp("sdist"))
    out = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(archive) as file:
        file.extractall(out, filter="data")
    return out / f"sagan-{sagan.__version__}"


def files_in(folder):
    """All files below a folder that are not caches, by their path in it."""
    return {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and not {"__pycache__", ".pytest_cache"} & set(path.parts)
    }


def test_the_sdist_holds_what_tests_and_docs_need_and_nothing_else(unpacked):
    wanted = {*TOP, "PKG-INFO", ".gitignore"}
    for folder in FOLDERS:
        wanted |= {f"{folder}/{name}" for name in files_in(ROOT / folder)}
    assert files_in(unpacked) == wanted
    for name in wanted - {"PKG-INFO", ".gitignore"}:
        assert (unpacked / name).read_bytes() == (ROOT / name).read_bytes(), name
    assert (unpacked / "dev").stat().st_mode & 0o100


def test_the_wheel_built_from_the_sdist_is_the_package_alone(unpacked, tmp_path):
    archive = build("wheel", unpacked, tmp_path)
    assert archive.stat().st_size < MOST_WHEEL_BYTES
    with zipfile.ZipFile(archive) as wheel:
        names = set(wheel.namelist())
        about = f"sagan-{sagan.__version__}.dist-info"
        metadata = importlib.metadata.PathDistribution(zipfile.Path(wheel, f"{about}/"))
        assert metadata.version == sagan.__version__
        assert metadata.metadata["License-Expression"] == "Apache-2.0 AND MIT"
        assert metadata.metadata["Requires-Python"] == PROJECT["requires-python"]
        assert f"{about}/licenses/LICENSE" in names
        assert f"{about}/licenses/src/{FASHION}/LICENSE-fashion-mnist" in names
        (script,) = metadata.entry_points
        assert (script.name, script.value) == ("sagan", "sagan.cli:main")
    package = {f"sagan/{name}" for name in files_in(ROOT / "src" / "sagan")}
    assert {"sagan/py.typed", "sagan/explain/page/page.html"} < package
    assert {f"{FASHION}/{name}" for name in FASHION_FILES} < package
    assert {name for name in names if not name.startswith(about)} == package
