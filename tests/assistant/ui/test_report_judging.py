"""Thumbs on a drafted report that nobody has accepted."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from assistant.conversation import NOT_FOR_CLINICAL_USE, Report, ReportRequest
from assistant.exports.held import HeldSource
from assistant.ui.report_finish import Draft
from assistant.ui.report_judging import ReportJudging

DRAFTED = ("A film.", "Clear.", "Normal.")
EDITED = ("A film.", "Small effusion.", "Effusion.")
ANN = SimpleNamespace(username="ann")


@pytest.fixture
def draft(make_picture):
    picture = make_picture(1)
    sections = dict(zip(("technique", "findings", "impression"), DRAFTED, strict=True))
    report = Report(sections, 0.8, False, (), (NOT_FOR_CLINICAL_USE,), "tiny", "feed", 0.1)
    return Draft("ab12", ReportRequest((picture,)), report, HeldSource((), [picture]), "ix")


@pytest.fixture
def tab(service, desk):
    service.feedback = desk
    yield ReportJudging(service)
    service.feedback = None


def test_a_thumb_down_keeps_reason_and_edited_text_without_acceptance(tab, draft, kept, notes):
    group, told = tab.judge("down", "missed", True, "The effusion.", False, draft, *EDITED, ANN)
    assert group == {"visible": False, "__type__": "update"}
    assert "Thank you. Kept as ab12" in told
    (one,) = kept()
    assert (one.kind, one.verdict, one.reason, one.accepted) == ("report", "down", "missed", False)
    assert "Small effusion." in one.correction
    assert (one.index, one.comment) == ("ix", "The effusion.")
    assert [picture.png for picture in one.pictures] == [None]
    assert notes == [("ann", "ab12", "report")]


def test_a_thumb_up_keeps_no_reason(tab, draft, kept):
    tab.judge("up", "missed", True, "", False, draft, *DRAFTED)
    (one,) = kept()
    assert (one.verdict, one.reason, one.correction) == ("up", None, "")


def test_the_edited_text_stays_here_unless_it_is_sent(tab, draft, kept):
    tab.judge("down", None, False, "", False, draft, *EDITED)
    assert kept()[0].correction == ""


def test_a_thumb_on_an_accepted_report_does_not_undo_the_acceptance(tab, draft, kept):
    accepted = replace(draft, accepted={"by": "ann"}, text=EDITED)
    tab.judge("up", None, True, "", False, accepted, *EDITED)
    assert kept()[0].accepted is True
    tab.judge("up", None, True, "", False, accepted, *DRAFTED)
    assert kept()[0].accepted is False


def test_the_form_offers_the_edited_text_where_there_is_one(tab, draft):
    _, heading, verdict, reason, take, *_ = tab.open(False, draft, *EDITED)
    assert "About this draft, accepted or not" in heading
    assert "Not kept: your name" in heading
    assert (verdict, reason["visible"]) == ("down", True)
    assert (take["visible"], take["value"]) == (True, True)
    _, _, verdict, reason, take, *_ = tab.open(True, draft, *DRAFTED)
    assert (verdict, reason["visible"], take["visible"]) == ("up", False, False)


def test_without_a_draft_there_is_nothing_to_judge(tab, kept):
    assert "There is no draft yet" in tab.open(True, None, "", "", "")[-1]
    assert "ma-error" in tab.judge("up", None, False, "", False, None, "", "", "")[1]
    assert kept() == []
