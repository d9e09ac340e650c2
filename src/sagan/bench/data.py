"""Data: batches from the packed cache, packing it, and opening a large one.

All files are made from the bundled photographs, in a temporary folder.
"""

import functools
import io
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image

from sagan.bench.harness import Candidate, Comparison, Scale, workplace
from sagan.data import load_dataset
from sagan.data.load import pack_dataset
from sagan.data.packed import open_packed, write_packed
from sagan.data.threads import threads_here
from sagan.images import to_float
from sagan.randomness import DataOrder

_RESOLUTION_PX = 64
_BATCH = 64
_PICTURES = {"tiny": 70, "quick": 600, "full": 2000}
_MANY = {"tiny": 1000, "quick": 1_000_000, "full": 1_000_000}

Form = Literal["PNG", "JPEG"]


def data_case(scale: Scale) -> list[Comparison]:
    """Batches, packing and opening; the baseline is Pillow as it is usually called."""
    count, many = _PICTURES[scale], _MANY[scale]
    return [
        Comparison(
            label=f"a batch of {_BATCH} at {_RESOLUTION_PX} px",
            candidates=[
                Candidate(name="decode each time", prepare=lambda: _decoded_batches(count)),
                Candidate(name="packed", prepare=lambda: _packed_batches(count)),
            ],
            items=_BATCH,
        ),
        *(
            Comparison(
                label=f"reading {count} {form} of {side} px at {_RESOLUTION_PX} px",
                candidates=[
                    Candidate(name="Pillow", prepare=_plainly(form, side, count)),
                    Candidate(name="packing", prepare=_packing(form, side, count)),
                ],
                parameters={"side": side, "threads": threads_here()},
                items=count,
            )
            for form, side in _FORMS
        ),
        Comparison(
            label=f"opening a cache of {many:,} images of 32 px",
            candidates=[Candidate(name="open", prepare=lambda: _opening(many))],
            items=many,
        ),
    ]


_FORMS: tuple[tuple[Form, int], ...] = (("PNG", 64), ("JPEG", 256))


@functools.cache
def _pictures(form: Form, side: int, count: int) -> Path:
    """Make a folder of distinct pictures: crops of photographs, side by side."""
    folder = workplace() / f"{form}-{side}-{count}"
    folder.mkdir()
    crops = load_dataset("photographs", resolution=_RESOLUTION_PX).images.transpose(0, 2, 3, 1)
    tiles, px = side // _RESOLUTION_PX, _RESOLUTION_PX
    for i in range(count):
        chosen = crops[(i * tiles**2 + np.arange(tiles**2)) % len(crops)]
        picture = chosen.reshape(tiles, tiles, px, px, 3).swapaxes(1, 2).reshape(side, side, 3)
        turned = np.roll(picture, i, axis=1)
        Image.fromarray(turned).save(folder / f"{i:06d}.{form.lower()}", form)
    return folder


def _plain(path: Path) -> np.ndarray:
    """Read a picture as a loader without a cache does."""
    with Image.open(path) as image:
        size = (_RESOLUTION_PX, _RESOLUTION_PX)
        return np.asarray(image.convert("RGB").resize(size, Image.Resampling.LANCZOS))


def _decoded_batches(count: int) -> Callable[[], object]:
    contents = [path.read_bytes() for path in sorted(_pictures("PNG", 64, count).iterdir())]
    order, place = DataOrder(count, seed=0), iter(range(10**9))

    def call() -> object:
        rows = order.indices(next(place) * _BATCH, _BATCH).tolist()
        images = [np.asarray(Image.open(io.BytesIO(contents[row]))) for row in rows]
        return to_float(torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2))

    return call


def _packed_batches(count: int) -> Callable[[], object]:
    packed = workplace() / f"packed-{count}"
    if not packed.exists():
        pack_dataset(str(_pictures("PNG", 64, count)), packed, resolution=_RESOLUTION_PX)
    images = open_packed(packed).images
    order, place = DataOrder(count, seed=0), iter(range(10**9))

    def call() -> object:
        rows = order.indices(next(place) * _BATCH, _BATCH).numpy()
        return to_float(torch.from_numpy(images[rows]))

    return call


def _plainly(form: Form, side: int, count: int) -> Callable[[], Callable[[], object]]:
    def prepare() -> Callable[[], object]:
        paths = sorted(_pictures(form, side, count).iterdir())

        def call() -> object:
            with ThreadPoolExecutor(threads_here()) as pool:
                return len(list(pool.map(_plain, paths)))

        return call

    return prepare


def _packing(form: Form, side: int, count: int) -> Callable[[], Callable[[], object]]:
    def prepare() -> Callable[[], object]:
        source, out = str(_pictures(form, side, count)), workplace() / f"out-{form}"

        def call() -> object:
            shutil.rmtree(out, ignore_errors=True)
            return pack_dataset(source, out, resolution=_RESOLUTION_PX)

        return call

    return prepare


def _opening(many: int) -> Callable[[], object]:
    folder = workplace() / f"many-{many}"
    if not folder.exists():
        folder.mkdir()
        (folder / "images.u8").touch()
        os.truncate(folder / "images.u8", many * 3 * 32 * 32)  # sparse: takes no disk
        labels = np.arange(many) % 1000
        names = tuple(str(k) for k in range(labels.max() + 1))
        write_packed(folder, (many, 3, 32, 32), labels, names, excluded=[], about={})

    return lambda: open_packed(folder).images[[0, many // 2, many - 1]]
