"""VQA-RAD in its three layouts; the first is of a true sample."""

from __future__ import annotations


def question(number, picture, **changes):
    return {
        "qid": number,
        "image_name": picture,
        "image_organ": "CHEST",
        "answer": "Yes",
        "answer_type": "CLOSED",
        "question_type": "PRES",
        "question": "Is there a pneumothorax?",
        "phrase_type": "freeform",
    } | changes


def test_train_and_test_files(made):
    made.pictures("images/a.jpg", "images/b.jpg")
    made.json("trainset.json", [question(1, "a.jpg", answer=3, answer_type="OPEN ", image_organ="HEAD")])
    made.json("testset.json", [question(2, "b.jpg")])
    built = made.build("vqa-rad")
    train, test = built["train"][0], built["test"][0]
    assert train.messages == [
        {"role": "user", "content": "Is there a pneumothorax?"},
        {"role": "assistant", "content": "3"},
    ]
    assert (train.answer_type, train.anatomy, train.licence) == ("open", "head", "CC0-1.0")
    assert (test.answer_type, test.anatomy, test.images) == ("closed", "chest", ("images/b.jpg",))
    assert test.truth == {"about": {"question_type": "PRES", "phrase_type": "freeform"}}


def test_the_public_file_tells_its_test_by_the_phrase_type(made):
    made.pictures("images/a.jpg", "images/b.jpg")
    records = [question(1, "a.jpg"), question(2, "b.jpg", phrase_type="test_para")]
    made.json("VQA_RAD Dataset Public.json", records)
    assert {name: [one.images for one in found] for name, found in made.build("vqa-rad").items()} == {
        "train": [("images/a.jpg",)],
        "test": [("images/b.jpg",)],
    }


def test_parquet_with_pictures_inside(made):
    cells = [{"image": {"bytes": made.png(n), "path": None}, "question": "What?", "answer": "no"} for n in (1, 1, 2)]
    made.parquet("data/train-00000-of-00001-x.parquet", cells[:1])
    made.parquet("data/test-00000-of-00001-x.parquet", cells[1:])
    built = made.build("vqa-rad", splits="own")
    assert built["train"][0].images == built["test"][0].images != built["test"][1].images
    assert built["test"][0].answer_type == "closed"
    made.out = made.out.with_name("clean")
    assert "train" not in made.build("vqa-rad")
