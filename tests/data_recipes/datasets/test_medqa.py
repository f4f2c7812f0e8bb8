"""MedQA; the fields are of a public loader's test."""

from __future__ import annotations

import pytest

from assistant.errors import DataError


def question(**changes):
    return {
        "question": "Which antibiotic is apt?",
        "answer": "Nitrofurantoin",
        "options": {"A": "Ampicillin", "B": "Nitrofurantoin"},
        "meta_info": "step2",
        "answer_idx": "B",
    } | changes


def test_with_a_letter_and_without(made):
    without = question(answer="Ampicillin")
    del without["answer_idx"]
    made.jsonl("phrases_no_exclude_train.jsonl", [question(), without])
    made.jsonl("phrases_no_exclude_test.jsonl", [question(question="Which antibiotic is not?")])
    built = made.build("medqa")
    assert [one.messages[1]["content"] for one in built["train"]] == ["Nitrofurantoin", "Ampicillin"]
    assert built["test"][0].messages[0]["content"] == ("Which antibiotic is not? Options: Ampicillin, Nitrofurantoin.")
    assert (built["test"][0].task, built["test"][0].truth) == ("chat", {"about": {"meta_info": "step2"}})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"options": ["a", "b"]}, "field 'options' is .*; it takes an object of letters with texts"),
        ({"answer_idx": "E"}, "field 'answer_idx' is \"E\"; use one of A, B"),
        ({"answer_idx": None, "answer": "Aspirin"}, "field 'answer' is \"Aspirin\", which is none of its choices"),
    ],
)
def test_faults(made, changes, message):
    made.jsonl("train.jsonl", [question(**changes)])
    with pytest.raises(DataError, match=message):
        made.build("medqa")
