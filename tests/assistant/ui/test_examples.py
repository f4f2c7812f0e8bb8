import json

from PIL import Image

from assistant.ui.examples import MOST, TEXT_QUESTIONS, shipped_examples


def test_a_folder_that_is_absent_leaves_the_text_questions(tmp_path):
    assert [one.question for one in shipped_examples(tmp_path / "none")] == list(TEXT_QUESTIONS)


def test_images_come_first_and_only_so_many(tmp_path):
    for number in range(9):
        Image.new("L", (8, 8)).save(tmp_path / f"{number}.png")
    examples = shipped_examples(tmp_path)
    assert len(examples) == MOST
    assert [one.image is None for one in examples] == [False] * (MOST - 2) + [True] * 2


def test_a_list_gives_the_images_their_own_questions(tmp_path):
    (tmp_path / "examples.json").write_text(json.dumps([{"file": "a.png", "question": "Is there a nodule?"}]))
    first = shipped_examples(tmp_path)[0]
    assert (first.question, first.image) == ("Is there a nodule?", tmp_path / "a.png")
