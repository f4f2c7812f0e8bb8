import base64
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file

from assistant.conversation import NOT_FOR_CLINICAL_USE, Report, ReportRequest
from assistant.exports.held import HeldSource
from assistant.exports.registry import FORMATS
from assistant.exports.source import Source
from assistant.imaging.load import load_picture
from assistant.ui.report_finish import Draft, Finishing, format_choices

TEXTS = ("A film.", "Small effusion.", "Effusion.")
ANN = SimpleNamespace(username="ann")


@pytest.fixture
def draft():
    file = get_testdata_file("CT_small.dcm")
    picture = load_picture(file)
    sections = dict(zip(("technique", "findings", "impression"), ("A film.", "Clear.", "Normal."), strict=True))
    report = Report(sections, 0.8, False, (), (NOT_FOR_CLINICAL_USE,), "tiny", "feed", 0.1)
    source = HeldSource(Source([file]).headers, [picture])
    return Draft("ab12", ReportRequest((picture,)), report, source)


@pytest.fixture
def tab(service, desk):
    service.feedback = desk
    return Finishing(service)


def content(told):
    file = json.loads(told)
    return file["name"], base64.b64decode(file["data"])


def test_an_accepted_text_is_told_with_who_and_when_and_no_longer_a_draft(tab, draft):
    after, state, told = tab.accept(draft, False, False, *TEXTS, ANN)
    assert "Accepted by ann" in state
    assert told == ""
    _, page = content(tab.export(after, "md", *TEXTS))
    assert b"# Report accepted by a person" in page
    assert b"edited and accepted by ann" in page
    assert NOT_FOR_CLINICAL_USE.encode() not in page
    assert tab.service.feedback.store.exists is False


def test_a_change_after_acceptance_makes_it_a_draft_again(tab, draft):
    after, _, _ = tab.accept(draft, False, False, *TEXTS)
    changed = ("A film.", "Large effusion.", "Effusion.")
    _, state = tab.look(after, *changed)
    assert "a draft again" in state
    _, page = content(tab.export(after, "md", *changed))
    assert b"# Draft report" in page
    assert b"Edited by a person after drafting: findings, impression." in page


@pytest.mark.parametrize("name", [one for one in FORMATS if one != "sc"])  # a run alone works out its heat
def test_every_format_says_that_a_person_accepted_it(tab, draft, name):
    after, _, _ = tab.accept(draft, False, False, *TEXTS, ANN)
    plain = _text(name, content(tab.export(draft, name, *TEXTS))[1])
    accepted = _text(name, content(tab.export(after, name, *TEXTS))[1])
    assert "accepted" in accepted
    assert "accepted" not in plain
    assert "unverified" not in accepted.lower().replace("verificationflag", "")
    assert "Small effusion." in accepted


def _text(name, data):
    if name in ("sr", "dicom-pdf"):
        dataset = dcmread(__import__("io").BytesIO(data))
        assert dataset.PatientID == "1CT1", "the archive must file it with the images"
        if name == "dicom-pdf":
            data, name = dataset.EncapsulatedDocument, "pdf"
            assert dataset.VerificationFlag == "UNVERIFIED"
        else:
            return str(dataset).replace("'UNVERIFIED'", "")
    if name == "pdf":
        from pypdf import PdfReader

        pages = PdfReader(__import__("io").BytesIO(data)).pages
        return " ".join(" ".join(page.extract_text().split()) for page in pages)
    if name == "docx":
        import docx

        return " ".join(one.text for one in docx.Document(__import__("io").BytesIO(data)).paragraphs)
    return data.decode()


def test_draft_and_text_are_kept_only_when_asked_for_and_pixels_only_when_agreed(tab, draft, kept):
    _, _, told = tab.accept(draft, True, False, *TEXTS, ANN)
    assert "Kept as ab12" in told
    (one,) = kept()
    assert (one.kind, one.accepted, one.verdict) == ("report", True, "down")
    assert one.correction == "Technique: A film.\nFindings: Small effusion.\nImpression: Effusion."
    assert one.pictures[0].png is None
    tab.accept(draft, True, True, *draft.report.sections.values(), ANN)
    (one,) = kept()
    assert (one.verdict, one.correction) == ("up", "")
    assert one.pictures[0].png.startswith(b"\x89PNG")
    assert "ann" not in repr(replace(one, pictures=()))


def test_without_a_draft_nothing_is_accepted_or_written(tab):
    assert "There is no draft yet" in tab.accept(None, False, False, "", "", "")[1]
    with pytest.raises(gr.Error, match="There is no draft yet"):
        tab.export(None, "md", "", "", "")


def test_an_empty_report_is_not_accepted(tab, draft):
    after, state, _ = tab.accept(draft, False, False, "A film.", " ", "")
    assert after.accepted is None
    assert "cannot be accepted" in state


def test_a_format_for_an_archive_needs_a_dicom_image(tab, draft, make_picture):
    picture = make_picture(3)
    bare = replace(draft, source=HeldSource([], [picture]))
    with pytest.raises(gr.Error, match="sr belongs into a DICOM study"):
        tab.export(bare, "sr", *TEXTS)
    name, page = content(tab.export(bare, "html", *TEXTS))
    assert name == "report.html"
    assert page.count(b"data:image/png") == 1


def test_every_installed_format_is_offered():
    assert {name for _, name in format_choices()} == set(FORMATS) - {"sc"}  # a run alone works out its heat
    assert Path(f"x.{FORMATS['sr'].ending}").suffix == ".dcm"
