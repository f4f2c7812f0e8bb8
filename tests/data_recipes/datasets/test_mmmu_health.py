"""MMMU's health subjects."""

from __future__ import annotations

import pytest

from assistant.errors import DataError


def question(made, key, **changes):
    pictures = {f"image_{n}": {"bytes": made.png(n), "path": None} if n < 3 else None for n in range(1, 8)}
    return {
        "id": key,
        "question": "Compare <image 1> and <image 2>.",
        "options": "['same', 'as <image 2>']",
        "answer": "B",
        "explanation": "",
        "subfield": "Anatomy",
        **pictures,
    } | changes


def test_validation_is_the_test_and_other_subjects_and_answers_kept_back_are_left_out(made):
    made.parquet("Pharmacy/dev-00000-of-00001.parquet", [question(made, "dev_P_1")])
    made.parquet("Pharmacy/validation-00000-of-00001.parquet", [question(made, "validation_P_1")])
    made.parquet("Pharmacy/test-00000-of-00001.parquet", [question(made, "test_P_1", answer="?")])
    made.parquet("Art/dev-00000-of-00001.parquet", [question(made, "dev_A_1")])
    built = made.build("mmmu-health", splits="own")
    assert {name: [one.id for one in found] for name, found in built.items()} == {
        "dev": ["mmmu-health/dev_P_1"],
        "test": ["mmmu-health/validation_P_1"],
    }
    one = built["test"][0]
    assert len(one.images) == 2
    assert one.messages[0]["content"] == "Compare image 1 and image 2. Options: same, as image 2."
    assert one.messages[1]["content"] == "as image 2"


def test_an_open_question_has_no_choices(made):
    made.parquet("Pharmacy/dev-0.parquet", [question(made, "d", options="[]", answer="42", question_type="open")])
    one = made.build("mmmu-health")["dev"][0]
    assert (one.answer_type, one.choices, one.messages[1]["content"]) == ("open", None, "42")


@pytest.mark.parametrize("options", ["__import__('os')", "{'a': 1}", "[1, 2]"])
def test_options_that_are_no_list_of_texts_are_refused_and_never_run(made, options):
    made.parquet("Pharmacy/dev-0.parquet", [question(made, "d", options=options)])
    with pytest.raises(DataError, match="field 'options' is .*; it takes a list of texts"):
        made.build("mmmu-health")
