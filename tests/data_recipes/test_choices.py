"""Open questions become multiple choice whose wrong choices are plausible and false."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from assistant.errors import DataError
from data_recipes.build import build_data
from data_recipes.choices import answer_pool, with_choices
from data_recipes.schema import Example, read_examples, write_examples


def example(key: str, question: str, answer: str, **changes) -> Example:
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    values = {"task": "vqa", "answer_type": "open", "source": "own", "licence": "CC0-1.0", "modality": "CT"}
    return Example(**({"id": key, "images": (), "messages": messages} | values | changes))


def made(examples, one, count=4, seed=0):
    return with_choices(one, answer_pool(examples), count, random.Random(seed))


def test_wrong_choices_are_answers_to_the_same_question_elsewhere():
    examples = [example(str(n), "Where is it?", place) for n, place in enumerate(("left lobe", "right lobe", "Hilum."))]
    choice = made([*examples, example("x", "What is it?", "A cyst")], examples[0])
    assert choice is not None
    assert sorted(choice.choices) == ["Hilum", "Left lobe", "Right lobe"]
    assert choice.messages[1]["content"] == "Left lobe"
    assert choice.messages[0]["content"] == f"Where is it? Options: {', '.join(choice.choices)}."
    assert (choice.id, choice.answer_type) == ("0~choice", "choice")


def test_no_choice_is_another_wording_or_part_of_the_answer():
    answers = ("MRI", "Magnetic resonance imaging", "mri.", "MRI of the brain", "Computed tomography")
    examples = [example(str(n), "What is the modality?", answer) for n, answer in enumerate(answers)]
    choice = made(examples, examples[0])
    assert choice is not None
    assert sorted(choice.choices) == ["Computed tomography", "MRI"]


def test_the_right_choice_takes_every_place_equally_often():
    examples = [example(str(n), "Which?", name) for n, name in enumerate(("A a", "B b", "C c", "D d"))]
    places = Counter(
        choice.choices.index("A a") for seed in range(400) if (choice := made(examples, examples[0], seed=seed))
    )
    assert sorted(places) == [0, 1, 2, 3]
    assert min(places.values()) > 70


def test_what_is_not_an_open_question_or_has_no_other_answer_is_left_out():
    lone = example("a", "Where?", "Here")
    assert made([lone], lone) is None
    assert made([lone], example("b", "Where?", "There", task="caption")) is None
    assert made([lone], example("c", "Where?", " ".join(["far"] * 20))) is None


def test_phantom_questions_become_choices_with_their_pictures(tmp_path):
    build_data("phantom", None, tmp_path / "in", limit=30)
    counts = build_data("choices", tmp_path / "in" / "train.jsonl", tmp_path / "out", choices=3)
    examples = list(read_examples(tmp_path / "out" / "train.jsonl"))
    assert counts == {"train.jsonl": len(examples)}
    assert len(examples) > 50
    for one in examples:
        assert one.messages[1]["content"] in one.choices
        assert 2 <= len(one.choices) <= 3
        assert one.image_paths(tmp_path / "out")[0].is_file()


def test_files_without_open_questions_and_too_few_choices_are_refused(tmp_path):
    write_examples(tmp_path / "a.jsonl", [example("a", "Where?", "Here")])
    with pytest.raises(DataError, match="has no open question with an answer of up to 8 words that another picture"):
        build_data("choices", tmp_path / "a.jsonl", tmp_path / "out")
    with pytest.raises(DataError, match="--choices is 1; use 2 or more"):
        build_data("choices", tmp_path / "a.jsonl", tmp_path / "out", choices=1)


def test_a_picture_that_is_missing_is_told(tmp_path):
    two = [example(str(n), "Where?", f"Place {n}", images=("images/a.png",)) for n in range(2)]
    write_examples(tmp_path / "a.jsonl", two)
    with pytest.raises(DataError, match=r"field 'images': .*a\.png is missing; add it"):
        build_data("choices", tmp_path / "a.jsonl", tmp_path / "out")
