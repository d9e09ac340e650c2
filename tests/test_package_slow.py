"""What is published works where there is nothing else: each test takes minutes, by pip."""

import json
import os
import re
import signal
import subprocess
import sys
import tarfile
import urllib.request
import venv
from pathlib import Path

import pytest

import sagan

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
ENVIRONMENT = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "HF_HUB_OFFLINE")}
DEMO = ["-m", "sagan.cli.demo", "--images", "1280"]


class Installation:
    """A virtual environment with the wheel, and a folder elsewhere with a short demo run in it."""

    def __init__(self, folder):
        self.place = folder / "place"
        self.place.mkdir()
        venv.create(folder / "venv", with_pip=True)
        self.python = folder / "venv" / "bin" / "python"
        self.wheel = wheel_of_sdist(folder)
        self.install("")
        assert self.run(*DEMO)[0] == 0

    def run(self, *arguments):
        """Run its Python: exit code, stdout and stderr."""
        done = subprocess.run(
            [self.python, *arguments],
            cwd=self.place,
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
        )
        return done.returncode, done.stdout, done.stderr

    def sagan(self, *arguments):
        """Run its program."""
        return self.run("-m", "sagan", *arguments)

    def install(self, extra):
        """Install the wheel with an extra such as `[web]`, as constrained."""
        pip = ["-m", "pip", "install", "-q", "--disable-pip-version-check"]
        code, _, err = self.run(*pip, "-c", ROOT / "constraints.txt", f"{self.wheel}{extra}")
        assert code == 0, err


def wheel_of_sdist(folder):
    """Build the sdist, and the wheel from what it holds."""
    command = [sys.executable, "-m", "hatchling", "build", "--directory", folder / "dist"]
    subprocess.run([*command, "--target", "sdist"], cwd=ROOT, check=True)
    with tarfile.open(*(folder / "dist").glob("*.tar.gz")) as file:
        file.extractall(folder, filter="data")
    source = folder / f"sagan-{sagan.__version__}"
    subprocess.run([*command, "--target", "wheel"], cwd=source, check=True)
    (wheel,) = (folder / "dist").glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def installation(tmp_path_factory):
    return Installation(tmp_path_factory.mktemp("installation"))


def test_the_package_alone_trains_samples_scores_and_explains(installation):
    place, run = installation.place, installation.place / "runs" / "demo"
    code, where, _ = installation.run("-c", "import sagan; print(sagan.__file__)")
    assert code == 0
    assert "site-packages" in where
    assert installation.sagan("--version")[1] == f"{sagan.__version__}\n"
    assert "Train a Self-Attention GAN" in installation.sagan("--help")[1]
    assert (run / "attention" / "index.html").stat().st_size > 50_000
    for command, made in (
        (["sample", "runs/demo", "--num", "20", "--out", "samples.png"], "samples.png"),
        (["explain", "runs/demo", "--out", "seen", "--num", "2"], "seen/index.html"),
        (["export", "runs/demo", "--out", "m.safetensors", "--card", "C.md"], "m.safetensors"),
    ):
        code, _, err = installation.sagan(*command)
        assert code == 0, err
        assert (place / made).stat().st_size > 1000
    code, out, err = installation.sagan("evaluate", "runs/demo", "--metrics", "cas,kid:pixel")
    assert code == 0, err
    assert {"cas", "kid:pixel"} < set(json.loads(out))


@pytest.mark.parametrize(
    ("extra", "command", "made"),
    [
        ("onnx", ["export", "runs/demo", "--out", "model.onnx"], "model.onnx"),
        ("log", ["train", "logged", "--images", "64", "--tensorboard"], "logged/tensorboard"),
    ],
)
def test_an_extra_is_asked_for_and_then_does_its_work(installation, extra, command, made):
    code, _, err = installation.sagan(*command)
    assert code == 2
    assert err.count("\n") == 1
    assert f"pip install 'sagan[{extra}]'" in err
    installation.install(f"[{extra}]")
    code, _, err = installation.sagan(*command)
    assert code == 0, err
    assert (installation.place / made).exists()


def test_the_hub_of_data_sets_asks_for_its_library(installation):
    code, _, err = installation.sagan("data", "check", "hub:mnist")
    assert code == 2
    assert err.count("\n") == 1
    assert "pip install 'sagan[data]'" in err
    installation.install("[data]")
    assert installation.run("-c", "import datasets")[0] == 0  # to read from it takes the network


def test_the_live_page_is_served_once_its_libraries_are_there(installation):
    command = ["explore", "runs/demo", "--no-open", "--port", "0"]
    code, _, err = installation.sagan(*command)
    assert (code, err) == (
        2,
        "sagan: explore needs FastAPI and uvicorn: pip install 'sagan[web]'\n",
    )
    installation.install("[web]")
    server = subprocess.Popen(
        [installation.python, "-m", "sagan", *command],
        cwd=installation.place,
        env=ENVIRONMENT,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        address = re.search(r"http://\S+", server.stderr.readline()).group()
        with urllib.request.urlopen(address) as answer:
            assert b"<html" in answer.read()
    finally:
        server.send_signal(signal.SIGTERM)
        _, err = server.communicate(timeout=60)
    assert server.returncode == 143, err
