"""Row 33: with a flipped bit in the lock or in a wheel, installation refuses.

With pip itself: offline on a wheel made here, and, where the index can be reached, on a package of
`lock.txt`.
"""

import base64
import hashlib
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.fault(33)
ROOT = Path(__file__).parents[2]
LOCK = ROOT / "lock.txt"


def pip(*arguments, timeout=120):
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    return subprocess.run(
        [*command, *map(str, arguments)], capture_output=True, text=True, timeout=timeout
    )


@pytest.fixture
def wheel(tmp_path):
    """A wheel with one module."""
    info = "tiny-1.0.dist-info"
    files = {
        "tiny.py": b"value = 1\n",
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode()},\n"
        for name, content in files.items()
    )
    path = tmp_path / "wheels" / "tiny-1.0-py3-none-any.whl"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in {**files, f"{info}/RECORD": record.encode()}.items():
            archive.writestr(name, content)
    return path


def install(folder, wheel, lock):
    (folder / "lock.txt").write_text(lock)
    offline = ["--no-index", "--find-links", wheel.parent, "--no-deps", "--target", folder / "out"]
    return pip("install", "--require-hashes", *offline, "-r", folder / "lock.txt")


def flipped(digest):
    return format(int(digest[0], 16) ^ 1, "x") + digest[1:]


def test_what_is_as_it_was_is_installed_and_what_is_not_is_refused(tmp_path, wheel):
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    lock = f"tiny==1.0 --hash=sha256:{digest}\n"
    for name, text in {
        "lock": lock.replace(digest, flipped(digest)),
        "none": "tiny==1.0\n",
    }.items():
        done = install(tmp_path, wheel, text)
        assert done.returncode, name
        assert re.search("DO NOT MATCH|Hashes are required", done.stderr), name
        assert not (tmp_path / "out").exists()
    content = bytearray(wheel.read_bytes())
    content[content.index(b"value = 1") + 8] ^= 1
    sound = wheel.read_bytes()
    wheel.write_bytes(content)
    assert "DO NOT MATCH" in install(tmp_path, wheel, lock).stderr
    assert not (tmp_path / "out").exists()
    wheel.write_bytes(sound)
    assert install(tmp_path, wheel, lock).returncode == 0
    assert (tmp_path / "out" / "tiny.py").read_text() == "value = 1\n"


def locked():
    """Each package of the lock: its line, and its hashes."""
    content = re.sub(r"^#.*\n", "", LOCK.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    for line in content.splitlines():
        requirement, *hashes = re.split(r"\s+--hash=", line)
        yield requirement.strip(), [h.strip() for h in hashes]


def test_the_lock_has_hashes_for_every_version_of_the_constraints_but_torchs():
    """So a changed constraint needs `./dev lock`."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    wanted = {line.strip() for line in lines if not line.startswith("#")}
    found = {requirement for requirement, _ in locked()}
    apart = {line.partition("==")[0] for line in wanted - found}
    assert "torch" in apart
    assert all(n in ("torch", "triton") or n.startswith(("nvidia-", "cuda-")) for n in apart)
    assert found <= wanted
    for requirement, hashes in locked():
        assert hashes, requirement
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", h) for h in hashes), requirement


@pytest.mark.slow
def test_a_flipped_hash_of_the_lock_is_refused_by_the_index(tmp_path):
    requirement, hashes = next(item for item in locked() if item[0].startswith("h11=="))
    line = " ".join([requirement, *(f"--hash={h}" for h in hashes)])
    (tmp_path / "sound.txt").write_text(line)
    (tmp_path / "flipped.txt").write_text(
        re.sub(r"sha256:([0-9a-f]+)", lambda found: f"sha256:{flipped(found[1])}", line)
    )
    get = ["download", "--require-hashes", "--no-deps", "--no-cache-dir", "-d", tmp_path / "out"]
    sound = pip(*get, "-r", tmp_path / "sound.txt")
    if sound.returncode and re.search(
        "connection|resolve|No matching", sound.stderr, re.IGNORECASE
    ):
        pytest.skip("the package index cannot be reached")
    assert sound.returncode == 0, sound.stderr
    (file,) = (tmp_path / "out").iterdir()
    file.unlink()
    refused = pip(*get, "-r", tmp_path / "flipped.txt")
    assert refused.returncode
    assert "DO NOT MATCH" in refused.stderr
    assert not list((tmp_path / "out").iterdir())
