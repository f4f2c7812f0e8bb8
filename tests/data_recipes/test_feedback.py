"""Feedback becomes pairs and examples."""

from __future__ import annotations

import datetime
import io

import pytest
from PIL import Image

from assistant.errors import DataError
from assistant.feedback.address import address_of
from assistant.feedback.records import Feedback, KeptPicture
from assistant.feedback.store import FeedbackStore
from assistant.imaging.load import load_picture
from data_recipes.build import build_data
from data_recipes.feedback import findings_changed, groups
from data_recipes.schema import read_examples, read_preferences

DAY = datetime.date(2026, 11, 1)


def png(shade: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (24, 20), (shade, shade, (7 * shade) % 255)).save(buffer, "PNG")
    return buffer.getvalue()


def picture(shade: int, *, kept: bool = True, role: str = "current") -> KeptPicture:
    return KeptPicture(load_picture(png(shade)).content_id, role, png(shade) if kept else None)


def word(name: str, shade: int | None = None, **changes: object) -> Feedback:
    values = {
        "id": name, "day": DAY, "kind": "answer", "verdict": "down", "question": "What is seen?",
        "answer": "A nodule. [1]", "correction": "A left pleural effusion.", "model": "feed",
        "pictures": () if shade is None else (picture(shade),),
    }  # fmt: skip
    return Feedback(**{**values, **changes})


@pytest.fixture
def database(tmp_path):
    path = tmp_path / "feedback.sqlite"

    def make(*words):
        store = FeedbackStore(address_of(str(path)))
        for one in words:
            store.put(one)
        store.close()
        return path

    return make


def build(source, out, **options):
    return build_data("feedback", source, out, licence="in-house", shares="train=1", **options)


def test_a_correction_is_preferred_over_the_answer_without_its_citations(database, tmp_path):
    counts = build(database(word("a", 1)), tmp_path / "out")
    assert counts == {"train.jsonl": 1, "preferences-train.jsonl": 1}
    (pair,) = read_preferences(tmp_path / "out" / "preferences-train.jsonl")
    assert (pair.chosen, pair.rejected) == ("A left pleural effusion.", "A nodule.")
    assert pair.reason == "corrected by a person; 2 finding(s) changed"
    assert load_picture(tmp_path / "out" / pair.images[0]).size == (24, 20)
    (example,) = read_examples(tmp_path / "out" / "train.jsonl")
    assert example.messages[-1] == {"role": "assistant", "content": "A left pleural effusion."}
    assert example.licence == "in-house"


def test_pairs_that_change_the_findings_most_come_first(database, tmp_path):
    words = (
        word("worded", 1, answer="A nodule.", correction="One nodule is seen."),
        word("moved", 2, answer="Left effusion.", correction="Right effusion. Pneumothorax on the left."),
        word("missed", 3, answer="Normal.", correction="Left effusion."),
    )
    source = database(*words)
    build(source, tmp_path / "out")
    ids = [one.id for one in read_preferences(tmp_path / "out" / "preferences-train.jsonl")]
    assert ids == [f"feedback-{name}~corrected" for name in ("moved", "missed", "worded")]
    build(source, tmp_path / "less", minimum_change=1)
    assert len(list(read_preferences(tmp_path / "less" / "preferences-train.jsonl"))) == 2
    assert len(list(read_examples(tmp_path / "less" / "train.jsonl"))) == 3


def test_an_accepted_report_is_an_example_and_its_edit_a_pair(database, tmp_path):
    prior, current = picture(4, role="prior"), picture(5)
    report = word(
        "r", kind="report", question="cough", pictures=(prior, current), accepted=True,
        answer="Technique: A film.\nFindings: Clear.\nImpression: Normal.",
        correction="Technique: A film.\nFindings: Right effusion.\nImpression: Effusion.",
    )  # fmt: skip
    build(database(report), tmp_path / "out")
    (example,) = read_examples(tmp_path / "out" / "train.jsonl")
    assert (example.task, example.answer_type, len(example.images)) == ("report", "report", 2)
    assert example.messages[0]["content"].startswith("Indication: cough\n")
    assert "The first image is the prior" in example.messages[0]["content"]
    (pair,) = read_preferences(tmp_path / "out" / "preferences-train.jsonl")
    assert pair.chosen == report.correction


@pytest.mark.parametrize(
    ("changes", "examples", "pairs"),
    [
        ({"verdict": "up", "correction": ""}, 1, 0),
        ({"verdict": "up", "correction": "", "abstained": True}, 0, 0),
        ({"verdict": "down", "correction": ""}, 0, 0),
        ({"abstained": True}, 1, 0),
        ({"correction": " A nodule. "}, 1, 0),
    ],
)
def test_only_what_is_known_to_be_right_teaches(database, tmp_path, changes, examples, pairs):
    build(database(word("sure", 1), word("b", 2, **changes)), tmp_path / "out")
    assert len(list(read_examples(tmp_path / "out" / "train.jsonl"))) == 1 + examples
    assert len(list(read_preferences(tmp_path / "out" / "preferences-train.jsonl"))) == 1 + pairs


def test_one_patients_study_and_picture_stay_together():
    words = [
        word("a", 1, patient_key="p"),
        word("b", 2, patient_key="p", study_key="s"),
        word("c", 2),
        word("d", 3, study_key="s"),
        word("e", 4),
        word("f"),
        word("g", question="what  is SEEN?"),
    ]
    found = groups(words)
    assert len({found[name] for name in "abcd"}) == 1
    assert found["f"] == found["g"]
    assert len(set(found.values())) == 3


def test_no_picture_stands_in_two_splits_of_examples_or_pairs(database, tmp_path):
    words = [word(f"{shade}-{n}", shade, correction=f"Cyst {shade} {n}.") for shade in range(1, 30) for n in range(2)]
    build_data("feedback", database(*words), tmp_path / "out", licence="x", shares="train=0.5,dev=0.3,test=0.2")
    seen = {
        name: {image for one in read_examples(tmp_path / "out" / f"{name}.jsonl") for image in one.images}
        for name in ("train", "dev", "test")
    }
    assert all(seen.values())
    assert sum(map(len, seen.values())) == len(set.union(*seen.values())) == 29
    for name, images in seen.items():
        pairs = read_preferences(tmp_path / "out" / f"preferences-{name}.jsonl")
        assert {image for one in pairs for image in one.images} == images


def test_pictures_that_were_not_kept_are_found_by_their_hash(database, tmp_path):
    folder = tmp_path / "archive" / "2026"
    folder.mkdir(parents=True)
    (folder / "other.png").write_bytes(png(9))
    (folder / "mine.png").write_bytes(png(7))
    (folder / "notes.png").write_text("no picture")
    source = database(word("a", pictures=(picture(7, kept=False),)))
    with pytest.raises(DataError, match=r"Of 1 record\(s\) .* none is left: their pictures were not kept"):
        build(source, tmp_path / "none")
    build(source, tmp_path / "out", pictures=tmp_path / "archive")
    assert [path.name for path in (tmp_path / "out" / "images").iterdir()] == [f"{picture(7).content_id}.png"]


def test_without_anything_to_learn_from_it_says_so(database, tmp_path):
    with pytest.raises(DataError, match="no correction, no thumb up and no accepted report"):
        build(database(word("a", 1, correction="")), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_no_database_is_refused(tmp_path):
    source = tmp_path / "words.txt"
    source.write_text("thumbs")
    with pytest.raises(DataError, match="is no feedback database"):
        build(source, tmp_path / "out")


def test_a_licence_is_asked_for(database, tmp_path):
    with pytest.raises(DataError, match="--licence"):
        build_data("feedback", database(word("a", 1)), tmp_path / "out")


@pytest.mark.parametrize(
    ("answer", "correction", "count"),
    [
        ("Left effusion.", "Right effusion.", 2),
        ("Effusion. [1]", "", 0),
        ("No effusion.", "Effusion on both sides.", 2),
        ("Normal.", "Nothing abnormal.", 0),
    ],
)
def test_changed_findings_are_counted_with_their_sides(answer, correction, count):
    assert findings_changed(word("a", answer=answer, correction=correction)) == count
