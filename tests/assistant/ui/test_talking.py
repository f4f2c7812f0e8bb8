from pathlib import Path

import pytest
from pydicom.data import get_testdata_file

from assistant.conversation import Answer
from assistant.errors import ModelError
from assistant.ui.talking import DEFAULT_QUESTION, WAITING, Conversation, _growing
from assistant.ui.examples import Example
from assistant.ui.service import AssistantService
from assistant.ui.session import Session

EMPTY = {"text": "", "files": []}


@pytest.fixture
def tab(service):
    return Conversation(service)


def test_a_question_with_an_image_is_shown_and_answered_in_pieces(tab, upload):
    box, shown, session, _ = tab.accept({"text": "What is this?", "files": [upload("a.jpg")]}, Session())
    assert box == EMPTY
    image, text = shown[0]["content"]
    assert text == "What is this?"
    assert Path(image["path"]).suffix == ".png"
    assert shown[1] == {"role": "assistant", "content": WAITING}
    states = list(tab.answer(session))
    shown, session, panel = states[-1]
    assert len(states) >= 2
    assert "Confidence" in shown[-1]["content"]
    assert "ma-bar" in panel
    assert len(session.turns) == 2
    assert session.question is None


def test_pieces_grow_into_the_text_and_the_reviewed_answer_takes_their_place():
    done = Answer("A CT.", 0.9, False, (), (), "tiny", "feed", 0.1)
    assert list(_growing(iter(["A ", "CT scan.", done]))) == [("A ", None), ("A CT scan.", None), ("A CT.", done)]


def test_a_dicom_file_is_shown_as_a_picture(tab, upload):
    path = upload("ct.dcm", Path(get_testdata_file("CT_small.dcm")).read_bytes())
    _, shown, session, _ = tab.accept({"text": "", "files": [path]}, Session())
    assert shown[0]["content"][1] == DEFAULT_QUESTION
    assert session.pictures[0].modality == "CT"


def test_a_broken_file_is_told_in_the_conversation_and_changes_nothing_else(tab, upload, make_picture):
    before = Session().asked("What?", [make_picture(1)], []).answered(SCAN)
    path = upload("broken.png", b"no picture")
    _, shown, session, panel = tab.accept({"text": "And?", "files": [path]}, before)
    assert shown[0]["content"] == ["broken.png, And?"]
    assert shown[1]["content"].startswith("**This cannot be used.** broken.png")
    assert "role='alert'" in panel
    assert (session.pictures, session.turns) == (before.pictures, before.turns)
    ((after, _, _),) = tab.answer(session)
    assert after == shown


@pytest.mark.parametrize("message", [None, "", {"text": " ", "files": []}, {"text": None, "files": None}])
def test_an_empty_message_asks_for_one(tab, message):
    _, shown, session, panel = tab.accept(message, Session())
    assert shown == []
    assert session == Session()
    assert "Type a question" in panel


def test_a_plain_string_is_a_question(tab):
    assert tab.accept("What is a pneumothorax?", Session())[2].question == "What is a pneumothorax?"


def test_an_example_can_be_taken_twice(service, make_picture, tmp_path):
    path = tmp_path / "example.png"
    make_picture(3).to_pil().save(path)
    tab = Conversation(service, [Example("Is it clear?", path), Example("What is an effusion?")])
    for _ in range(2):
        _, shown, session, _ = tab.accept_example(0, Session())
        assert session.question == "Is it clear?"
        assert len(session.pictures) == 1
    assert tab.accept_example(1, Session())[2].pictures == ()
    assert path.exists()


def test_markdown_in_a_question_is_not_read_as_an_image_or_html(tab):
    _, shown, _, _ = tab.accept("![x](http://far.example/a.png) <img src=x>", Session())
    (text,) = shown[0]["content"]
    assert "![" not in text
    assert "](" not in text
    assert "<img" not in text


def test_a_model_that_did_not_load_is_told_with_its_mend():
    def refuse():
        raise ModelError("Restore the folder.")

    tab = Conversation(AssistantService(refuse))
    _, _, session, _ = tab.accept("What is an effusion?", Session())
    shown, after, panel = list(tab.answer(session))[-1]
    assert shown[-1]["content"] == "**No answer.** Restore the folder."
    assert "Restore the folder." in panel
    assert after.question is None


def test_a_fault_while_answering_is_told_by_its_kind(tab, service, monkeypatch):
    def fail(question):
        raise RuntimeError("inside")
        yield Answer

    monkeypatch.setattr(service.get().assistant, "stream", fail)
    _, _, session, _ = tab.accept("What is an effusion?", Session())
    shown, _, _ = list(tab.answer(session))[-1]
    assert "The program failed (RuntimeError)" in shown[-1]["content"]
    assert "inside" not in shown[-1]["content"]


def test_what_one_visitor_asks_another_does_not_see(tab):
    _, shown, _, _ = tab.accept("What is an effusion?", Session())
    assert len(shown) == 2
    assert tab.accept("Other question?", Session())[1][0]["content"] == ["Other question?"]
