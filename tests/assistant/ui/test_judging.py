from types import SimpleNamespace

import pytest

from assistant.conversation import Answer
from assistant.ui.judging import Judging
from assistant.ui.session import Session

BOB = SimpleNamespace(username="bob")


@pytest.fixture
def tab(service, desk):
    service.feedback = desk
    return Judging(service)


@pytest.fixture
def session(make_picture):
    asked = Session().asked("Is Mr Miller ill?", [make_picture(1)], [{"role": "user"}, {"role": "assistant"}])
    answer = Answer("An effusion.", 0.7, False, (), (), "tiny", "feed", 0.1)
    return asked.answered(answer).growing({"role": "assistant", "content": "An effusion."})


def test_a_thumb_opens_the_form_for_that_answer_with_what_is_kept(tab, session):
    group, heading, verdict, reason, correction, _, consent, place = tab.open(1, False, session)
    assert group["visible"] is True
    assert "Not kept: your name" in heading
    assert (verdict, consent, place) == ("down", False, 1)
    assert reason["visible"] is correction["visible"] is True
    _, _, verdict, reason, *_ = tab.open(1, True, session)
    assert (verdict, reason["visible"]) == ("up", False)


def test_a_thumb_down_with_a_correction_is_kept_without_names_or_pixels(tab, session, kept, notes):
    group, told = tab.judge("down", "missed", "A pneumothorax, said Dr Smith", "see 2024-03-01", False, 1, session, BOB)
    assert group["visible"] is False
    (one,) = kept()
    assert one.id in told
    assert (one.verdict, one.reason) == ("down", "missed")
    assert one.question == "Is [name] ill?"
    assert one.correction == "A pneumothorax, said [name]"
    assert one.comment == "see [date]"
    assert [picture.png for picture in one.pictures] == [None]
    assert one.pictures[0].content_id == session.last.pictures[0].content_id
    assert notes == [("bob", one.id, "answer")]
    assert "bob" not in repr(one)


def test_pixels_are_kept_only_when_she_agrees(tab, session, kept):
    _, told = tab.judge("up", None, "", "", True, 1, session)
    assert "with 1 image" in told
    assert kept()[0].pictures[0].png.startswith(b"\x89PNG")


def test_a_thumb_up_keeps_neither_reason_nor_correction(tab, session, kept):
    tab.judge("up", "missed", "left from before", "", False, 1, session)
    assert (kept()[0].reason, kept()[0].correction) == (None, "")


def test_a_second_word_on_an_answer_takes_the_place_of_the_first(tab, session, kept):
    tab.judge("up", None, "", "", False, 1, session)
    tab.judge("down", "other", "", "", False, 1, session)
    assert [one.verdict for one in kept()] == ["down"]


@pytest.mark.parametrize("place", [-1, 1, 7])
def test_what_is_no_answer_cannot_be_judged(tab, place, make_picture, kept):
    failed = Session().told([{"role": "user"}, {"role": "assistant"}])
    assert "There is no answer here to judge" in tab.open(place, True, failed)[1]
    assert "There is no answer here to judge" in tab.judge("up", None, "", "", False, place, failed)[1]
    assert kept() == []


def test_too_long_a_text_is_told_and_nothing_is_kept(tab, session, kept):
    _, told = tab.judge("down", None, "x" * 8001, "", False, 1, session)
    assert "correction has 8001 characters; use at most 8000" in told
    assert kept() == []


def test_a_database_that_cannot_be_written_is_told(tab, session, desk):
    desk.store.open()
    desk.store.address.file.write_bytes(b"no database at all, and long enough to be taken for one" * 20)
    _, told = tab.judge("up", None, "", "", False, 1, session)
    assert "cannot be used (DatabaseError)" in told
    assert "Miller" not in told


def test_without_a_place_for_feedback_it_says_so(service, session):
    assert "takes no feedback" in Judging(service).judge("up", None, "", "", False, 1, session)[1]
