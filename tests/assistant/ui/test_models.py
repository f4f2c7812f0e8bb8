"""The choice of the model on the page: which there are, how far one is loaded, and whose answer an answer is."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from assistant.choice import About, Others
from assistant.errors import ModelError
from assistant.shelf import MAIN
from assistant.ui.models import Models, named
from assistant.ui.service import AssistantService
from assistant.ui.session import Session
from assistant.ui.talking import Conversation


@pytest.fixture
def gate():
    made = threading.Event()
    made.set()
    return made


@pytest.fixture
def several(opened, gate):
    def other():
        assert gate.wait(30)
        return replace(opened, model_name="lora", index_fingerprint="ab12")

    def broken():
        raise ModelError("The <weights> do not fit. Restore the folder.")

    about = {name: About(name, "e", 24, name == "lora") for name in ("tiny", "lora", "broken")}
    made = AssistantService(lambda: opened, others=Others("tiny", {"lora": other, "broken": broken}, about, 2))
    made.get()
    return made


def test_a_single_model_offers_no_choice(service):
    assert Models(service).names() == []
    assert "tiny (" in Models(service).look(MAIN)[0]
    assert named(service, MAIN) == ""


def test_the_menu_names_models_and_adapters(several):
    assert Models(several).names() == [("tiny", MAIN), ("lora (adapter)", "lora"), ("broken", "broken")]


def test_progress_is_told_until_a_model_is_loaded(several, gate):
    gate.clear()
    models = Models(several)
    key, header, going = models.choose("lora")
    assert (key, going) == ("lora", True)
    assert "Loading lora … 0 s. You can go on; the answer waits for it." in header
    gate.set()
    several.get(model="lora")
    header, going = models.look("lora")
    assert not going
    assert "lora (" in header
    assert "with evidence. Loaded in" in header
    assert "2 models hold" in header


def test_a_model_that_does_not_load_says_why(several):
    models = Models(several)
    models.choose("broken")
    with pytest.raises(ModelError):
        several.get(model="broken")
    header, going = models.look("broken")
    assert not going
    assert "ma-failed" in header
    assert "broken: The &lt;weights&gt; do not fit. Restore the folder. Choose another model" in header


def test_a_name_that_is_none_of_the_menu_is_the_first(several):
    assert Models(several).choose("../elsewhere")[0] == MAIN


def test_a_model_that_made_room_says_so(several):
    several.shelf._most = 1
    several.get(model="lora")
    assert "tiny made room for another model; the next question loads it again." in Models(several).look(MAIN)[0]
    assert several.state == "ready"


def test_an_answer_says_whose_it_is_and_keeps_to_the_model_it_was_put_to(several):
    tab = Conversation(several)
    _, _, session, _ = tab.accept("What is an effusion?", Session())
    shown, after, _ = list(tab.answer(session, None, "lora"))[-1]
    assert shown[-1]["content"].endswith("· lora*")
    assert (after.model, after.index) == ("lora", "ab12")
    _, _, session, _ = tab.accept("And a fracture?", after)
    shown, after, _ = list(tab.answer(session))[-1]
    assert shown[-1]["content"].endswith("· tiny*")
    assert after.model == MAIN


def test_a_question_to_a_model_that_does_not_load_is_not_answered_by_another(several):
    tab = Conversation(several)
    _, _, session, _ = tab.accept("What is an effusion?", Session())
    shown, after, panel = list(tab.answer(session, None, "broken"))[-1]
    assert "**No answer.** The &lt;weights> do not fit." in shown[-1]["content"]
    assert after.answer is None
    assert "Restore the folder." in panel
