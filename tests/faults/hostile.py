"""Files made to take memory, time or control: each a name, and how to write it into a folder."""

import io
import json
import shutil
import struct
import tarfile
import zipfile
from pathlib import Path

import safetensors

from sagan.files import hashed_json

GOLDEN = Path(__file__).parents[1] / "golden" / "v0.1.0"
DEEP = b"[" * 100_000
ENORMOUS = {"latent_dim": 10**10, "g_width": 10**19, "classes": 10**12, "g_channels": [10**9] * 3}
SMALL = {"x": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}


def safetensors_files():
    """Of generators: file names, and bytes."""
    with safetensors.safe_open(GOLDEN / "exported.safetensors", "pt") as file:
        strings = file.metadata()
    config = json.loads(strings["sagan.config"])
    whole = (GOLDEN / "exported.safetensors").read_bytes()
    size = struct.unpack("<Q", whole[:8])[0]
    header = json.loads(whole[8 : 8 + size])

    def written(header, data=b"\0" * 16, claimed=None):
        header = header if isinstance(header, bytes) else json.dumps(header).encode()
        return struct.pack("<Q", len(header) if claimed is None else claimed) + header + data

    def asking(**network):
        other = {**config, "network": {**config["network"], **network}}
        return {**strings, "sagan.config": json.dumps(other)}

    for key, value in ENORMOUS.items():
        asked = asking(**{key: value})
        yield f"{key}, few weights", written({"__metadata__": asked, **SMALL})
        full = written({**header, "__metadata__": asked}, whole[8 + size :])
        yield f"{key}, many weights", full
    asked = asking(latent_dim=60_000)  # within the limits, and more than the file has
    yield "more than it has", written({**header, "__metadata__": asked}, whole[8 + size :])
    deep = {**strings, "sagan.config": DEEP.decode()}
    yield "deep configuration", written({"__metadata__": deep, **SMALL})
    yield "deep header", written(DEEP)
    yield "huge header", written(b"{}", claimed=2**63)
    yield "header beyond the file", written(b"{}", claimed=99_000_000)
    yield "short header", b"\1\0\0"
    yield "empty", b""
    a, b = (
        {"dtype": "F32", "shape": [4], "data_offsets": [i, i + 16]} for i in (0, 8)
    )  # overlapping
    yield "overlap", written({"__metadata__": strings, "a": a, "b": b}, b"\0" * 24)
    big = {"dtype": "F32", "shape": [10**15], "data_offsets": [0, 4 * 10**15]}
    yield "tensor of 4 PB", written({"__metadata__": strings, "a": big})
    wide = {"dtype": "F32", "shape": [2**62, 2**62], "data_offsets": [0, 16]}
    yield "shape that overflows", written({"__metadata__": strings, "a": wide})
    yield "step of 5,000 digits", written({"__metadata__": {**strings, "sagan.step": "9" * 5000}})


def manifests():
    """Of a checkpoint, with their own checksums right: names, and bytes."""
    file = GOLDEN / "digits/checkpoints/step-00000004/manifest.json"
    whole = json.loads(file.read_bytes())

    def changed(*without, **other):
        values = {k: v for k, v in whole.items() if k not in (*without, "sha256")}
        return hashed_json({**values, **other})

    yield "deep", DEEP
    for key in ("files", "config", "step"):
        yield f"without {key}", changed(key)
    yield "files as a list", changed(files=[1, 2])
    yield "files of strings", changed(files={"ema.safetensors": "x"})
    yield "files without checksum", changed(files={"ema.safetensors": {"bytes": 1}})
    out = {"bytes": 1, "sha256": "0" * 64}
    yield "files outside", changed(files={"../../../ema.safetensors": out})
    yield "step as text", changed(step="x")
    yield "huge step", changed(step=10**30)
    yield "images as text", changed(images="x")
    yield "stage of another run", changed(stage=99)
    yield "configuration as a list", changed(config=[])
    yield "odd score", changed(score={"metric": 3, "value": "x"})
    yield "odd sums", changed(log_sums={"d_loss": "x"})
    yield "odd plan", changed(plan=[{"rates": [], "ends": "x"}])
    for key, value in ENORMOUS.items():
        network = {**whole["config"]["network"], key: value}
        yield f"{key} enormous", changed(config={**whole["config"], "network": network})
    yield "60 MB of blanks", b" " * 60_000_000


def configurations():
    """Of a folder passed on: names, and bytes."""
    whole = json.loads((GOLDEN / "exported/config.json").read_bytes())
    yield "deep", DEEP
    yield "5 MB of blanks", b" " * (5 * 2**20)
    yield "number of 10,000 digits", b'{"family": "resnet", "latent_dim": ' + b"1" * 10_000 + b"}"
    for key, value in ENORMOUS.items():
        yield f"{key} enormous", json.dumps({**whole, key: value}).encode()


def npy(shape, data=b"x" * 64):
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}".encode()
    header += b" " * (63 - (len(header) + 10) % 64) + b"\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header + data


SHAPES = ("(10**30, 8, 8)", f"({10**30}, 8, 8)", "(-1, 8, 8)", f"({2**63 - 1}, 8, 8)",
          f"({10**12}, 8, 8)", f"({2**62}, 2, 2)", "(0, 8, 8)", "('a', 8, 8)", "(True, 8, 8)",
          "(" * 200 + ")" * 200)  # fmt: skip


def sources():
    """Of data: file names, and bytes."""
    for i, shape in enumerate(SHAPES):
        yield f"{i}.npy", npy(shape)
        zipped = io.BytesIO()
        with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("images.npy", npy(shape))
        yield f"{i}.npz", zipped.getvalue()
    yield "sparse-40-GiB.tar", sparse_tar("a.png", 40 << 30)
    yield "sparse-1-GiB.tar", sparse_tar("a.png", 1 << 30)
    yield "sparse-labels.tar", sparse_tar("dataset.json", 1 << 30)
    yield "pax-40-GiB.tar", pax_tar("d/a.png", 40 << 30)
    yield "pax-1-GiB.tar", pax_tar("d/a.png", 1 << 30)
    yield "pax-10-to-the-30.tar", pax_tar("d/a.png", 10**30)
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", b"\0" * 200 * 2**20)
    yield "bomb.zip", bomb.getvalue()


def sparse_tar(name, claimed):
    """An old GNU sparse file of 512 bytes that claims any size."""
    info = tarfile.TarInfo(name)
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT)[:512])
    header[124:136] = b"%011o\0" % 512
    header[156:157] = b"S"
    header[386:398], header[398:410] = b"%011o\0" % 0, b"%011o\0" % 512
    header[483:495] = b"\x80" + b"\0" * 3 + struct.pack(">Q", claimed)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + b"x" * 512 + b"\0" * 1024


def pax_tar(name, claimed):
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo(name)
        info.size = 512
        info.pax_headers = {
            "GNU.sparse.major": "0",
            "GNU.sparse.minor": "1",
            "GNU.sparse.map": "0,512",
            "GNU.sparse.size": str(claimed),
            "GNU.sparse.name": name,
        }
        archive.addfile(info, io.BytesIO(b"x" * 512))
    return content.getvalue()


def packed_facts():
    """Of a packed folder, with their own checksums right: names, and bytes."""
    whole = json.loads((GOLDEN / "packed/packed.json").read_bytes())

    def changed(*without, **other):
        values = {k: v for k, v in whole.items() if k not in (*without, "sha256")}
        return hashed_json({**values, **other})

    yield "deep", DEEP
    for key in ("files", "shape", "class_names", "fingerprint", "excluded"):
        yield f"without {key}", changed(key)
    for shape in ([10**30, 3, 8, 8], [10**9, 3, 8, 8], "x", [], [0, 3, 8, 8]):
        yield f"shape {shape}", changed(shape=shape)
    yield "excluded of numbers", changed(excluded=[1])
    yield "files as a list", changed(files=[1])
    yield "no images", changed(files={})
    yield "files outside", changed(files={"../../x": {"bytes": 1, "sha256": ""}})


def copy_with(whole, path, name, content):
    """A copy of a folder of the golden files with one file in it replaced."""
    shutil.copytree(GOLDEN / whole, path)
    (path / name).write_bytes(content)
    return path
