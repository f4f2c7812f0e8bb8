"""VQA-Med 2021; the answers' file is of a true sample."""

from __future__ import annotations

import pytest

from assistant.errors import DataError


def test_answers_in_coco_form_and_lines(made):
    made.pictures("images/synpic1.jpg", "images/synpic2.jpg", "images/synpic3.jpg")
    annotation = {
        "question_type": "abnormality",
        "question": "what abnormality is seen?",
        "answers": [{"answer": "avascular necrosis", "answer_id": 1}, {"answer": "necrosis", "answer_id": 2}],
        "image_id": "synpic1",
        "question_id": "synpic1",
    }
    made.json(
        "Task1-VQAnswering2021-Test-ReferenceAnswers_mscoco_format_vqa.json",
        {"info": "", "data_subtype": "test", "annotations": [annotation]},
    )
    made.file("VQAnswering_2020_Train_QA_pairs.txt", "synpic2|what is wrong?|mucocele\n")
    made.file("new/VQA-Med-2021-Val-QA.txt", "synpic3|what is wrong?|lipoma\n")
    made.file("Task2-VQGeneration2021-Test.txt", "synpic9|Is it?\n")
    built = made.build("vqa-med-2021")
    assert {name: len(found) for name, found in built.items()} == {"train": 1, "dev": 1, "test": 1}
    assert built["test"][0].truth["answers"] == ["avascular necrosis", "necrosis"]
    assert built["test"][0].images == ("images/synpic1.jpg",)


def test_a_folder_without_them_is_refused(made):
    with pytest.raises(DataError, match="holds nothing that vqa-med-2021 can read"):
        made.build("vqa-med-2021")
