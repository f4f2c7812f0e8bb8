"""What is asked first is put to each picture once, and counted by what was asked."""

import numpy as np
import pytest
from PIL import Image

from assistant.plain import plain, wants_description
from benchmarks.first import after_another, courteous, main, questions
from data_recipes.schema import Example, read_examples, write_examples
from training.evaluation.items import make_item


@pytest.fixture
def data(tmp_path):
    """Two labelled pictures with two questions each."""
    for number in range(2):
        pixels = np.random.default_rng(number).integers(0, 255, (32, 32), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    examples = [
        Example(
            id=f"r{number}#{place}",
            images=(f"{number}.png",),
            messages=[{"role": "user", "content": "What?"}, {"role": "assistant", "content": "A mass"}],
            task="vqa",
            answer_type="open",
            truth={"modality": "MRI", "region": "brain", "brain finding": finding},
            source="Own data",
            licence="CC0-1.0",
        )
        for number, finding in enumerate(("glioma", "notumor"))
        for place in range(2)
    ]
    write_examples(tmp_path / "dev.jsonl", examples)
    return tmp_path / "dev.jsonl"


def test_each_picture_is_asked_once(data):
    made = questions(list(read_examples(data)))
    assert len({one.id for one in made}) == len(made)
    assert {one.images for one in made} == {("0.png",), ("1.png",)}
    assert questions(list(read_examples(data))) == made


def test_the_table_counts_every_question(data, tiny_folder, capsys):
    assert main(["--model", str(tiny_folder), "--data", str(data), "--second"]) == 0
    rows = [line.split("|")[1:3] for line in capsys.readouterr().out.splitlines()[2:]]
    assert {name.strip() for name, _ in rows} >= {"description", "normality", "place, size, age: cannot be told"}
    counts = [int(count) for _, count in rows]
    assert sum(counts[:-1]) == counts[-1] == len(questions(list(read_examples(data))))


def test_what_is_asked_with_courtesy_is_the_same_in_other_words(data, tiny_folder, capsys):
    items = [make_item(one, data.parent) for one in questions(list(read_examples(data)))]
    for before, after in zip(items, courteous(items), strict=True):
        same = plain(after.question) == before.question
        assert same or (wants_description(before.question) and wants_description(after.question))
    assert {one.question for one in courteous(items)} != {one.question for one in items}
    assert main(["--model", str(tiny_folder), "--data", str(data), "--courteous"]) == 0
    assert "| all |" in capsys.readouterr().out


def test_a_second_question_has_another_one_and_its_answer_before_it(data):
    items = [make_item(one, data.parent) for one in questions(list(read_examples(data)))]
    for before, after in zip(items, after_another(items), strict=True):
        asked, told = after.history
        (first,) = {one.question for one in items if (one.question, one.truth) == (asked.text, told.text)}
        assert first != before.question
        assert (after.question, after.truth) == (before.question, before.truth)
