"""MedEvalKit's rules, against values worked out by hand from what its code does."""

from __future__ import annotations

import pytest

from training.evaluation.medevalkit import (
    MEDEVALKIT,
    bleu,
    boxed,
    choice_right,
    closed_right,
    judgement_right,
    open_exact,
    parse_response,
    precision_recall_f1,
    tagged,
)
from training.evaluation.scorer import Pair


def test_an_answer_is_read_out_of_its_box_or_tags() -> None:
    assert boxed(r"so \boxed{left \textbf{lung}} it is") == r"left \textbf{lung}"
    assert boxed(r"\boxed{one} and \boxed{two}") == "two"
    assert boxed(r"\boxed{never closed") == "None"
    assert boxed("plain") == "None"
    assert tagged("<think>x</think><answer>left</answer> <answer>lung</answer>") == "left lung"
    assert tagged("no tags") == "no tags"


def test_what_stands_behind_the_last_mark_keeps_its_space() -> None:
    assert parse_response("I think the Answer is left lung") == " left lung"
    assert parse_response("Final answer: left") == " left"


@pytest.mark.parametrize(
    ("prediction", "truth", "right"),
    [
        ("Yes.", "yes", True),
        ("The answer is yes", "Yes", True),
        # "no" stands within "abnormal", so both words are there, and neither counts.
        ("Yes, it is abnormal", "yes", False),
        ("It is normal", "no", True),
        ("unclear", "no", False),
        (r"\boxed{No}", "no", True),
    ],
)
def test_a_judgement_holds_exactly_one_of_yes_and_no(prediction: str, truth: str, right: bool) -> None:
    assert judgement_right(prediction, truth) is right


def test_closed_answers_equal_the_truth_and_hyphens_tell_the_commits_apart() -> None:
    assert closed_right("X-ray.", "X-Ray")
    assert not closed_right("X ray", "X-Ray")
    assert closed_right("X ray", "X-Ray", hyphens=False)
    # The space behind "answer is" stays, so the comparison fails.
    assert not closed_right("The answer is left", "left")


@pytest.mark.parametrize(
    ("prediction", "truth", "right"),
    [
        ("B", "b", True),
        ("B. Effusion", "Effusion", True),
        ("Effusion", "B", True),
        ("Answer: b", "Effusion", True),
        ("a pleural effusion", "Effusion", True),
        ("Pneumothorax", "B", False),
        ("C", "b", False),
    ],
)
def test_choices_agree_by_letter_option_or_likeness(prediction: str, truth: str, right: bool) -> None:
    assert choice_right(prediction, truth, ("Nodule", "Effusion", "Pneumothorax")) is right


def test_open_answers_match_letter_by_letter() -> None:
    assert open_exact("Left Lung", "left lung")
    assert not open_exact("left lung.", "left lung")
    assert not open_exact("The answer is left lung", "left lung")


def test_its_printed_f1_is_the_recall_of_sets_of_words() -> None:
    # Sets {in, the, left, lung} and {left, lung}: precision 1/2, recall 1, F1 2/3.
    assert precision_recall_f1("in the left lung", "left lung") == pytest.approx((0.5, 1.0, 2 / 3))
    pairs = [Pair("in the left lung", "left lung", "open")]
    scores = {one.name: one.score(pairs, "a") for one in MEDEVALKIT}
    printed = {name: scores[f"medevalkit.{name}"].value for name in ("precision", "recall", "f1")}
    assert printed == pytest.approx({"precision": 2 / 3, "recall": 0.5, "f1": 1.0})


def test_bleu_is_nltks_of_one_sentence() -> None:
    # One of two words is shared; no shorter than the truth.
    assert bleu("left kidney", "left lung", 1) == pytest.approx(0.5)
    assert bleu("left", "left lung", 1) == pytest.approx(2.718281828**-1)
    assert bleu("left lung", "left lung", 4) < 1e-50


def test_the_truth_tells_which_questions_are_closed() -> None:
    pairs = [Pair("yes", "Yes", "open"), Pair("axial", "axial", "closed")]
    scores = {one.name: one.score(pairs, "ab") for one in MEDEVALKIT}
    assert scores["medevalkit.judgement"].n == 1
    assert scores["medevalkit.exact_match"].n == 1
    assert scores["medevalkit.closed"].n == 1
