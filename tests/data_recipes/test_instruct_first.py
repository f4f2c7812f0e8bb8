"""What is asked first of a picture has answers that follow from what is known, and none where nothing is."""

import random

import pytest

from assistant.prompts import DESCRIPTION_REQUESTS
from assistant.questions import options_in
from assistant.review import CANNOT_TELL, cannot_tell
from data_recipes.instruct_first import (
    ABNORMAL,
    CANCER_QUESTIONS,
    MASS,
    NORMAL,
    NOTHING_NAMED,
    UNTOLD,
    description,
    first_questions,
)

GLIOMA = {"modality": "MRI", "region": "brain", "brain finding": "glioma"}
BREAST = {"modality": "Ultrasound", "region": "breast"}


def answers(truth, caption=None, times=40):
    """Ask often, so that every wording comes up: question to its answers."""
    found = {}
    for seed in range(times):
        for question, answer, *_ in first_questions(truth, caption, random.Random(seed)):
            found.setdefault(question, set()).add(answer)
    return found


@pytest.mark.parametrize(
    ("truth", "text"),
    [
        (GLIOMA, "MRI of the brain. There is a mass with the appearance of a glioma."),
        (
            {"modality": "X-ray", "region": "knee", "knee finding": "fracture"},
            "X-ray of the knee. Knee finding: fracture.",
        ),
        ({"modality": "CT", "region": "abdomen"}, f"CT of the abdomen. {NOTHING_NAMED}"),
        (
            {"modality": "Blood-smear microscopy", "white cells": "1", "platelets": "no"},
            "Blood-smear microscopy. One white blood cell in this field. No platelets are visible.",
        ),
    ],
)
def test_a_description_says_what_is_known_and_no_more(truth, text):
    assert description(truth) == text


def test_every_wording_of_a_request_to_describe_gets_the_description():
    found = answers(GLIOMA)
    assert all(found[question] == {description(GLIOMA)} for question in DESCRIPTION_REQUESTS)


def test_a_caption_describes_a_picture_without_a_class_and_gives_way_to_one():
    assert answers({"modality": "CT"}, "A drawn head.")[DESCRIPTION_REQUESTS[0]] == {"A drawn head."}
    assert answers(GLIOMA, "A glioma, I think.")[DESCRIPTION_REQUESTS[0]] == {description(GLIOMA)}


@pytest.mark.parametrize(
    ("truth", "normal"),
    [
        (GLIOMA, "No"),
        ({**BREAST, "breast finding": "normal"}, "Yes"),
        ({"phantom": True, "findings": []}, "Yes"),
        ({"phantom": True, "findings": [{"name": "nodule"}]}, "No"),
    ],
)
def test_normal_is_what_has_no_finding(truth, normal):
    found = answers(truth)
    assert {answer for question in NORMAL for answer in found[question]} == {normal}
    assert {answer for question in ABNORMAL for answer in found[question]} == {"No" if normal == "Yes" else "Yes"}


def test_nothing_is_called_normal_of_which_nothing_is_known():
    for own in ({}, {"knee finding": "left"}):
        assert not set(answers({"modality": "CT", "region": "head", **own})) & {*NORMAL, *ABNORMAL, *UNTOLD}


@pytest.mark.parametrize(("finding", "mass", "cancer"), [("benign", "Yes", "No"), ("malignant", "Yes", "Yes")])
def test_masses_and_cancer_follow_from_the_class(finding, mass, cancer):
    found = answers({**BREAST, "breast finding": finding})
    assert {answer for question in MASS["breast finding"] for answer in found[question]} == {mass}
    assert {answer for question in CANCER_QUESTIONS for answer in found[question]} == {cancer}


def test_a_normal_breast_is_not_asked_about_cancer():
    assert not set(answers({**BREAST, "breast finding": "normal"})) & set(CANCER_QUESTIONS)


def test_of_two_kinds_the_right_one_is_told_or_neither():
    for question, told in answers({"modality": "X-ray"}).items():
        if "or" in question.split():
            options = options_in(question)
            assert len(options) == 2
            assert told == ({"X-ray"} if "X-ray" in question else {"Neither: X-ray"})


def test_a_kind_that_is_never_offered_is_always_neither():
    found = [
        answer
        for question, told in answers({"modality": "Dermoscopy"}).items()
        for answer in told
        if " or " in question
    ]
    assert set(found) == {"Neither: Dermoscopy"}


def test_of_two_tumours_the_right_one_is_told_or_neither():
    found = {question: told for question, told in answers(GLIOMA).items() if question.startswith("Is this a ")}
    tumours = {question: told for question, told in found.items() if "oma or" in question or "tumor or" in question}
    assert len(tumours) == 6
    assert all(
        told == ({"Glioma"} if "glioma" in question else {"Neither: Glioma"}) for question, told in tumours.items()
    )


def test_where_and_how_large_cannot_be_told_from_a_class_alone():
    found = answers(GLIOMA, times=120)
    assert all(found[question] == {CANNOT_TELL} for question in UNTOLD)
    assert cannot_tell("This model cannot tell [1].")
    assert not cannot_tell("This model cannot tell a glioma from a meningioma.")
