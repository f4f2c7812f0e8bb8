"""The words that go to the model."""

from __future__ import annotations

import pytest

from assistant.conversation import Turn
from assistant.prompts import (
    COMPARE_REQUEST,
    REPORT_REQUEST,
    conversation,
    evidence_lines,
    first_sentence,
    header_line,
    parse_report,
    question_text,
    render_report,
    report_text,
)


def count(text: str) -> int:
    return len(text.split())


@pytest.fixture
def two(make_evidence):
    return [
        make_evidence("Glioma", "A glioma is a tumour. It\nmay have a rim."),
        make_evidence("Abscess", "An abscess holds pus. Its rim is smooth."),
    ]


@pytest.mark.parametrize(
    ("budget", "lines"),
    [
        (
            22,
            [
                "[1] Glioma: A glioma is a tumour. It may have a rim.",
                "[2] Abscess: An abscess holds pus. Its rim is smooth.",
            ],
        ),
        (21, ["[1] Glioma: A glioma is a tumour.", "[2] Abscess: An abscess holds pus."]),
        (12, ["[1] Glioma", "[2] Abscess"]),
        (3, ["[1] Glioma"]),
        (1, []),
    ],
)
def test_evidence_is_shortened_until_it_fits(two, budget, lines):
    assert evidence_lines(two, budget=budget, count_tokens=count) == lines


def test_no_evidence_takes_no_lines():
    assert evidence_lines([], budget=10, count_tokens=count) == []


@pytest.mark.parametrize(
    ("text", "first"),
    [("One. Two.", "One."), ("Is it?\nYes.", "Is it?"), ("1.5 cm wide. Round.", "1.5 cm wide."), ("no end", "no end")],
)
def test_first_sentence(text, first):
    assert first_sentence(text) == first


def test_the_header_line_says_what_is_known():
    assert header_line(modality="CT", anatomy="chest", view="axial") == "Header: CT, chest, axial."
    assert header_line(anatomy="chest") == "Header: chest."
    assert header_line() is None


def test_a_question_has_header_evidence_question_and_options_in_this_order():
    text = question_text(
        "Which  is\nit?", options=("Benign", "Malignant"), evidence=["[1] A: b."], header="Header: CT."
    )
    assert text == "Header: CT.\nEvidence:\n[1] A: b.\nWhich is it? Options: Benign, Malignant."


def test_options_that_the_question_names_are_not_repeated():
    assert question_text("Benign or malignant?", options=("Benign", "Malignant")) == "Benign or malignant?"
    assert (
        question_text("Is it benign?", options=("Benign", "Malignant")) == "Is it benign? Options: Benign, Malignant."
    )


def test_a_report_is_asked_for_with_what_is_known():
    assert report_text() == REPORT_REQUEST
    text = report_text(indication="Cough\n3 weeks", has_prior=True, evidence=["[1] A"], header="Header: CT.")
    assert text == f"Header: CT.\nEvidence:\n[1] A\nIndication: Cough 3 weeks\n{COMPARE_REQUEST}"


def test_pictures_stand_in_the_first_user_message():
    history = (Turn("user", "Normal?"), Turn("assistant", "No."))
    messages = conversation("Why?", images=2, history=history, system="Be brief.")
    assert [message["role"] for message in messages] == ["system", "user", "assistant", "user"]
    assert [part["type"] for part in messages[1]["content"]] == ["image", "image", "text"]
    assert messages[3]["content"] == [{"type": "text", "text": "Why?"}]
    assert [part["type"] for part in conversation("Why?", images=1)[0]["content"]] == ["image", "text"]


@pytest.mark.parametrize(
    "sections",
    [
        {"technique": "CT of the chest.", "findings": "No nodule. Heart: normal.", "impression": "Normal."},
        {"technique": "", "findings": "Clear.", "impression": ""},
    ],
)
def test_reports_are_read_back_as_they_were_written(sections):
    assert parse_report(render_report(sections)) == sections


def test_reports_are_read_with_what_models_add():
    text = "There is a mass.\n**FINDINGS:** More\nof it.\nImpression : Mass."
    assert parse_report(text)["findings"] != ""
    assert parse_report(text)["impression"] == "Mass."
    assert parse_report("There is a mass.\nImpression: Mass.") == {
        "technique": "",
        "findings": "There is a mass.",
        "impression": "Mass.",
    }
