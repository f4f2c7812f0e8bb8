"""Pictures are found inside the set's folder or its zip files, and nowhere else."""

from __future__ import annotations

import os
import zipfile
from collections import Counter

import pytest

from assistant.errors import DataError
from data_recipes.datasets import pictures as module
from data_recipes.datasets.pictures import MissingPicture, Pictures, missing_records, missing_text, picture_ending


def zip_with(made, name, members):
    with zipfile.ZipFile(made.root / name, "w") as archive:
        for member, data in members.items():
            archive.writestr(member, data)


def placed(made, **options):
    return Pictures(made.root, made.out, **options)


def test_roots_are_tried_in_order_and_only_kept_pictures_are_placed(made):
    made.pictures("images/a.png", "a.png", "b.png")
    with placed(made) as pictures:
        assert pictures.find("a.png") == "images/a.png"
        pictures.drop()
        assert not made.out.exists()
        assert pictures.find("b.png") == "images/b.png"
        pictures.keep()
        assert pictures.find("images/a.png") == "images/a.png"
        pictures.keep()
    assert sorted(path.name for path in (made.out / "images").iterdir()) == ["a.png", "b.png"]
    assert (made.out / "images/a.png").read_bytes() == (made.root / "images/a.png").read_bytes()


def test_links_can_be_put_instead(made):
    made.pictures("a.png")
    with placed(made, link=True) as pictures:
        pictures.find("a.png")
        pictures.keep()
    assert (made.out / "images/a.png").readlink() == made.root / "a.png"


def test_a_name_without_ending_finds_its_file(made):
    made.pictures("images/train/x_1.jpg")
    with placed(made) as pictures:
        assert pictures.find("x_1", "train/x_1") == "images/train/x_1.jpg"
        assert not pictures.missing


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("../a.png", "field 'img': image path is \"../a.png\", which leaves the folder"),
        ("/etc/passwd", "give it relative to the data file"),
        ("x/../../a.png", "leaves the folder"),
        (None, "image path is null"),
    ],
)
def test_names_that_leave_the_folder_are_refused(made, name, message):
    with placed(made) as pictures, pytest.raises(DataError, match=message):
        pictures.find(name, field="img")


def test_a_link_out_of_the_folder_is_refused_but_a_root_on_another_disk_is_not(made, tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "a.png").write_bytes(made.png())
    (made.root / "b.png").symlink_to(tmp_path / "disk" / "a.png")
    (made.root / "images").symlink_to(tmp_path / "disk")
    with placed(made) as pictures:
        assert pictures.find("a.png") == "images/a.png"
        with pytest.raises(DataError, match=r'picture "b\.png" is a link that leaves'):
            pictures.find("b.png")


def test_a_snapshot_of_the_hub_may_link_to_its_blobs(made, tmp_path):
    snapshot = tmp_path / "datasets--x" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (tmp_path / "datasets--x" / "blobs").mkdir()
    (tmp_path / "datasets--x" / "blobs" / "1").write_bytes(made.png())
    (snapshot / "a.png").symlink_to("../../blobs/1")
    with Pictures(snapshot, made.out) as pictures:
        assert pictures.find("a.png") == "images/a.png"


def test_missing_pictures_empty_files_and_pointers_are_counted(made):
    made.file("images/empty.png", b"")
    made.file("images/pointer.png", b"version https://git-lfs.github.com/spec/v1\nsize 3\n")
    with placed(made) as pictures:
        for name in ("empty.png", "pointer.png", "none.png", "none.png"):
            with pytest.raises(MissingPicture):
                pictures.find(name)
        assert pictures.missing == {"none.png": 2, "empty.png": 1, "pointer.png": 1}
        assert pictures.optional("none.png") is None
        assert pictures.missing["none.png"] == 2


def test_zip_files_are_looked_into_and_read_one_member_at_a_time(made):
    zip_with(made, "images.zip", {"all/x/a.png": made.png(1), "all/y/a.png": made.png(2), "all/box.json": b"[]"})
    with placed(made) as pictures:
        assert pictures.find("x/a.png") == "images/x/a.png"
        pictures.keep()
        assert pictures.read("box.json") == b"[]"
        assert pictures.read("none.json") is None
        with pytest.raises(DataError, match=r'"a\.png" is in the zip files 2 times \(images\.zip:all/x/a\.png'):
            pictures.find("a.png")
    assert (made.out / "images/x/a.png").read_bytes() == made.png(1)


def test_damaged_and_swollen_zip_files_are_refused(made, monkeypatch):
    made.file("bad.zip", b"no zip")
    with placed(made) as pictures, pytest.raises(DataError, match=r"bad\.zip is no zip file"):
        pictures.find("a.png")
    os.remove(made.root / "bad.zip")
    zip_with(made, "big.zip", {"a.png": b"x" * 100})
    monkeypatch.setattr(module, "SIZE_LIMIT", 99)
    with placed(made) as pictures:
        pictures.find("a.png")
        with pytest.raises(DataError, match=r"a\.png would unpack to 100 bytes"):
            pictures.keep()


def test_embedded_pictures_are_named_by_their_content(made):
    with placed(made) as pictures:
        first = pictures.take({"bytes": made.png(1), "path": None})
        assert pictures.take(made.png(1)) == first
        assert pictures.take(made.png(2)) != first
        pictures.keep()
    assert (made.out / first).read_bytes() == made.png(1)


@pytest.mark.parametrize("cell", [None, b"text", {"bytes": None, "path": None}, 7])
def test_a_cell_without_a_picture_is_a_fault(made, cell):
    with placed(made) as pictures, pytest.raises(DataError, match="field 'image' is .*; it takes a PNG, JPEG"):
        pictures.take(cell)


def test_endings_follow_the_first_bytes(made):
    assert picture_ending(made.png()) == ".png"
    assert picture_ending(b"\xff\xd8\xff\xe0") == ".jpg"
    assert picture_ending(b"RIFF1234WEBPVP8 ") == ".webp"
    assert picture_ending(b"<html>") is None


def test_missing_pictures_are_told_by_need():
    missing = Counter({"a": 1, "b": 3, "c": 1})
    assert missing_text(missing, limit=2) == "b (3 records)\n  a (1 record)\n  … and 1 more"
    assert missing_records(missing)[1] == {"picture": "b", "records": 3}
