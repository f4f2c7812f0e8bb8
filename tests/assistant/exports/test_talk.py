import json
from dataclasses import replace

from assistant.conversation import NOT_FOR_CLINICAL_USE, Answer, Question
from assistant.exports.talk import talk_json, talk_markdown


def exchange(make_picture, make_evidence):
    picture = replace(make_picture(1), modality="CT", study_key="s1234", patient_key="p1234")
    passage = make_evidence("One", "A text.", source="A card", licence="CC0-1.0", references=("Author A. Work.",))
    cautions = ("Mind this.", NOT_FOR_CLINICAL_USE)
    return Question("What is\nit?", (picture,)), Answer("A CT.", 0.93, False, (passage,), cautions, "tiny", "fe", 0.1)


def test_a_page_holds_question_answer_confidence_and_evidence_with_its_source(make_picture, make_evidence):
    text = talk_markdown([exchange(make_picture, make_evidence)])
    for part in (NOT_FOR_CLINICAL_USE, "## 1. What is it?", "A CT.", "high (93 %)", "Source: A card (CC0-1.0)",
                 "Author A. Work.", "Mind this.", "Images: 1 (CT)", "Model tiny"):  # fmt: skip
        assert part in text
    assert text.count(NOT_FOR_CLINICAL_USE) == 1


def test_nothing_of_study_or_patient_leaves(make_picture, make_evidence):
    exchanges = [exchange(make_picture, make_evidence)]
    for text in (talk_markdown(exchanges), talk_json(exchanges)):
        assert "s1234" not in text
        assert "p1234" not in text


def test_the_record_is_json_with_the_notice_first(make_picture, make_evidence):
    record = json.loads(talk_json([exchange(make_picture, make_evidence)]))
    assert list(record) == ["notice", "exchanges"]
    (row,) = record["exchanges"]
    assert row["images"] == [{"modality": "CT", "frame": 0}]
    assert row["evidence"][0]["licence"] == "CC0-1.0"


def test_an_empty_conversation_is_no_file():
    assert (talk_markdown([]), talk_json([])) == ("", "")
