"""PMC-VQA in both versions."""

from __future__ import annotations

import pytest

from assistant.errors import DataError

CHOICES = {"Choice A": " A: Cyst ", "Choice B": " B: Abscess", "Choice C": "C:Tumour", "Choice D": " D: None"}


def row(figure, **changes):
    return {"Figure_path": figure, "Caption": "A, see text.", "Question": "What is it?", **CHOICES} | changes


def test_version_2_has_the_letter_as_answer_and_groups_by_article(made):
    made.pictures("figures/PMC1_Fig1.jpg", "figures/PMC1_Fig2.jpg", "figures/PMC2_Fig1.jpg")
    made.csv("train_2.csv", [row("PMC1_Fig1.jpg", Answer="B"), row("PMC2_Fig1.jpg", Answer="A")])
    made.csv("test_2.csv", [row("PMC1_Fig2.jpg", Answer="C")])
    built = made.build("pmc-vqa")
    test, train = built["test"][0], built["train"]
    assert [one.patient for one in train] == ["PMC2"]
    assert test.choices == ("Cyst", "Abscess", "Tumour", "None")
    assert test.messages[1]["content"] == "Tumour"
    assert test.messages[0]["content"] == "What is it? Options: Cyst, Abscess, Tumour, None."
    assert (test.answer_type, test.truth) == ("choice", {"about": {"caption": "A, see text."}})


def test_version_1_has_text_and_label_and_a_clean_part_that_is_not_read_twice(made):
    made.pictures("images/PMC1_Fig1.jpg")
    made.csv("test.csv", [row("PMC1_Fig1.jpg", Answer="Abscess", Answer_label="B")])
    made.csv("test_clean.csv", [row("PMC1_Fig1.jpg", Answer="Abscess", Answer_label="B")])
    assert [one.messages[1]["content"] for one in made.build("pmc-vqa")["test"]] == ["Abscess"]


def test_an_answer_that_is_no_choice_and_a_missing_column_are_faults(made):
    made.pictures("images/PMC1_Fig1.jpg")
    made.csv("train.csv", [row("PMC1_Fig1.jpg", Answer="Fistula")])
    with pytest.raises(DataError, match=r"train\.csv line 2: field 'Answer' is \"Fistula\", which is none of its cho"):
        made.build("pmc-vqa")
    made.csv("train.csv", [{"Figure_path": "x", "Question": "?"}])
    with pytest.raises(DataError, match="the header lacks Answer, Choice A"):
        made.build("pmc-vqa")
