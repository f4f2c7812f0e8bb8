"""μ-Bench."""

from __future__ import annotations

import pytest

from assistant.errors import DataError


def record(made, number, **changes):
    options = ["light", "electron", "none of the above"]
    asked = {"id": "q", "question": "Which microscopy?", "options": options, "answer": "light"}
    return {
        "image_id": str(number),
        "image": {"bytes": made.png(number), "path": None},
        "dataset": "kather",
        "modality": "light microscopy",
        "stain": "H&E",
        "license": "CC-BY-4.0",
        "split": "test",
        "questions": {"modality": asked, "stain": None},
    } | changes


def test_each_kind_of_question_is_an_example_with_the_pictures_own_licence(made):
    made.parquet("a/test-0.parquet", [record(made, 1), record(made, 2, license=None)])
    first, second = made.build("ubench")["test"]
    assert (first.licence, second.licence) == ("CC-BY-4.0", "CC-BY-SA-4.0")
    assert first.truth == {"stain": "H&E", "about": {"dataset": "kather", "question_type": "modality"}}
    assert (first.modality, first.choices) == ("light microscopy", ("light", "electron", "none of the above"))


def test_rows_may_name_another_split(made):
    made.parquet("x.parquet", [record(made, 1), record(made, 2, split="train")])
    assert set(made.build("ubench")) == {"test", "train"}


def test_questions_of_another_form_are_faults(made):
    made.parquet("x.parquet", [record(made, 1, questions=None)])
    with pytest.raises(DataError, match="field 'questions' is null; it takes an object"):
        made.build("ubench")
