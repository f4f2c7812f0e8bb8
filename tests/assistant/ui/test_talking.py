from pathlib import Path

import gradio as gr
import pytest
from pydicom.data import get_testdata_file

from assistant.conversation import Answer
from assistant.errors import ModelError
from assistant.ui.examples import Example
from assistant.ui.region import Region
from assistant.ui.service import AssistantService
from assistant.ui.session import Session
from assistant.ui.talking import BUSY, DEFAULT_QUESTION, WAITING, Conversation, _growing

EMPTY = {"text": "", "files": []}
SCAN = Answer("A scan.", 0.9, False, (), (), "tiny", "feed", 0.1)


@pytest.fixture
def tab(service):
    return Conversation(service)


def test_a_question_with_an_image_is_shown_and_answered_in_pieces(tab, upload):
    box, shown, session, _ = tab.accept({"text": "What is this?", "files": [upload("a.jpg")]}, Session())
    assert box == EMPTY
    (image,), (text,) = (message["content"] for message in shown[:2])
    assert text == "What is this?"
    assert Path(image["path"]).suffix == ".png"
    assert shown[2] == {"role": "assistant", "content": WAITING}
    states = list(tab.answer(session))
    shown, session, panel = states[-1]
    assert len(states) >= 2
    assert "Confidence" in shown[-1]["content"]
    assert "ma-bar" in panel
    assert len(session.turns) == 2
    assert session.question is None


@pytest.mark.parametrize(
    "act",
    [
        lambda tab, state: tab.accept({"text": "And?", "files": []}, state),
        lambda tab, state: tab.accept_example(0, state),
        lambda tab, state: tab.again(1, state),
        lambda tab, state: tab.undo(1, state),
    ],
)
def test_nothing_is_asked_while_an_answer_is_being_written(tab, make_picture, act):
    with pytest.raises(gr.Error, match="still being written") as caught:
        act(tab, Session().asked("What?", [make_picture(1)], []))
    assert caught.value.message == BUSY


def test_pieces_grow_into_the_text_and_the_reviewed_answer_takes_their_place():
    done = Answer("A CT.", 0.9, False, (), (), "tiny", "feed", 0.1)
    assert list(_growing(iter(["A ", "CT scan.", done]))) == [("A ", None), ("A CT scan.", None), ("A CT.", done)]


def test_a_dicom_file_is_shown_as_a_picture(tab, upload):
    path = upload("ct.dcm", Path(get_testdata_file("CT_small.dcm")).read_bytes())
    _, shown, session, _ = tab.accept({"text": "", "files": [path]}, Session())
    assert shown[1]["content"] == [DEFAULT_QUESTION]
    assert session.pictures[0].modality == "CT"


def test_a_broken_file_is_told_in_the_conversation_and_changes_nothing_else(tab, upload, make_picture):
    before = Session().asked("What?", [make_picture(1)], []).answered(SCAN)
    path = upload("broken.png", b"no picture")
    _, shown, session, panel = tab.accept({"text": "And?", "files": [path]}, before)
    assert shown[0]["content"] == ["broken.png, And?"]
    assert shown[1]["content"].startswith("**This cannot be used.** Image 1: ")
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


def told(tab, session):
    return list(tab.answer(session))[-1]


def test_a_region_goes_to_the_model_beside_the_whole_picture(tab, upload):
    _, session, _ = told(tab, tab.accept({"text": "What?", "files": [upload("a.png")]}, Session())[2])
    region = Region((0.2, 0.2), (0.6, 0.6))
    _, shown, session, _ = tab.accept("And here?", session, None, None, region)
    assert [picture.size for picture in session.put().pictures] == [(30, 40), (16, 21)]
    assert [len(message["content"]) for message in shown[-3:-1]] == [1, 1]
    _, session, _ = told(tab, session)
    assert len(session.pictures) == 1
    _, _, session, _ = tab.accept({"text": "New?", "files": [upload("b.png")]}, session, None, None, region)
    assert len(session.put().pictures) == 1


def test_asking_again_takes_back_what_came_after(tab, upload):
    _, first, _ = told(tab, tab.accept({"text": "What?", "files": [upload("a.png")]}, Session())[2])
    _, second, _ = told(tab, tab.accept("Where?", first)[2])
    _, shown, again, _ = tab.again(0, second)
    assert [message["role"] for message in shown] == ["user", "user", "assistant"]
    assert (again.question, again.pictures, again.turns) == ("What?", first.pictures, ())
    assert told(tab, again)[1].answer.text == first.answer.text


def test_an_earlier_question_is_edited_and_its_images_stay(tab, upload):
    files = [upload("a.png"), upload("b.png")]
    _, first, _ = told(tab, tab.accept({"text": "What?", "files": files}, Session())[2])
    _, second, _ = told(tab, tab.accept("Where?", first)[2])
    _, shown, edited, _ = tab.again(1, second, " Which **kind** of <b>image</b>? ")
    assert [message["role"] for message in shown] == ["user", "user", "assistant"]
    assert shown[0] == second.shown[0]
    assert shown[1]["content"] == ["Which **kind** of &lt;b>image&lt;/b>?"]
    assert (edited.question, edited.turns) == ("Which **kind** of <b>image</b>?", ())
    assert edited.put().pictures == first.pictures
    shown, after, _ = told(tab, edited)
    assert after.turns[0].text == "Which **kind** of <b>image</b>?"
    _, shown, follow, _ = tab.accept("And where?", after)
    assert follow.put().history == after.turns
    assert len(shown) == 5


def test_a_later_question_is_edited_and_what_was_said_before_stays(tab, upload):
    _, first, _ = told(tab, tab.accept({"text": "What?", "files": [upload("a.png")]}, Session())[2])
    _, second, _ = told(tab, tab.accept("Where?", first)[2])
    _, shown, edited, _ = tab.again(3, second, "How large?")
    assert (edited.question, edited.turns, edited.pictures) == ("How large?", first.turns, first.pictures)
    assert [message["role"] for message in shown] == ["user", "user", "assistant", "user", "assistant"]


def test_a_question_cannot_be_edited_to_nothing(tab, upload):
    _, first, _ = told(tab, tab.accept({"text": "What?", "files": [upload("a.png")]}, Session())[2])
    _, shown, after, panel = tab.again(1, first, "  ")
    assert after is first
    assert shown == list(first.shown)
    assert "A question cannot be empty" in panel


def test_what_could_not_be_read_cannot_be_asked_again(tab, upload):
    _, _, session, _ = tab.accept({"text": "", "files": [upload("broken.png", b"no picture")]}, Session())
    _, shown, after, panel = tab.again(1, session)
    assert after is session
    assert len(shown) == 2
    assert "add the images once more" in panel


def test_undo_brings_question_and_images_back_to_be_edited(tab, upload):
    _, first, _ = told(tab, tab.accept({"text": "What?", "files": [upload("a.png")]}, Session())[2])
    box, shown, session, _ = tab.undo(0, first)
    assert (box["text"], shown, session) == ("What?", [], Session())
    _, shown, session, _ = tab.accept("Which kind?", session)
    assert session.put().pictures == first.pictures
    assert [len(message["content"]) for message in shown[:2]] == [1, 1]


def test_undo_shows_what_the_answer_before_stands_on(tab):
    first = tab.accept("What?", Session())[2].answered(SCAN)
    _, shown, _, panel = tab.undo(3, tab.accept("Where?", first)[2].answered(SCAN))
    assert len(shown) == 2
    assert "90 %" in panel


def test_a_stopped_answer_stays_as_far_as_it_was_written(tab):
    _, _, session, _ = tab.accept("What is it?", Session())
    shown, after, _ = tab.stop(session.growing({"role": "assistant", "content": "A scan of"}))
    assert shown[-1]["content"] == "A scan of\n\n*Stopped.*"
    assert (after.question, after.turns) == (None, ())
    assert tab.stop(after)[1] is after
    assert tab.stop(session)[0][-1]["content"] == "*Stopped.*"
    assert tab.again(1, after)[2].question == "What is it?"
