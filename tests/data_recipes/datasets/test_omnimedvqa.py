"""OmniMedVQA."""

from __future__ import annotations

import pytest

from assistant.errors import DataError


def question(**changes):
    return {
        "dataset": "Chest CT Scan",
        "question_id": "Chest CT Scan_0001",
        "question_type": "Modality Recognition",
        "question": "What imaging is this?",
        "gt_answer": "CT",
        "image_path": "Images/Chest CT Scan/a.png",
        "option_A": "MR",
        "option_B": "CT",
        "modality_type": "CT(Computed Tomography)",
    } | changes


def test_all_files_are_one_test_and_questions_may_have_two_choices(made):
    made.pictures("Images/Chest CT Scan/a.png")
    other = question(question_id="B_1", option_C="X-ray", option_D="US", modality="ct scan")
    del other["modality_type"]
    made.json("QA_information/Open-access/A.json", [question()])
    made.json("QA_information/Open-access/B.json", [other])
    built = made.build("omnimedvqa")
    first, second = built["test"]
    assert (first.choices, second.choices) == (("MR", "CT"), ("MR", "CT", "X-ray", "US"))
    assert (first.modality, second.modality) == ("CT(Computed Tomography)", "CT")
    assert first.images == ("images/Images/Chest CT Scan/a.png",)
    assert first.truth["about"]["question_type"] == "Modality Recognition"


def test_an_answer_among_none_is_a_fault_with_its_place(made):
    made.pictures("Images/Chest CT Scan/a.png")
    made.json("A.json", [question(gt_answer="PET")])
    with pytest.raises(DataError, match=r"A\.json record 1 \(line 1\): field 'gt_answer' is \"PET\", which is none"):
        made.build("omnimedvqa")
