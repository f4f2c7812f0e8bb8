"""What all public sets share: faults, splits, limits, missing pictures, the note beside the files."""

from __future__ import annotations

import json

import pytest

from assistant.errors import DataError
from data_recipes.build import main
from data_recipes.datasets import convert
from data_recipes.schema import read_examples


def question(number, **changes):
    return {
        "qid": number,
        "image_name": f"{number}.jpg",
        "question": f"Question {number}?",
        "answer": "yes",
        "answer_type": "CLOSED",
    } | changes


def fill(made, train, test=()):
    """Write VQA-RAD's layout with the pictures of all records."""
    made.json("trainset.json", list(train))
    if test:
        made.json("testset.json", list(test))
    for record in [*train, *test]:
        name = record.get("image_name")
        if isinstance(name, str) and name.endswith(".jpg") and "/" not in name:
            made.pictures(f"images/{name}")


def test_all_faults_are_told_at_once_and_nothing_is_written(made, tmp_path):
    fill(made, [question(1, answer=" "), question(2, image_name="../2.jpg"), question(3)], [question(4, question=None)])
    with pytest.raises(DataError) as caught:
        made.build("vqa-rad")
    told = str(caught.value)
    assert told.startswith(
        "vqa-rad: 3 faults, nothing was written.\n  testset.json record 1 (line 1): field 'question'"
    )
    assert "trainset.json record 1 (line 1): field 'answer' is \" \"; give a text" in told
    assert "trainset.json record 2 (line 1): field 'image_name': image path is \"../2.jpg\", which leaves" in told
    assert "\nLayout expected: trainset.json and testset.json" in told
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]


def test_reading_stops_where_everything_is_wrong(made, monkeypatch):
    monkeypatch.setattr(convert, "FAULT_LIMIT", 30)
    fill(made, [question(number, answer="") for number in range(100)])
    with pytest.raises(DataError, match=r"at least 30 faults(?s:.)*… and 10 more"):
        made.build("vqa-rad")


def test_ids_that_stand_twice_are_told(made):
    fill(made, [question(1), question(1), question(2)])
    with pytest.raises(DataError, match='id "vqa-rad/trainset-1" stands 2 times'):
        made.build("vqa-rad")


LEAKING = ([question(1), question(2), question(3, image_name="9.jpg")], [question(9)])


def test_training_records_that_share_a_picture_with_the_test_are_left_out(made, caplog):
    fill(made, *LEAKING)
    with caplog.at_level("INFO"):
        built = made.build("vqa-rad")
    assert {name: [one.id for one in found] for name, found in built.items()} == {
        "test": ["vqa-rad/testset-9"],
        "train": ["vqa-rad/trainset-1", "vqa-rad/trainset-2"],
    }
    assert "4 records read; 1 left out: shares a patient, article, picture or question with test" in caplog.text
    assert not (made.out / "images" / "3.jpg").exists()


def test_published_splits_can_be_kept_as_they_are(made):
    fill(made, *LEAKING)
    assert len(made.build("vqa-rad", splits="own")["train"]) == 3


def test_fresh_splits_follow_the_group_alone(made):
    train = [question(number, image_name=f"{number % 40}.jpg") for number in range(80)]
    fill(made, train)
    built = made.build("vqa-rad", splits="fresh", seed=1)
    assert set(built) == {"train", "dev", "test"}
    homes = [{one.images[0] for one in found} for found in built.values()]
    assert sum(map(len, homes)) == len(set.union(*homes)) == 40


def test_a_limit_takes_from_every_split(made):
    fill(made, [question(number) for number in range(10)], [question(number) for number in range(10, 20)])
    assert {name: len(found) for name, found in made.build("vqa-rad", limit=5).items()} == {"test": 3, "train": 2}


def test_missing_pictures_are_told_with_counts(made):
    fill(made, [question(1), question(2), question(3, image_name="2.jpg")])
    (made.root / "images/2.jpg").unlink()
    with pytest.raises(DataError, match=r"1 picture missing \(needed 2 times\); looked in (?s:.)*2\.jpg \(2 records\)"):
        made.build("vqa-rad")
    built = made.build("vqa-rad", skip_missing=True)
    assert [one.id for one in built["train"]] == ["vqa-rad/trainset-1"]
    assert json.loads((made.out / "missing.jsonl").read_text()) == {"picture": "2.jpg", "records": 2}


def test_a_note_tells_how_the_files_came_about(made):
    fill(made, *LEAKING)
    made.build("vqa-rad", limit=20)
    note = json.loads((made.out / "build.json").read_text())
    assert note["licence"] == "CC0-1.0"
    assert note["home"] == "https://osf.io/89kps/"
    assert note["examples"] == {"test.jsonl": 1, "train.jsonl": 2}
    assert note["left_out"] == {"shares a patient, article, picture or question with test": 1}
    assert (note["splits"], note["limit"], note["records_read"]) == ("clean", 20, 4)


def test_the_same_source_builds_the_same_files(made):
    fill(made, *LEAKING)
    made.build("vqa-rad", splits="fresh")
    first = {path.name: path.read_bytes() for path in made.out.glob("*.json*")}
    made.out = made.out.with_name("again")
    made.build("vqa-rad", splits="fresh")
    assert {path.name: path.read_bytes() for path in made.out.glob("*.json*")} == first


def test_a_set_without_a_usable_record_is_refused(made):
    made.json("trainset.json", [])
    with pytest.raises(DataError, match=r"vqa-rad: no record of 0 gave an example \(none read\)"):
        made.build("vqa-rad")


def test_unknown_ways_to_split_are_refused(made, capsys):
    fill(made, [question(1)])
    with pytest.raises(DataError, match="--splits is 'odd'; use one of clean, own, fresh"):
        made.build("vqa-rad", splits="odd")
    with pytest.raises(SystemExit):
        main(["vqa-rad", "--source", str(made.root), "--out", str(made.out), "--splits", "odd"])
    assert "invalid choice: 'odd'" in capsys.readouterr().err


def test_a_question_without_a_picture_stays_on_one_side(made, caplog):
    asked = {"options": {"A": "yes", "B": "no"}, "answer_idx": "A"}
    made.jsonl("train.jsonl", [asked | {"question": "Is it  RARE?"}, asked | {"question": "Is it mild?"}])
    made.jsonl("test.jsonl", [asked | {"question": "is it rare"}])
    with caplog.at_level("INFO"):
        assert {name: len(found) for name, found in made.build("medqa").items()} == {"train": 1, "test": 1}
    assert "1 left out: shares a patient, article, picture or question with test" in caplog.text


def test_doubles_of_a_question_go_to_the_same_split_where_there_are_none(made):
    turns = [{"from": "human", "value": "Same?"}, {"from": "gpt", "value": "A."}]
    made.json("u.json", [{"id": f"MedQA,{number}", "conversations": turns} for number in range(30)])
    assert list(map(len, made.build("ultramedical").values())) == [30]


def test_a_file_can_be_the_source(made):
    fill(made, [question(1)], [question(2)])
    built = made.build("vqa-rad", made.root / "testset.json")
    assert list(built) == ["test"]
    assert next(read_examples(made.out / "test.jsonl")).id == "vqa-rad/testset-2"
