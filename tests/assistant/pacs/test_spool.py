import re
from types import SimpleNamespace

import pytest

from assistant.errors import PacsError
from assistant.pacs.receiver import FULL, TAKEN
from assistant.pacs.spool import Spool


@pytest.fixture
def spool(tmp_path):
    return lambda **more: Spool(tmp_path / "incoming", **{"most_bytes": 1000, "most_objects": 3, **more})


def test_objects_lie_by_study_for_the_owner_alone(spool, dicom_image):
    made = spool()
    for number, part in ((1, 2), (1, 1), (2, 1)):
        assert made.take(dicom_image(number, part), f"{number}.{part}".encode()) == TAKEN
    first, second = made.stable(0)
    assert [one.read_text() for one in sorted(first.iterdir())] == ["1.1", "1.2"]  # by instance number
    assert [one.read_text() for one in second.iterdir()] == ["2.1"]
    for path in (made.folder, first, *first.iterdir()):
        assert path.stat().st_mode & 0o077 == 0
    assert all(
        re.fullmatch(r"[0-9a-f]{16}/0{4}1-0{4}[12]-[0-9a-f]{12}\.dcm", _inside(made, one)) for one in first.iterdir()
    )


def _inside(spool, path):
    return path.relative_to(spool.folder).as_posix()


def test_limits_refuse_and_what_is_there_may_come_again(spool, dicom_image):
    made = spool()
    assert [made.take(dicom_image(1, part), b"x" * 100) for part in (1, 2, 3, 4)] == [TAKEN] * 3 + [FULL]
    assert made.take(dicom_image(1, 3), b"y" * 100) == TAKEN
    assert made.size == 300
    assert made.take(dicom_image(2), b"x" * 701) == FULL
    assert made.take(dicom_image(2), b"x" * 700) == TAKEN


def test_a_study_is_stable_when_nothing_has_come_for_a_while(spool, dicom_image, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("assistant.pacs.spool.time", SimpleNamespace(monotonic=lambda: now[0]))
    made = spool()
    made.take(dicom_image(1), b"x")
    now[0] += 0.19
    assert made.stable(0.2) == []
    now[0] += 0.02
    made.take(dicom_image(2), b"x")
    (quiet,) = made.stable(0.2)
    assert [one.read_text() for one in quiet.iterdir()] == ["x"]


def test_a_study_to_which_something_came_is_not_removed(spool, dicom_image):
    made = spool()
    made.take(dicom_image(1, 1), b"x")
    (study,) = made.stable(0)
    known = made.files(study)
    made.take(dicom_image(1, 2), b"x")
    assert not made.remove(study, known)
    assert made.remove(study, made.files(study))
    assert (made.size, made.stable(0), study.exists()) == (0, [], False)


def test_a_new_process_finds_what_lies_there_but_for_drafts(spool, dicom_image, tmp_path):
    before = spool()
    before.take(dicom_image(1), b"whole")
    (tmp_path / "incoming" / ".drafts" / "7").write_bytes(b"half")
    after = spool()
    (study,) = after.stable(0)
    assert (after.size, [one.read_text() for one in study.iterdir()]) == (5, ["whole"])
    assert not any((tmp_path / "incoming" / ".drafts").iterdir())


def test_objects_of_this_program_are_taken_and_left(spool, dicom_image):
    made = spool()
    assert made.take(dicom_image(1, Manufacturer="medassist"), b"x") == TAKEN
    assert made.stable(0) == []


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(PacsError, match="cannot be written"):
        Spool(tmp_path / "file", most_bytes=1, most_objects=1)
