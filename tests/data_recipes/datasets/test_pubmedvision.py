"""PubMedVision."""

from __future__ import annotations

import pytest

from assistant.errors import DataError


def record(key, *pictures, **changes):
    return {
        "id": key,
        "image": list(pictures),
        "conversations": [{"from": "human", "value": "<image>\nDescribe."}, {"from": "gpt", "value": "A scan."}],
        "modality": "Computed Tomography",
        "body_part": "Chest",
    } | changes


def test_both_files_and_several_pictures(made):
    made.pictures("images/pmc_1_0.jpg", "images/pmc_1_1.jpg")
    made.json("PubMedVision_Alignment_VQA.json", [record("a", "images/pmc_1_0.jpg")])
    made.json("PubMedVision_InstructionTuning_VQA.json", [record("a", "images/pmc_1_0.jpg", "images/pmc_1_1.jpg")])
    (found,) = made.build("pubmedvision").values()
    first, second = found
    assert (first.task, second.task) == ("caption", "chat")
    assert first.images == ("images/pmc_1_0.jpg",)
    assert len(second.images) == 2
    assert first.patient == second.patient == "pmc_1"
    assert (first.modality, first.anatomy) == ("CT", "chest")
    assert first.messages[0]["content"] == "Describe."


def test_turns_out_of_order_are_a_fault(made):
    made.pictures("images/pmc_1_0.jpg")
    turns = [{"from": "gpt", "value": "A scan."}, {"from": "human", "value": "What?"}, {"from": "gpt", "value": "CT."}]
    made.json("PubMedVision_Alignment_VQA.json", [record("a", "images/pmc_1_0.jpg", conversations=turns)])
    with pytest.raises(DataError, match=r"field 'messages\[0\]\.role' is \"assistant\"; here stands the user"):
        made.build("pubmedvision")
