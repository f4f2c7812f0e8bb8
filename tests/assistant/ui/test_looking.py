from dataclasses import replace
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file

from assistant.errors import AssistantError
from assistant.ui.looking import Looking, view_of
from assistant.ui.overlay import heat_html
from assistant.ui.region import Region
from assistant.ui.session import Session, View
from assistant.ui.talking import Conversation


@pytest.fixture
def looking(service):
    return Looking(service)


def dicom(upload, name):
    return upload(name, Path(get_testdata_file(name)).read_bytes())


def sent(*paths):
    return {"text": "", "files": list(paths)}


def test_a_moving_picture_offers_its_frames_and_no_window(looking, upload):
    path = dicom(upload, "examples_ybr_color.dcm")
    view, seen, group, slider, windows, shown = looking.look(sent(path), "")
    assert (view, seen, group["visible"]) == (View(), path, True)
    assert (slider["maximum"], slider["visible"], windows["visible"]) == (30, True, False)
    assert Path(shown["value"]).is_file()
    assert Path(path).is_file()


def test_a_ct_offers_windows_and_they_change_what_is_shown(looking, upload):
    path = dicom(upload, "CT_small.dcm")
    _, seen, _, slider, windows, before = looking.look(sent(path), "")
    assert (slider["visible"], windows["visible"]) == (False, True)
    after = looking.turn(1, "lung", seen)
    assert view_of(1, "lung", View()) == View(0, "lung")
    assert Path(before["value"]).read_bytes() != Path(after["value"]).read_bytes()
    assert view_of(1, "no such window", None) == View(0, None)


def test_a_plain_image_offers_nothing_and_files_are_read_once(looking, upload):
    path = upload("a.png")
    _, seen, group, *_ = looking.look(sent(path), "")
    assert not group["visible"]
    assert "visible" not in looking.look({"text": "typed", "files": [path]}, seen)[2]
    assert looking.turn(2, "lung", seen) == {"value": None, "__type__": "update"}


def test_a_broken_file_is_left_for_when_it_is_sent(looking, upload):
    assert not looking.look(sent(upload("broken.dcm", b"none")), "")[2]["visible"]


def test_clicks_draw_a_box_on_the_picture_under_discussion(looking, uploads, make_picture):
    session = Session().asked("What?", [make_picture(1, 300, 200)], [])
    shown, region, hint = looking.canvas(session)
    assert Path(shown or "").is_file()
    assert "two opposite corners" in hint
    _, region, _ = looking.click((30, 20), session, region)
    path, region, hint = looking.click((150, 100), session, region)
    assert region.box == pytest.approx((0.1, 0.1, 0.5, 0.5), abs=0.01)
    assert Path(path or "").is_file()
    assert "next question" in hint
    assert looking.canvas(Session())[:2] == (None, Region())


@pytest.fixture
def answered(service, upload):
    """A session with an answer about a picture, which counts as sure: the model is a random one."""
    tab = Conversation(service)
    _, session, _ = list(tab.answer(tab.accept(sent(upload("a.png")), Session())[2]))[-1]
    return replace(session, answer=replace(session.answer, text="A CT scan.", abstained=False))


def test_what_an_answer_rests_on_is_worked_out_by_the_model(looking, service, answered):
    first, last = looking.heat(answered)
    assert "Blurring" in first
    heat = service.heat(answered.last, "A CT scan.")
    assert heat.nats.shape == (8, 8)
    assert last == heat_html(answered.pictures[-1], heat)


def test_an_abstention_rests_on_nothing(looking, answered):
    (only,) = looking.heat(replace(answered, answer=replace(answered.answer, abstained=True)))
    assert "no answer of its own" in only


def test_without_an_answer_about_a_picture_it_says_what_to_do(looking):
    assert "Ask about an image first" in next(looking.heat(Session()))


def test_a_busy_server_is_told(looking, service, answered, monkeypatch):
    def busy(*_):
        raise AssistantError("The server is busy: 9 requests wait already. Try again in 5 s.")

    monkeypatch.setattr(service, "heat", busy)
    assert "9 requests wait already" in list(looking.heat(answered))[-1]
