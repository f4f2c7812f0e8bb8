"""Which models are in memory: loaded when wanted, so many at once, the least lately used let go."""

from __future__ import annotations

import gc
import threading
import weakref
from dataclasses import replace

import pytest

from assistant.chat import MedicalAssistant
from assistant.commands.opened import Opened
from assistant.errors import ModelError, RetrievalError
from assistant.shelf import MAIN, Shelf


class Loads:
    """Loaders that count, and can be held up."""

    def __init__(self, model):
        self.opened = Opened(MedicalAssistant(model), model.name, model.fingerprint, None)
        self.count = dict.fromkeys((MAIN, "one", "two"), 0)
        self.gate = threading.Event()
        self.gate.set()

    def shelf(self, most):
        return Shelf({name: self._loader(name) for name in self.count}, most)

    def _loader(self, name):
        def load():
            assert self.gate.wait(30)
            self.count[name] += 1
            return replace(self.opened, model_name=name or "main")

        return load


@pytest.fixture
def loads(tiny_model):
    return Loads(tiny_model)


def test_a_model_is_loaded_once_and_shared(loads):
    shelf = loads.shelf(2)
    assert shelf.state("one") == "unloaded"
    assert shelf.get("one") is shelf.get("one")
    assert loads.count == {MAIN: 0, "one": 1, "two": 0}
    assert shelf.seconds("one") >= 0
    assert shelf.seconds("two") is None


def test_the_least_lately_used_makes_room(loads):
    shelf = loads.shelf(2)
    for name in (MAIN, "one", MAIN, "two"):
        shelf.get(name)
    assert [shelf.state(name) for name in shelf.names] == ["ready", "unloaded", "ready"]
    shelf.get("one")
    assert shelf.state(MAIN) == "unloaded"
    assert loads.count == {MAIN: 1, "one": 2, "two": 1}


def test_whoever_holds_a_model_that_is_let_go_finishes_with_it(loads):
    shelf = loads.shelf(1)
    held = shelf.get("one")
    gone = weakref.ref(held)
    shelf.get("two")
    assert shelf.look("one") is None
    assert held.model_name == "one"
    del held
    gc.collect()
    assert gone() is None, "something else keeps a model in memory that was let go"


def test_others_answer_while_one_is_loaded(loads):
    shelf = loads.shelf(2)
    first = shelf.get()
    loads.gate.clear()
    shelf.start("one")
    assert shelf.state("one") == "loading"
    assert shelf.get() is first
    with pytest.raises(ModelError, match="has not loaded within 0 s"):
        shelf.get("one", 0)
    loads.gate.set()
    assert shelf.get("one").model_name == "one"


def test_a_load_that_fails_says_why_and_is_tried_again_when_chosen_again(loads):
    wrong = [True]

    def load():
        if wrong[0]:
            raise RetrievalError("The index was built with another encoder. Build it again.")
        return loads.opened

    shelf = Shelf({MAIN: load}, 1)
    for _ in range(2):
        with pytest.raises(ModelError, match="built with another encoder"):
            shelf.get()
    wrong[0] = False
    assert shelf.state() == "failed"
    shelf.start(again=True)
    assert shelf.get() is loads.opened
    assert shelf.failure() is None
