"""PubMedQA; the fields are of a true sample."""

from __future__ import annotations

import pytest

from assistant.errors import DataError


def article(**changes):
    return {
        "QUESTION": "Do mitochondria play a role?",
        "CONTEXTS": ["Cells die.", "They were watched."],
        "LABELS": ["BACKGROUND", "RESULTS"],
        "MESHES": ["Apoptosis"],
        "YEAR": "2011",
        "final_decision": "maybe",
        "LONG_ANSWER": "They may.",
    } | changes


def test_the_published_test_is_kept_and_the_rest_is_split(made):
    made.json("ori_pqal.json", {str(number): article(QUESTION=f"Does {number} play a role?") for number in range(60)})
    made.json("test_ground_truth.json", {str(number): "maybe" for number in range(20)})
    built = made.build("pubmedqa")
    assert {one.patient for one in built["test"]} == {str(number) for number in range(20)}
    assert len(built["train"]) + len(built["dev"]) == 40
    one = built["test"][0]
    assert one.messages[0]["content"] == (
        "Background: Cells die.\nResults: They were watched.\nDoes 0 play a role? Options: yes, no, maybe."
    )
    assert (one.messages[1]["content"], one.choices) == ("maybe", ("yes", "no", "maybe"))
    assert one.truth == {"about": {"long_answer": "They may.", "year": "2011"}, "meshes": ["Apoptosis"]}


def test_without_a_list_all_is_split_by_hash_and_unlabelled_ones_are_left_out(made):
    unlabelled = article()
    del unlabelled["final_decision"]
    made.json("ori_pqaa.json", {"1": article(), "2": unlabelled})
    assert sum(map(len, made.build("pubmedqa").values())) == 1


def test_another_decision_is_a_fault(made):
    made.json("ori_pqal.json", {"1": article(final_decision="perhaps")})
    with pytest.raises(DataError, match="field 'final_decision' is \"perhaps\", which is none of its choices"):
        made.build("pubmedqa")
