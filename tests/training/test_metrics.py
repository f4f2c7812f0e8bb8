"""Scores of answers and reports, against values worked out by hand."""

from __future__ import annotations

import math

import pytest

from training.metrics import (
    FindingCounts,
    closed_accuracy,
    closed_right,
    compare_findings,
    exact_match,
    first_option,
    normalise_answer,
    open_recall,
    same_answer,
    token_f1,
)


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("The lesion is 12mm. [1]", "lesion is 12 mm"),
        ("  Two   nodules! ", "2 nodules"),
        ("X-ray", "x ray"),
        ("1.5 cm", "1.5 cm"),
        ("", ""),
    ],
)
def test_answers_are_normalised(text: str, plain: str) -> None:
    assert normalise_answer(text) == plain


def test_only_the_same_words_match_exactly() -> None:
    assert exact_match("the Left lung.", "left lung")
    assert not exact_match("left lung", "right lung")


def test_another_name_of_the_modality_is_right() -> None:
    assert same_answer("OCT", "Optical coherence tomography (OCT)")
    assert same_answer("Blood-smear microscopy", "Blood smear microscopy")
    assert not same_answer("CT", "MRI")


def test_the_first_option_named_counts() -> None:
    assert first_option("Yes, no doubt.", ("Yes", "No")) == "Yes"
    assert first_option("No tumor", ("Tumor", "No tumor")) == "No tumor"
    assert first_option("It is nothing", ("Yes", "No")) is None


def test_closed_answers_are_right_by_their_first_option() -> None:
    assert closed_right("Yes, there is.", "yes")
    assert not closed_right("No, not a yes.", "Yes")
    assert closed_right("Pituitary tumor [2]", "Pituitary tumor", ("Glioma", "Pituitary tumor"))
    assert not closed_right("normal", "yes")


def test_a_closed_answer_beyond_the_options_must_be_the_same() -> None:
    assert closed_right("PA", "pa")
    assert not closed_right("AP", "PA")
    assert closed_right("not seen", "Not seen", ("Yes", "No"))


def test_closed_accuracy_is_the_share_of_right_answers() -> None:
    truths, options = ["Yes", "No", "Left", "No"], [(), (), ("Left", "Right"), ()]
    assert closed_accuracy(["yes", "yes", "left side", "no"], truths, options) == 0.75
    assert math.isnan(closed_accuracy([], [], []))


def test_recall_is_the_share_of_the_truths_words() -> None:
    assert open_recall("in the left upper lobe", "left upper lung lobe") == 0.75
    assert open_recall("left left left", "left lung") == 0.5
    assert open_recall("", "left") == 0
    assert open_recall("", "") == 1


def test_token_f1_weighs_precision_and_recall() -> None:
    # 2 shared of 3 said and 4 wanted: 2 * 2 / 7.
    assert token_f1("left upper zone", "left upper lung lobe") == pytest.approx(4 / 7)
    assert token_f1("", "left") == 0


def test_findings_are_compared_with_their_places() -> None:
    truth = {("nodule", "left", "upper"), ("effusion", "right", "lower")}
    report = "There is a 12 mm nodule in the right upper lung zone. No mass."
    assert compare_findings(report, truth) == FindingCounts(shared=0, extra=1, missed=2)
    assert compare_findings(report, truth, places=False) == FindingCounts(shared=1, extra=0, missed=1)


def test_finding_counts_give_precision_recall_and_f1() -> None:
    counts = FindingCounts(shared=3, extra=1, missed=2)
    assert (counts.precision, counts.recall, counts.f1) == (0.75, 0.6, pytest.approx(2 / 3))
    assert FindingCounts(0, 0, 0).f1 == 1
