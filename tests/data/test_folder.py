"""Folders: classes, what is left out, and what is refused before anything is trained."""

import os
import socket
from pathlib import Path

import pytest
from image_corpus import classes, encoded, put, rgb

from sagan.data.sources.open_source import open_source
from sagan.text import shown

PICTURE = encoded(rgb())


def fill(root: Path, *names: str) -> Path:
    return put(root, dict.fromkeys(names, PICTURE))


def refused(path: Path) -> str:
    with pytest.raises(ValueError, match=r".") as error:
        open_source(str(path))
    message = str(error.value)
    assert message.startswith(shown(str(path)))
    assert "\n" not in message
    return message


def test_a_flat_folder_has_no_classes(tmp_path: Path) -> None:
    source = open_source(str(fill(tmp_path, "b.png", "a.png")))
    assert classes(source) == {"a.png": None, "b.png": None}
    assert (source.class_names, source.length, source.left_out) == ((), 2, ())


def test_sub_folders_are_classes_by_their_whole_name(tmp_path: Path) -> None:
    fill(tmp_path, "b/cat/1.png", "a/cat/1.png", "dog/1.png", "dog/old/2.png")
    source = open_source(str(tmp_path))
    assert source.class_names == ("a/cat", "b/cat", "dog", "dog/old")
    assert classes(source)["b/cat/1.png"] == "b/cat"
    assert [item.name for item in source.items()] == sorted(classes(source))


def test_pictures_beside_sub_folders_are_refused_by_content(tmp_path: Path) -> None:
    fill(tmp_path, "cat/1.png", "stray.txt")
    assert "beside them (stray.txt)" in refused(tmp_path)
    (tmp_path / "stray.txt").write_text("not a picture at all")
    source = open_source(str(tmp_path))
    assert source.left_out == (("stray.txt", "not a picture, beside the class folders"),)


@pytest.mark.parametrize("empty", ["dog", "cat/kitten", "dog/puppy"])
@pytest.mark.fault(27)
def test_an_empty_class_folder_is_named(tmp_path: Path, empty: str) -> None:
    fill(tmp_path, "cat/1.png")
    (tmp_path / empty).mkdir(parents=True)
    assert "no picture in the class folder" in refused(tmp_path)
    assert empty in refused(tmp_path)


def test_folders_of_links_and_empty_ones_named_like_pictures_are_left_out(tmp_path: Path) -> None:
    root = fill(tmp_path / "data", "cat/1.png", "dog/1.png")
    (root / "links/more").mkdir(parents=True)
    (root / "links/more/away.png").symlink_to(tmp_path)
    (root / "cat/cat.PNG").mkdir()
    (root / "odd/x.jpg").mkdir(parents=True)
    source = open_source(str(root))
    assert source.class_names == ("cat", "dog")
    assert dict(source.left_out) == {
        "links/more/away.png": "a link out of the folder",
        "links": "a folder with nothing readable in it",
        "odd": "a folder with nothing readable in it",
        "cat/cat.PNG": "an empty folder named like a picture",
    }
    with pytest.raises(ValueError, match=r"folders cat/cat\.PNG, links, "):
        open_source(str(root), rules=1)
    flat = fill(tmp_path / "flat", "1.png")
    (flat / "cat.png").mkdir()
    assert open_source(str(flat)).left_out == (("cat.png", "an empty folder named like a picture"),)
    (root / "odd/x.jpg/empty").mkdir()
    assert "no picture in the class folder odd/x.jpg/empty" in refused(root)


@pytest.mark.fault(27)
def test_a_folder_of_empty_folders_or_of_nothing_is_refused(tmp_path: Path) -> None:
    assert "it holds no pictures" in refused(tmp_path)
    (tmp_path / "cat").mkdir()
    assert "it holds no pictures" in refused(tmp_path)


@pytest.mark.parametrize("other", ["CAT", "ca\N{COMBINING DIAERESIS}t"])
def test_classes_that_differ_only_in_case_or_encoding_are_refused(
    tmp_path: Path, other: str
) -> None:
    first = "cat" if other == "CAT" else "c\N{LATIN SMALL LETTER A WITH DIAERESIS}t"
    fill(tmp_path, f"{first}/1.png", f"{other}/1.png")
    if len(list(tmp_path.iterdir())) < 2:
        pytest.skip("this file system takes the two for one")
    assert "differ only in case or encoding" in refused(tmp_path)


def test_what_systems_leave_behind_is_ignored(tmp_path: Path) -> None:
    fill(tmp_path, "cat/1.png", "cat/.DS_Store", ".git/x", "__MACOSX/cat/1.png", "cat/Thumbs.db")
    source = open_source(str(tmp_path))
    assert classes(source) == {"cat/1.png": "cat"}
    assert source.left_out == ()


@pytest.mark.fault(26)
def test_links_pipes_and_sockets_are_left_out_and_listed(tmp_path: Path) -> None:
    root = fill(tmp_path / "data", "cat/1.png", "dog/1.png")
    outside = fill(tmp_path / "outside", "secret.png")
    (root / "cat/link.png").symlink_to(root / "cat/1.png")
    (root / "cat/out.png").symlink_to(outside / "secret.png")
    (root / "cat/dead.png").symlink_to("nowhere")
    (root / "cat/self.png").symlink_to("self.png")
    (root / "cat/up").symlink_to("..")
    (root / "cat/away").symlink_to(outside)
    os.mkfifo(root / "cat/pipe.png")
    with socket.socket(socket.AF_UNIX) as server:
        here = os.getcwd()
        os.chdir(root / "cat")  # a socket's path must be short
        try:
            server.bind("socket.png")
        finally:
            os.chdir(here)
        source = open_source(str(root))
    assert classes(source) == {
        "cat/1.png": "cat",
        "cat/link.png": "cat",
        "dog/1.png": "dog",
    }
    assert dict(source.left_out) == {
        "cat/out.png": "a link out of the folder",
        "cat/dead.png": "a link that leads nowhere",
        "cat/self.png": "a link that leads nowhere",
        "cat/up": "a link to a folder",
        "cat/away": "a link out of the folder",
        "cat/pipe.png": "a named pipe",
        "cat/socket.png": "a socket",
    }


def test_a_folder_may_itself_be_a_link(tmp_path: Path) -> None:
    fill(tmp_path / "data", "cat/1.png", "dog/1.png")
    (tmp_path / "link").symlink_to("data")
    assert open_source(str(tmp_path / "link")).class_names == ("cat", "dog")


@pytest.mark.fault(26)
def test_names_that_are_no_text_are_kept_apart_and_shown(tmp_path: Path) -> None:
    try:
        (tmp_path / os.fsdecode(b"\xff.png")).write_bytes(PICTURE)
    except OSError:
        pytest.skip("this file system takes text only")
    fill(tmp_path, "a\nb.png", "-x.png", "\N{SNOWMAN}.png")
    source = open_source(str(tmp_path))
    assert len(classes(source)) == 4
    for name in classes(source):
        assert shown(name).isprintable()
    assert shown("a\nb.png") == r"a\nb.png"


def test_the_stamp_changes_with_any_change_of_a_file(tmp_path: Path) -> None:
    file = fill(tmp_path, "1.png") / "1.png"
    before = open_source(str(tmp_path)).stamp
    assert open_source(str(tmp_path)).stamp == before
    times = file.stat()
    content = bytearray(PICTURE)
    content[-20] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))  # hide it
    assert open_source(str(tmp_path)).stamp != before


@pytest.mark.parametrize("name", ["nonsense", "", "no/such/folder", "a\0b"])
def test_what_is_not_there_is_refused_with_what_would_do(name: str) -> None:
    with pytest.raises(ValueError, match=r"unknown data source .*; choose from digits"):
        open_source(name)


def test_files_that_are_no_source_are_refused(tmp_path: Path) -> None:
    for name, content, said in (
        ("one.png", PICTURE, "a single picture; name its folder"),
        ("notes.zip", b"plain text", "its kind is unknown"),
        ("empty.tar", b"", "it is empty"),
        ("cut.zip", b"PK\x03\x04 and no more", "damaged or cut short"),
        ("page.tar.gz", b"\x1f\x8b garbage", "not a tar archive, or a damaged one"),
    ):
        (tmp_path / name).write_bytes(content)
        assert said in refused(tmp_path / name)
    os.mkfifo(tmp_path / "pipe")
    assert "neither a folder nor a regular file" in refused(tmp_path / "pipe")


def test_an_icon_beside_class_folders_is_no_picture_by_the_first_rules(tmp_path: Path) -> None:
    fill(tmp_path, "cat/1.png", "dog/1.png")
    put(tmp_path, {"site.ico": encoded(rgb(), "ICO")})
    source = open_source(str(tmp_path), rules=1)
    assert source.left_out == (("site.ico", "not a picture, beside the class folders"),)
    assert "beside them (site.ico)" in refused(tmp_path)
