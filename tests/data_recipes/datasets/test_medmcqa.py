"""MedMCQA: the right option counted from 1 or from 0; the fields are of a public loader's test."""

from __future__ import annotations

import pytest

from assistant.errors import DataError


def question(key, cop):
    options = {f"op{letter}": f"{letter.upper()}1" for letter in "abcd"}
    return {"question": f"MCQ {key}?", **options, "cop": cop, "id": f"q{key}", "choice_type": "single"}


def answers(built, split="train"):
    return [one.messages[1]["content"] for one in built[split]]


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [([1, 2, 4], ["A1", "B1", "D1"]), ([0, 1, 3], ["A1", "B1", "D1"]), ([1, 2], ["A1", "B1"]), ([-1, 2], ["C1"])],
)
def test_lines_tell_by_their_numbers_from_where_they_count(made, numbers, expected):
    made.jsonl("train.json", [question(key, cop) for key, cop in enumerate(numbers)])
    assert answers(made.build("medmcqa")) == expected


def test_parquet_counts_from_0_and_its_test_has_no_answers(made):
    made.parquet("data/train-0.parquet", [question(1, 1)])
    made.parquet("data/validation-0.parquet", [question(2, 2)])
    made.parquet("data/test-0.parquet", [question(3, -1)])
    built = made.build("medmcqa")
    assert set(built) == {"train", "dev"}
    assert (answers(built), answers(built, "dev")) == (["B1"], ["C1"])


def test_a_file_of_both_kinds_and_other_numbers_are_refused(made):
    made.jsonl("train.json", [question(1, 0), question(2, 4)])
    with pytest.raises(DataError, match="field 'cop' holds both 4 and 0 or -1"):
        made.build("medmcqa")
    made.jsonl("train.json", [question(1, 7), question(2, "a")])
    with pytest.raises(DataError, match="field 'cop' is 7; it counts the options from 1 to 4(?s:.)*'cop' is \"a\""):
        made.build("medmcqa")
