import threading

import pytest

from assistant.conversation import Question
from assistant.errors import AssistantError
from tests.assistant.serve.conftest import WAIT_S


def test_heat_waits_its_turn_and_is_noted_without_content(server, make_picture):
    question = Question("What kind of image is this?", (make_picture(1),))
    heat = server.service.heat(question, "A CT scan.", "ann")
    assert heat.nats.shape == (8, 8)
    lines = server.audit.read_text()
    assert "page.heat" in lines
    assert "A CT scan" not in lines


def test_heat_is_refused_with_a_clear_word_when_too_much_waits(start_server, make_picture):
    service = start_server(max_waiting=1, max_waiting_each=1).service
    question = Question("What kind of image is this?", (make_picture(1),))
    gate, running = threading.Event(), threading.Event()

    def hold(asked):
        running.set()
        gate.wait(120)
        return [None] * len(asked)

    service.queue._handlers["texts"] = hold
    service.submit("texts", "bob", ["a"])
    assert running.wait(WAIT_S)
    service.submit("texts", "bob", ["b"])
    with pytest.raises(AssistantError, match=r"requests wait already\. Try again in"):
        service.heat(question, "A CT scan.", "ann")
    gate.set()


def test_others_have_their_turn_between_the_parts_of_a_heat(start_server, make_picture):
    service = start_server().service
    question = Question("What kind of image is this?", (make_picture(1),))
    begun, plain = threading.Event(), service.queue._handlers["heat part"]

    def part(works):
        begun.set()
        return plain(works)

    service.queue._handlers["heat part"] = part
    heats = []
    asker = threading.Thread(target=lambda: heats.append(service.heat(question, "A CT scan.", "ann")))
    asker.start()
    assert begun.wait(60)
    service.submit("texts", "bob", ["a"]).future.result(WAIT_S)
    assert asker.is_alive(), "bob waited for all of ann's heat"
    asker.join(120)
    assert heats[0].nats.shape == (8, 8)
