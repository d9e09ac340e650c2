"""The packed cache: what is in it, found again, damaged, shared, and never half there."""

import errno
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from image_corpus import READABLE, UNREADABLE, encoded, grey, noise, rgb, rgba
from PIL import Image

from sagan.data import ImageDataset, load_dataset, pack_dataset, packed, packing
from sagan.data.packed import cache_root
from sagan.data.sources import folder as folders_module


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes, and every kind of damaged file in one of them."""
    root = tmp_path / "data"
    for name in ("cat/1.png", "cat/2.png", "dog/1.png"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(encoded(rgb().rotate(len(list(root.rglob("*"))))))
    for name, (content, _) in UNREADABLE.items():
        (root / "dog" / name).write_bytes(content)
    return root


def load(source: Path, tmp_path: Path, **options: Any) -> ImageDataset:
    return load_dataset(str(source), **{"resolution": 16, "cache": tmp_path / "cache", **options})


def folders(tmp_path: Path) -> list[Path]:
    return [path for path in (tmp_path / "cache").iterdir() if path.is_dir()]


def test_the_readable_are_kept_and_the_rest_is_listed(folder: Path, tmp_path: Path) -> None:
    data = load(folder, tmp_path)
    assert data.images.shape == (3, 3, 16, 16)
    assert data.labels is not None
    assert data.labels.tolist() == [0, 0, 1]
    assert data.class_names == ("cat", "dog")
    assert {name for name, _ in data.excluded} == {f"dog/{name}" for name in UNREADABLE}
    one = Image.open(folder / "cat/2.png").resize((16, 16), Image.Resampling.LANCZOS)
    assert np.array_equal(data.images[1].transpose(1, 2, 0), one)


@pytest.mark.fault(26)
@pytest.mark.parametrize(
    "error", [OSError(errno.EIO, "Input/output error"), OSError(errno.EMFILE, "x"), MemoryError()]
)
def test_what_the_machine_cannot_read_now_is_not_taken_for_damaged(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def read(path: Path) -> bytes:
        if path.name == "2.png":
            raise error
        return read_file(path)

    read_file = folders_module.read_file
    with monkeypatch.context() as patch:
        patch.setattr(folders_module, "read_file", read)
        with pytest.raises(type(error)):
            load(folder, tmp_path)
    assert folders(tmp_path) == []
    assert len(load(folder, tmp_path)) == 3


@pytest.mark.fault(26)
def test_strict_refuses_the_first_unreadable_file(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"dog/bomb.png is left out: .*without --strict"):
        load(folder, tmp_path, strict=True)
    assert folders(tmp_path) == []
    load(folder, tmp_path)
    with pytest.raises(ValueError, match="left out"):  # and so from the cache
        load(folder, tmp_path, strict=True)


def test_packing_is_the_same_each_time_and_from_any_kind_of_source(
    folder: Path, tmp_path: Path
) -> None:
    import shutil

    first = pack_dataset(str(folder), tmp_path / "a", resolution=8)
    pack_dataset(str(folder), tmp_path / "b", resolution=8)
    for name in ("images.u8", "labels.npy", "packed.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    shutil.make_archive(str(tmp_path / "z"), "zip", folder)
    zipped = pack_dataset(str(tmp_path / "z.zip"), tmp_path / "c", resolution=8)
    assert zipped.fingerprint == first.fingerprint
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b", "c", "data", "z.zip"]


def test_a_packed_folder_is_a_source_itself(folder: Path, tmp_path: Path) -> None:
    first = pack_dataset(str(folder), tmp_path / "p", resolution=8)
    again = load_dataset(str(tmp_path / "p"), resolution=8)
    assert again.fingerprint == first.fingerprint
    assert again.excluded == first.excluded
    assert np.array_equal(again.images, first.images)
    with pytest.raises(ValueError, match="packed at 8 px with 3 channels, not 16 px"):
        load_dataset(str(tmp_path / "p"), resolution=16)
    with pytest.raises(ValueError, match="3 channels, not 8 px with 1"):
        load_dataset(str(tmp_path / "p"), resolution=8, channels=1)
    with pytest.raises(ValueError, match="already exists"):
        pack_dataset(str(folder), tmp_path / "p", resolution=8)


def test_the_cache_is_found_again_without_decoding(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load(folder, tmp_path)
    monkeypatch.setattr(packing, "read_all", None)
    again = load(folder, tmp_path)
    assert again.fingerprint == first.fingerprint
    assert again.excluded == first.excluded
    assert len(folders(tmp_path)) == 1
    with pytest.raises(TypeError):  # and it would have been noticed
        load(folder, tmp_path, resolution=8)


@pytest.mark.parametrize(
    "option", [{"resolution": 8}, {"channels": 1}, {"background": "red"}, {"crop": "top"}]
)
def test_other_options_are_another_cache(folder: Path, tmp_path: Path, option: Any) -> None:
    load(folder, tmp_path)
    load(folder, tmp_path, **option)
    assert len(folders(tmp_path)) == 2


@pytest.mark.fault(28)
def test_one_edited_pixel_is_other_data(folder: Path, tmp_path: Path) -> None:
    before = load(folder, tmp_path)
    file = folder / "cat/1.png"
    times = file.stat()
    image = Image.open(file)
    image.putpixel((12, 12), (255, 0, 255))
    image.save(file)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    after = load(folder, tmp_path)
    assert after.fingerprint != before.fingerprint
    file.touch()
    assert load(folder, tmp_path).fingerprint == after.fingerprint  # the content counts


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("name", ["images.u8", "labels.npy", "packed.json"])
@pytest.mark.parametrize("damage", ["flip", "cut", "gone"])
def test_a_damaged_cache_is_made_again_and_a_damaged_packed_folder_refused(
    folder: Path, tmp_path: Path, name: str, damage: str
) -> None:
    sound = load(folder, tmp_path).fingerprint
    pack_dataset(str(folder), tmp_path / "own", resolution=16)
    for place in (*folders(tmp_path), tmp_path / "own"):
        file = place / name
        if damage == "flip":
            flip(file)
        elif damage == "cut":
            file.write_bytes(file.read_bytes()[:-1])
        else:
            file.unlink()
    again = load(folder, tmp_path)
    assert again.fingerprint == sound
    assert len(list((tmp_path / "cache").iterdir())) == 2  # with the lock
    with pytest.raises(ValueError, match=r"damaged|missing|no picture in it|fit|json") as error:
        load_dataset(str(tmp_path / "own"), resolution=16)
    assert "\n" not in str(error.value)


def test_what_interrupts_packing_leaves_nothing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for error in (KeyboardInterrupt, OSError(28, "No space left on device")):
        with monkeypatch.context() as patch:
            patch.setattr(
                packing, "write_packed", lambda *_, error=error, **__: (_ for _ in ()).throw(error)
            )
            with pytest.raises((KeyboardInterrupt, OSError)):
                load(folder, tmp_path)
        assert folders(tmp_path) == []


def test_what_a_killed_packer_left_is_cleared(folder: Path, tmp_path: Path) -> None:
    load(folder, tmp_path)
    (made,) = folders(tmp_path)
    leftover = made.with_name(f".partial-{made.name}-1234")
    made.rename(leftover)
    load(folder, tmp_path)
    assert folders(tmp_path) == [made]


def test_packers_at_once_make_one_cache(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, real = [], packing.read_all

    def slowly(*arguments: Any, **options: Any) -> Any:
        calls.append(1)
        time.sleep(0.2)
        return real(*arguments, **options)

    monkeypatch.setattr(packing, "read_all", slowly)
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.append(load(folder, tmp_path).fingerprint))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == 1
    assert len(calls) == 1
    assert len(folders(tmp_path)) == 1


def one_file(tmp_path: Path, *contents: bytes) -> Path:
    root = tmp_path / "flat"
    root.mkdir()
    for i, content in enumerate(contents):
        (root / f"{i}.png").write_bytes(content)
    return root


@pytest.mark.parametrize(
    ("contents", "channels"),
    [
        ([encoded(grey())] * 2, 1),
        ([encoded(grey().convert("RGB")), READABLE["sixteen.png"][0]], 1),
        ([encoded(grey()), encoded(rgb())], 3),
        ([encoded(rgba())] * 2, 3),
    ],
)
def test_the_datas_own_channels_are_1_only_if_all_are_grey(
    tmp_path: Path, contents: list[bytes], channels: int
) -> None:
    data = load(one_file(tmp_path, *contents), tmp_path)
    assert data.images.shape == (2, channels, 16, 16)
    three = load(tmp_path / "flat", tmp_path, channels=3)
    if channels == 1:
        assert np.array_equal(data.images.repeat(3, axis=1), three.images)
    assert load(tmp_path / "flat", tmp_path, channels=4).images.shape == (2, 4, 16, 16)


def test_data_without_a_readable_picture_or_class_are_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "dog/1.png").write_bytes(b"")
    with pytest.raises(ValueError, match="no picture is readable in the class dog"):
        load(folder, tmp_path)
    with pytest.raises(ValueError, match=r"no picture in it is readable: 0.png \(empty file\)"):
        load(one_file(tmp_path, b""), tmp_path)
    assert folders(tmp_path) == []


def test_a_file_that_vanishes_is_left_out_with_the_reason(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = packing.read_all

    def after_removal(*arguments: Any, **options: Any) -> Any:
        (folder / "cat/2.png").unlink()
        return real(*arguments, **options)

    monkeypatch.setattr(packing, "read_all", after_removal)
    data = load(folder, tmp_path)
    assert len(data) == 2
    assert "cannot be read: " in dict(data.excluded)["cat/2.png"]


def test_only_the_bundled_sets_have_a_test_split(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has no test split"):
        load(folder, tmp_path, split="test")


def test_every_bundled_set_has_a_fingerprint_of_its_content() -> None:
    one, same, other = (load_dataset("digits", resolution=r).fingerprint for r in (8, 8, 16))
    assert one == same != other
    assert len(one) == 64


def test_bad_options_are_refused(folder: Path, tmp_path: Path) -> None:
    for options, said in (
        ({"channels": 2}, "choose from 1, 3, 4"),
        ({"resolution": 0}, "from 1 to 4096"),
        ({"background": "nonsense"}, "opaque colour"),
        ({"split": "nonsense"}, "train or test"),
    ):
        with pytest.raises(ValueError, match=said):
            load(folder, tmp_path, **options)


def test_order_does_not_depend_on_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = [encoded(noise().rotate(i)) for i in range(40)]
    source = one_file(tmp_path, *contents)
    fingerprints = set()
    for threads in (1, 7):
        monkeypatch.setattr("sagan.data.threads.threads_here", lambda threads=threads: threads)
        fingerprints.add(load(source, tmp_path, cache=tmp_path / str(threads)).fingerprint)
    assert len(fingerprints) == 1


def test_the_cache_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAGAN_CACHE", "/somewhere")
    assert cache_root() == Path("/somewhere")
    monkeypatch.delenv("SAGAN_CACHE")
    assert cache_root().name == "sagan"


def test_a_million_images_open_in_two_seconds_and_200_mb(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sparse file; in a process of its own, whose memory is all that it takes."""
    count = 1_000_000
    with open(tmp_path / "images.u8", "wb") as file:
        file.truncate(count * 3 * 32 * 32)
    monkeypatch.setattr(packed, "sha256_of_file", lambda path: "0" * 64)
    names = tuple(str(k) for k in range(1000))
    labels = np.arange(count) % 1000
    shape = (count, 3, 32, 32)
    packed.write_packed(tmp_path, shape, labels, names, excluded=[], about={})
    code = f"""
import resource, sys, time
from pathlib import Path
from sagan.data import load_dataset
start = time.monotonic()
data = load_dataset(sys.argv[1], resolution=32)
assert data.images[[0, {count // 2}, {count - 1}]].sum() == 0
assert "torch" not in sys.modules
status = Path("/proc/self/status")
if status.exists():  # of this program alone, where the other may be its parent's
    peak = int(status.read_text().partition("VmHWM:")[2].split()[0]) * 1024
else:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(time.monotonic() - start, peak)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True
    )
    seconds, peak_bytes = (float(part) for part in done.stdout.split())
    assert seconds < 2
    assert peak_bytes < 200e6


def test_packed_json_says_what_it_was_made_from(folder: Path, tmp_path: Path) -> None:
    pack_dataset(str(folder), tmp_path / "p", resolution=8, background="red")
    facts = json.loads((tmp_path / "p" / "packed.json").read_bytes())
    assert facts["options"] == {
        "resolution": 8,
        "channels": 0,
        "background": [255, 0, 0],
        "rules": 3,
        "crop": "center",
    }
    assert facts["source"]["kind"] == "folder"
    assert str(tmp_path) not in json.dumps(facts)
