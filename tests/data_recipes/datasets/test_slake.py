"""SLAKE: both languages, masks and boxes; the question fields are of a true sample."""

from __future__ import annotations

import zipfile

import pytest

from assistant.errors import DataError


def question(number, **changes):
    return {
        "img_id": 1,
        "img_name": "xmlab1/source.jpg",
        "question": "What modality is used?",
        "answer": "MRI",
        "q_lang": "en",
        "location": "Abdomen",
        "modality": "MRI",
        "answer_type": "OPEN",
        "base_type": "vqa",
        "content_type": "Modality",
        "triple": ["vhead", "_", "_"],
        "qid": number,
    } | changes


def fill(made):
    made.pictures("imgs/xmlab1/source.jpg", "imgs/xmlab1/mask.png")
    made.json("imgs/xmlab1/detection.json", [{"Liver": [10, 20, 30.5, 40]}, {"Spleen": [1, 2, 3, 4]}])
    zh = question(
        2, q_lang="zh", question="图中有肝脏吗？", answer="有", answer_type="CLOSED", triple=["liver", "in", "a"]
    )
    made.json("train.json", [question(1), zh])


def test_questions_go_to_the_files_of_their_language_with_regions(made):
    fill(made)
    built = made.build("slake")
    assert set(built) == {"train", "train-zh"}
    english, chinese = built["train"][0], built["train-zh"][0]
    assert english.truth == {
        "about": {"content_type": "Modality", "base_type": "vqa", "language": "en"},
        "regions": [{"label": "Liver", "box": [10, 20, 30.5, 40]}, {"label": "Spleen", "box": [1, 2, 3, 4]}],
        "masks": ["images/xmlab1/mask.png"],
    }
    assert (made.out / english.truth["masks"][0]).is_file()
    assert (english.modality, english.anatomy, english.answer_type) == ("MRI", "abdomen", "open")
    assert chinese.messages[0]["content"] == "图中有肝脏吗？"
    assert chinese.truth["triple"] == ["liver", "in", "a"]


def test_pictures_masks_and_boxes_may_lie_in_a_zip_file(made):
    fill(made)
    with zipfile.ZipFile(made.root / "imgs.zip", "w") as archive:
        for path in sorted((made.root / "imgs/xmlab1").iterdir()):
            archive.write(path, f"imgs/xmlab1/{path.name}")
            path.unlink()
    example = made.build("slake")["train"][0]
    assert len(example.truth["regions"]) == 2
    assert (made.out / "images/xmlab1/mask.png").is_file()


def test_neither_mask_nor_boxes_are_needed(made):
    made.pictures("imgs/xmlab1/source.jpg")
    made.json("validate.json", [question(1)])
    truth = made.build("slake")["dev"][0].truth
    assert "masks" not in truth
    assert "regions" not in truth


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ([{"Liver": [1, 2, 3]}], r'detection\.json: box of "Liver" is \[1, 2, 3\]; it takes x, y, width and height'),
        (["Liver"], r'detection\.json holds "Liver"; it takes objects'),
    ],
)
def test_other_boxes_are_faults(made, boxes, message):
    fill(made)
    made.json("imgs/xmlab1/detection.json", boxes)
    with pytest.raises(DataError, match=message):
        made.build("slake")


def test_an_unknown_language_is_a_fault(made):
    fill(made)
    made.json("test.json", [question(3, q_lang="fr")])
    with pytest.raises(DataError, match="field 'q_lang' is \"fr\"; use one of en, zh"):
        made.build("slake")
