"""Row 30: made-up and spoilt files raise what is declared and nothing else, 500 examples each.

What is declared: ValueError and CheckpointError, which the program prints in one line. A longer
search, by coverage, is coverage_fuzz.py.
"""

import io
import json
import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest
from faults import hostile
from faults.test_row02_kills_inside_a_save import CONFIG, state
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from sagan.config import RunConfig, run_config_from_dict, to_dict
from sagan.data.decode import Unreadable, read_picture
from sagan.data.sources.open_source import open_source
from sagan.data.threads import read_all
from sagan.errors import CheckpointError
from sagan.files import hashed_json
from sagan.runs.checkpoint import open_checkpoint
from sagan.runs.log import read_lines, read_records
from sagan.runs.run import Run

EXAMPLES = 500
fuzz = settings(
    max_examples=EXAMPLES, suppress_health_check=list(HealthCheck), deadline=None, derandomize=True
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)


@st.composite
def spoilt(draw, content):
    """Bytes with a few changes: flipped, cut, doubled or overwritten."""
    harmed = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(harmed) - 1)))
        kind = draw(st.sampled_from(["flip", "cut", "insert", "zero"]))
        if kind == "flip" and harmed:
            harmed[at] ^= 1 << draw(st.integers(0, 7))
        elif kind == "cut":
            del harmed[at:]
        elif kind == "insert":
            harmed[at:at] = draw(st.binary(max_size=16))
        else:
            harmed[at : at + 8] = bytes(len(harmed[at : at + 8]))
    return bytes(harmed)


def declared(function, *errors):
    """What a function gives; None if it raises one of these."""
    try:
        return function()
    except errors:
        return None


WHOLE = to_dict(RunConfig())


@st.composite
def configurations(draw):
    """A whole configuration in which a few values are others."""
    values = json.loads(json.dumps(WHOLE))
    for _ in range(draw(st.integers(1, 3))):
        section = draw(st.sampled_from(sorted(values)))
        if isinstance(values[section], dict) and values[section] and draw(st.booleans()):
            values[section][draw(st.sampled_from(sorted(values[section])))] = draw(JSON)
        else:
            values[draw(st.sampled_from([section, "other"]))] = draw(JSON)
    return values


@pytest.mark.slow
@pytest.mark.fault(30)
def test_configurations(counted):
    @fuzz
    @given(configurations() | JSON)
    def read(values):
        config = declared(lambda: run_config_from_dict(values), ValueError)
        if config is not None:  # what is taken is kept
            assert run_config_from_dict(json.loads(json.dumps(to_dict(config)))) == config

    read()
    counted({"spoilt and made-up files": EXAMPLES})


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    run = Run(tmp_path_factory.mktemp("fuzz") / "run")
    return run.save(1, state(1), config=CONFIG, keep=1, facts={"images": 64})


@pytest.mark.slow
@pytest.mark.fault(30)
def test_checkpoints(checkpoint, counted):
    """Spoilt files are refused; a manifest whose own checksum is right is checked by its values."""
    files = {path: path.read_bytes() for path in checkpoint.iterdir()}
    manifest = json.loads((checkpoint / "manifest.json").read_bytes())

    def verify():
        open_checkpoint(checkpoint).verify()
        return True

    @fuzz
    @given(st.data())
    def spoil(data):
        path = data.draw(st.sampled_from(sorted(files)))
        harmed = data.draw(spoilt(files[path]))
        path.write_bytes(harmed)
        sound = declared(verify, CheckpointError)
        path.write_bytes(files[path])
        assert sound is None or harmed == files[path]

    @fuzz
    @given(st.dictionaries(st.sampled_from([*sorted(manifest), "stage", "score", "plan"]), JSON))
    def lie(values):
        (checkpoint / "manifest.json").write_bytes(hashed_json({**manifest, **values}))
        declared(verify, CheckpointError, ValueError)
        (checkpoint / "manifest.json").write_bytes(files[checkpoint / "manifest.json"])

    spoil()
    lie()
    assert verify()
    counted({"spoilt and made-up files": 2 * EXAMPLES})


@pytest.mark.fault(30)
def test_logs(tmp_path, counted):
    log = tmp_path / "log.jsonl"
    content = (hostile.GOLDEN / "digits/log.jsonl").read_bytes()
    lines = {line + b"\n" for line in content.split(b"\n") if line}

    @fuzz
    @given(spoilt(content) | st.binary(max_size=200))
    def read(harmed):
        log.write_bytes(harmed)
        found = list(read_lines(log))
        assert b"".join(line for line, _ in found) == harmed[: harmed.rfind(b"\n") + 1]
        assert all(isinstance(record, dict) for record in read_records(log))
        for line, record in found:
            assert line not in lines or record == json.loads(line)

    read()
    counted({"spoilt and made-up files": EXAMPLES})


def pictures():
    """One of each of the common formats, 8 x 8."""
    image = Image.new("RGB", (8, 8), (200, 30, 90))
    image.putpixel((3, 4), (1, 2, 3))
    for kind in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "ICO"):
        file = io.BytesIO()
        image.save(file, kind)
        yield file.getvalue()


PICTURES = list(pictures())


@pytest.mark.fault(30)
@pytest.mark.filterwarnings("ignore")  # Pillow's, silenced where pictures are read
def test_images(counted):
    @fuzz
    @given(st.sampled_from(PICTURES).flatmap(spoilt) | st.binary(max_size=200))
    def read(content):
        picture = declared(lambda: read_picture(content), Unreadable)
        assert picture is None or picture.image.mode in ("L", "RGB", "RGBA")

    read()
    counted({"spoilt and made-up files": EXAMPLES})


def archives():
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for i, picture in enumerate(PICTURES[:3]):
            archive.writestr(f"{'ab'[i % 2]}/{i}.png", picture)
    yield content.getvalue()
    for mode in ("w", "w:gz"):
        content = io.BytesIO()
        with tarfile.open(fileobj=content, mode=mode) as archive:
            for i, picture in enumerate(PICTURES[:3]):
                info = tarfile.TarInfo(f"{'ab'[i % 2]}/{i}.png")
                info.size = len(picture)
                archive.addfile(info, io.BytesIO(picture))
        yield content.getvalue()
    yield hostile.npy("(4, 4, 4)")


@pytest.mark.slow
@pytest.mark.fault(30)
@pytest.mark.filterwarnings("ignore")
def test_archives(tmp_path, counted):
    @fuzz
    @given(st.sampled_from(list(archives())).flatmap(spoilt))
    def read(content):
        path = Path(tmp_path / "archive")
        path.write_bytes(content)

        def whole():
            return list(read_all(open_source(str(path)), lambda picture: picture.image.size))

        for _, result in declared(whole, ValueError) or ():
            assert isinstance(result, tuple | Unreadable)

    read()
    counted({"spoilt and made-up files": EXAMPLES})


@pytest.mark.slow
@pytest.mark.fault(30)
def test_exported_files(tmp_path, counted):
    """One flipped, cut or overwritten is refused, or is as it was."""
    from sagan.exchange.open_exported import load
    from sagan.exchange.safetensors_file import export_weights

    shutil.copytree(hostile.GOLDEN / "digits", tmp_path / "run")
    file = tmp_path / "g.safetensors"
    export_weights(tmp_path / "run", file)
    content = file.read_bytes()

    @fuzz
    @given(spoilt(content))
    def read(harmed):
        file.write_bytes(harmed)
        assert declared(lambda: load(file), ValueError) is None or harmed == content

    read()
    counted({"spoilt and made-up files": EXAMPLES})
