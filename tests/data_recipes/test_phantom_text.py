"""Questions, captions and reports on phantoms say what is true, and the parser reads reports back."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from data_recipes.phantom import make_phantom, with_prior
from data_recipes.phantom_findings import KINDS
from data_recipes.phantom_reports import REPORT_STYLES
from data_recipes.phantom_text import (
    change_question,
    phantom_caption,
    phantom_questions,
    phantom_report,
    report_findings,
)


@pytest.fixture(scope="module")
def phantoms():
    return [make_phantom(6, index, size=64) for index in range(500)]


def true_findings(phantom):
    return {(finding.name, finding.side, finding.zone) for finding in phantom.findings}


@pytest.mark.parametrize("style", REPORT_STYLES)
def test_the_parser_inverts_every_style_of_report(phantoms, style):
    rng = random.Random(1)
    for phantom in phantoms:
        report = phantom_report(phantom, rng, style)
        assert list(report) == ["technique", "findings", "impression"]
        assert report_findings(report["findings"]) == true_findings(phantom)
        assert report_findings(report["impression"]) == true_findings(phantom)
        assert report_findings("\n".join(f"{name}: {text}" for name, text in report.items())) == true_findings(phantom)


def test_every_sentence_on_a_finding_states_its_size(phantoms):
    rng = random.Random(2)
    for phantom in phantoms:
        for style in REPORT_STYLES:
            text = phantom_report(phantom, rng, style)["findings"]
            assert all(f"{found.size_mm} mm" in text for found in phantom.findings if found.size_mm)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("No nodule or pneumothorax.", set()),
        ("The heart is not enlarged.", set()),
        ("Cardiomegaly.", {("enlarged heart", None, None)}),
        ("Right upper zone nodule without pleural effusion.", {("nodule", "right", "upper")}),
        (
            "No pneumothorax, but a nodule in the left lower lung zone.",
            {("nodule", "left", "lower")},
        ),
        (
            "Nodule in the right upper zone and pleural effusion in the left lower zone.",
            {("nodule", "right", "upper"), ("pleural effusion", "left", "lower")},
        ),
        ("A nodule. The nodule is in the left upper zone.", {("nodule", "left", "upper")}),
        ("Solid mass in the right deep field.", {("solid mass", "right", "deep")}),
        ("", set()),
    ],
)
def test_reports_by_others_are_read(text, found):
    assert report_findings(text) == found


def test_an_unknown_style_is_refused(phantoms):
    with pytest.raises(ValueError, match="style is 'poem'; use one of plain, terse, list, formal"):
        phantom_report(phantoms[0], random.Random(0), "poem")


def test_answers_are_true_and_fit_their_type(phantoms):
    rng = random.Random(3)
    for phantom in phantoms:
        asked = phantom_questions(phantom, rng)
        answers = [answer for _, answer, _, _ in asked]
        assert answers[:2] == [phantom.modality, phantom.anatomy.capitalize()]
        assert answers[2] == ("Yes" if phantom.findings else "No")
        for question, answer, answer_type, choices in asked:
            assert question.strip()
            assert answer_type in ("closed", "open", "choice")
            assert (choices is None) == (answer_type == "open")
            assert choices is None or answer in choices
            assert "{" not in question
        for finding in phantom.findings:
            if finding.side:
                about = [answer for question, answer, _, _ in asked if finding.name in question]
                assert finding.side.capitalize() in about
                assert f"{finding.size_mm} mm" in about


def test_presence_is_asked_with_yes_and_no_alike(phantoms):
    rng = random.Random(4)
    names = [name for kind in KINDS.values() for name in kind.sizes]
    told = Counter()
    for phantom in [make_phantom(7, index, size=64) for index in range(500)] + phantoms:
        for question, answer, _, choices in phantom_questions(phantom, rng)[4:]:
            if choices == ("Yes", "No") and "drawn" not in question:
                assert any(name in question for name in names)
                told[answer] += 1
    assert told["Yes"] / sum(told.values()) == pytest.approx(0.5, abs=0.06)


def test_wordings_vary(phantoms):
    rng = random.Random(5)
    assert len({phantom_questions(phantoms[0], rng)[0][0] for _ in range(60)}) >= 3
    assert len({str(phantom_report(phantoms[1], rng)) for _ in range(60)}) >= 6


def test_some_questions_ask_whether_it_is_a_phantom(phantoms):
    rng = random.Random(6)
    asked = [item for phantom in phantoms for item in phantom_questions(phantom, rng) if "drawn" in item[0]]
    assert 30 < len(asked) < 130
    assert {answer for _, answer, _, _ in asked} == {"Yes"}


def test_captions_name_modality_and_findings(phantoms):
    for phantom in phantoms[:100]:
        caption = phantom_caption(phantom)
        assert phantom.modality in caption
        assert "phantom" in caption.lower()
        assert report_findings(caption) == true_findings(phantom)


def test_the_change_is_asked_and_answered():
    answers = set()
    for index in range(200):
        _, present = with_prior(make_phantom(9, index, size=64), random.Random(index))
        question, answer, answer_type, choices = change_question(present, random.Random(index))
        assert "first image" in question
        assert (answer_type, choices) == ("open", None)
        note = present.truth["change"]
        assert answer == "No change" if note["finding"] is None else note["finding"] in answer
        answers.add(answer.split()[-1])
    assert {"larger", "smaller", "new", "resolved", "unchanged", "change"} == answers
    with pytest.raises(ValueError, match="truth has no change"):
        change_question(make_phantom(9, 0, size=64), random.Random(0))
