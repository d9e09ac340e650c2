"""Zip and tar archives, and StyleGAN's zip."""

import io
import json
import tarfile
import time
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import image_corpus
import pytest
from image_corpus import encoded, rgb

from sagan.data.sources.open_source import open_source
from sagan.data.sources.source import Source

PICTURE = encoded(rgb())
Content = bytes | None  # None: a folder


def make_zip(path: Path, members: dict[str, Content]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(f"{name}/" if content is None else name, content or b"")


def make_tar(mode: Any) -> Callable[[Path, dict[str, Content]], None]:
    def make(path: Path, members: dict[str, Content]) -> None:
        with tarfile.open(path, mode) as archive:
            for name, content in members.items():
                info = tarfile.TarInfo(name)
                info.type = tarfile.DIRTYPE if content is None else tarfile.REGTYPE
                info.size = len(content or b"")
                archive.addfile(info, io.BytesIO(content or b""))

    return make


MAKERS = {
    "zip": make_zip,
    "tar": make_tar("w"),
    "gz": make_tar("w:gz"),
    "bz2": make_tar("w:bz2"),
    "xz": make_tar("w:xz"),
}
every_kind = pytest.mark.parametrize("kind", MAKERS)


def opened(tmp_path: Path, kind: str, members: dict[str, Content]) -> Source:
    path = tmp_path / "archive.bin"  # its name does not matter
    MAKERS[kind](path, members)
    return open_source(str(path))


def classes(source: Source) -> dict[str, str | None]:
    assert all(item.read() == PICTURE for item in source.items())
    return image_corpus.classes(source)


@every_kind
def test_archives_of_folders_are_read_as_folders(tmp_path: Path, kind: str) -> None:
    members = {"a/cat/1.png": PICTURE, "b/cat/1.png": PICTURE, "b/.DS_Store": b"x"}
    source = opened(tmp_path, kind, members)
    assert classes(source) == {"a/cat/1.png": "a/cat", "b/cat/1.png": "b/cat"}
    assert source.class_names == ("a/cat", "b/cat")
    flat = opened(tmp_path, kind, {"1.png": PICTURE, "./2.png": PICTURE})
    assert classes(flat) == {"1.png": None, "2.png": None}


@every_kind
def test_one_folder_around_everything_is_taken_off(tmp_path: Path, kind: str) -> None:
    members = {"set": None, "set/cat": None, "set/cat/1.png": PICTURE, "set/dog/1.png": PICTURE}
    assert opened(tmp_path, kind, members).class_names == ("cat", "dog")
    assert classes(opened(tmp_path, kind, {"set/1.png": PICTURE})) == {"1.png": None}


@every_kind
def test_names_that_leave_the_archive_are_left_out_and_listed(tmp_path: Path, kind: str) -> None:
    bad = ["../up.png", "/etc/absolute.png", "cat/../../up.png", "C:/drive.png", "..\\back.png"]
    source = opened(tmp_path, kind, {"cat/1.png": PICTURE, **dict.fromkeys(bad, PICTURE)})
    assert list(classes(source)) == ["1.png"]
    assert {reason for _, reason in source.left_out} == {"its name leaves the archive"}
    assert len(source.left_out) == len(bad)


def test_links_and_devices_in_a_tar_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "t.tar"
    with tarfile.open(path, "w") as archive:
        info = tarfile.TarInfo("1.png")
        info.size = len(PICTURE)
        archive.addfile(info, io.BytesIO(PICTURE))
        for name, kind in (("s", tarfile.SYMTYPE), ("h", tarfile.LNKTYPE), ("p", tarfile.FIFOTYPE)):
            link = tarfile.TarInfo(name)
            link.type, link.linkname = kind, "../../etc/passwd"
            archive.addfile(link)
    source = open_source(str(path))
    assert classes(source) == {"1.png": None}
    links = dict.fromkeys("hs", "a link in an archive")
    assert dict(source.left_out) == {**links, "p": "not a regular file"}


def test_links_and_encrypted_files_in_a_zip_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "z.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("1.png", PICTURE)
        link = zipfile.ZipInfo("link.png")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("secret.png", PICTURE)
    content = path.read_bytes()
    at = content.rindex(b"PK\x01\x02")
    path.write_bytes(content[: at + 8] + b"\x01" + content[at + 9 :])  # the encrypted flag
    source = open_source(str(path))
    assert classes(source) == {"1.png": None}
    assert dict(source.left_out) == {"link.png": "a link in an archive", "secret.png": "encrypted"}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_name_that_comes_twice_is_used_once(tmp_path: Path, kind: str) -> None:
    source = opened(tmp_path, kind, {"1.png": PICTURE, "./1.png": PICTURE})
    assert len(classes(source)) == 1
    assert [reason for _, reason in source.left_out] == ["an earlier file has this name"]


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_of_entries_with_one_name_the_sound_one_that_was_looked_at_is_read(tmp_path: Path) -> None:
    bomb = bytes(70 * 2**20)
    for order in ((PICTURE, bomb), (bomb, PICTURE), (PICTURE, b"no picture")):
        with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for content in order:
                archive.writestr("a/1.png", content)
            archive.writestr("a/2.png", PICTURE)
        source = open_source(str(tmp_path / "a.zip"))
        assert [item.read() for item in source.items()] == [PICTURE, PICTURE]
        assert len(source.left_out) == 1


@pytest.mark.parametrize("ahead", [0, 2**20])
def test_a_link_before_a_picture_of_its_name_is_passed_over(
    tmp_path: Path, monkeypatch: Any, ahead: int
) -> None:
    monkeypatch.setattr("sagan.data.sources.archive._MOST_AHEAD_BYTES", ahead)
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        link = tarfile.TarInfo("1.png")
        link.type, link.linkname = tarfile.SYMTYPE, "elsewhere"
        archive.addfile(link)
        for content in (PICTURE, b"no picture"):
            info = tarfile.TarInfo("1.png")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    source = open_source(str(tmp_path / "a.tar"))
    assert [item.read() for item in source.items()] == [PICTURE]


@every_kind
def test_a_cut_archive_is_one_line(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "archive"
    MAKERS[kind](path, {f"{i}.png": PICTURE * 200 for i in range(4)})
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"damaged|cut short") as error:
        list(open_source(str(path)).items())
    assert "\n" not in str(error.value)


STYLEGAN = {"00000/a.png": PICTURE, "00000/b.png": PICTURE}


def stylegan(tmp_path: Path, labels: Any) -> Source:
    return opened(tmp_path, "zip", {**STYLEGAN, "dataset.json": json.dumps(labels).encode()})


def test_stylegan_labels_are_classes_by_number(tmp_path: Path) -> None:
    source = stylegan(tmp_path, {"labels": [["00000/a.png", 10], ["00000/b.png", 2]]})
    assert source.class_names == ("2", "10")
    assert classes(source) == {"00000/a.png": "10", "00000/b.png": "2"}


def test_stylegan_without_labels_is_unconditional_whatever_its_folders(tmp_path: Path) -> None:
    source = stylegan(tmp_path, {"labels": None})
    assert set(classes(source).values()) == {None}
    assert source.class_names == ()


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ({"labels": [["00000/a.png", 1]]}, r"1 of 2 pictures have no label .*: 00000/b.png"),
        ({"labels": []}, "2 of 2 pictures have no label"),
        ({"labels": [["00000/a.png", 0], ["00000/b.png", -1]]}, "label -1 is out of range"),
        ({"labels": [["00000/a.png", 0], ["00000/b.png", None]]}, "label None is out of range"),
        ({"labels": [["00000/a.png", 0], ["00000/b.png", [0.5]]]}, "out of range"),
        ({"labels": [[f"00000/{n}.png", 0] for n in "abc"]}, "not exist: 00000/c.png"),
        ({"other": 1}, "is not StyleGAN's"),
        ([1, 2], "is not StyleGAN's"),
        ({"labels": [1]}, "is not StyleGAN's"),
    ],
)
@pytest.mark.fault(27)
def test_partial_or_odd_stylegan_labels_are_refused(tmp_path: Path, labels: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        stylegan(tmp_path, labels)


def test_a_folder_of_links_in_a_tar_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "t.tar"
    make_tar("w")(path, {"set/cat/1.png": PICTURE, "set/links": None, "set/cat/cat.png": None})
    with tarfile.open(path, "a") as archive:
        link = tarfile.TarInfo("set/links/1.png")
        link.type, link.linkname = tarfile.SYMTYPE, "../cat/1.png"
        archive.addfile(link)
    source = open_source(str(path))
    assert classes(source) == {"cat/1.png": "cat"}
    assert dict(source.left_out) == {
        "links/1.png": "a link in an archive",
        "links": "a folder with nothing readable in it",
        "cat/cat.png": "an empty folder named like a picture",
    }


def test_a_zips_entries_are_read_one_at_a_time(tmp_path: Path, monkeypatch: Any) -> None:
    # Since Python 3.12 `ZipFile.open` moves the shared file relative to where it stands.
    source = opened(tmp_path, "zip", {f"a/{i}.png": PICTURE for i in range(24)})
    read, inside, most = zipfile.ZipFile.read, [], []

    def slow(self: zipfile.ZipFile, *given: Any) -> bytes:
        inside.append(None)
        most.append(len(inside))
        time.sleep(0.005)
        try:
            return read(self, *given)
        finally:
            inside.pop()

    monkeypatch.setattr(zipfile.ZipFile, "read", slow)
    with ThreadPoolExecutor(8) as pool:
        contents = list(pool.map(lambda item: item.read(), source.items()))
    assert contents == [PICTURE] * 24
    assert max(most) == 1
