"""Choices, answers and dialogues as data sets write them."""

from __future__ import annotations

import pytest

from assistant.errors import DataError
from data_recipes.datasets.words import answer_type, article_of, chosen, dialogue, modality_of, qa, unlettered


def test_letters_are_taken_off_only_where_all_are_in_order():
    assert unlettered([" A: lung ", "B: heart", "(C) liver"]) == ("lung", "heart", "liver")
    assert unlettered(["A: lung", "heart"]) == ("A: lung", "heart")
    assert unlettered(["B. fragilis", "E. coli"]) == ("B. fragilis", "E. coli")


@pytest.mark.parametrize("answer", ["heart", "Heart.", "B", " b) ", "B: heart", "(B) heart"])
def test_an_answer_is_its_text_or_its_letter(answer):
    assert chosen(answer, ("lung", "heart")) == "heart"


def test_a_text_that_is_an_option_wins_over_its_letter():
    assert chosen("B", ("A", "C", "B")) == "B"
    assert chosen("B. fragilis", ("E. coli", "B. fragilis")) == "B. fragilis"


@pytest.mark.parametrize("answer", ["C", "liver", ""])
def test_an_answer_that_is_no_option_is_refused(answer):
    with pytest.raises(DataError, match=r"field 'gt' is .*, which is none of its choices \[\"lung\", \"heart\"\]"):
        chosen(answer, ("lung", "heart"), "gt")


def test_a_question_names_its_choices_once():
    assert qa("Which organ?", "lung", ("lung", "heart"))[0]["content"] == "Which organ? Options: lung, heart."
    assert qa("Lung or heart?", "lung", ("lung", "heart"))[0]["content"] == "Lung or heart?"


def test_dialogues_of_both_forms_lose_their_picture_marks_and_unanswered_end():
    turns = [
        {"from": "human", "value": "<image>\nWhat is it?"},
        {"role": "assistant", "content": "A CT."},
        {"from": "human", "value": "And?"},
    ]
    assert dialogue(turns) == [{"role": "user", "content": "What is it?"}, {"role": "assistant", "content": "A CT."}]


@pytest.mark.parametrize(
    "turn", ["text", {"from": "human"}, {"from": "narrator", "value": "x"}, {"from": 1, "value": ""}]
)
def test_a_turn_of_another_form_is_a_fault(turn):
    with pytest.raises(DataError, match=r"field 'chosen\[0\]' is .*; it takes an object with from"):
        dialogue([turn], "chosen")


def test_small_readings():
    assert answer_type("Yes.") == "closed"
    assert answer_type("left lung") == "open"
    assert article_of("ftp://x/pub/oa_package/1e/ed/PMC3970251.tar.gz") == "PMC3970251"
    assert article_of("synpic1.jpg") is None
    assert (modality_of("X-Ray"), modality_of("gross photo"), modality_of(None)) == ("X-ray", "gross photo", None)
