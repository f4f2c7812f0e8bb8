import pytest

from assistant.conversation import Answer, Question
from assistant.feedback.recent import Recent, Subject


@pytest.fixture
def clock():
    return [0.0]


@pytest.fixture
def recent(clock):
    return Recent(longest_s=60, most=3, most_bytes=40_000, clock=lambda: clock[0])


def subject(name, pictures=()):
    return Subject(name, Question("?", tuple(pictures)), Answer("!", 0.5, False, (), (), "tiny", "feed", 0.1))


def test_an_answer_is_found_by_its_asker_alone(recent):
    recent.note("ann", subject("a"))
    assert recent.find("ann", "a").name == "a"
    assert recent.find("bob", "a") is None
    assert recent.find("ann", "b") is None


def test_an_answer_is_forgotten_after_a_while(recent, clock):
    recent.note("ann", subject("a"))
    clock[0] = 61
    assert recent.find("ann", "a") is None


def test_the_oldest_goes_when_there_are_too_many(recent):
    for name in "abcd":
        recent.note("ann", subject(name))
    assert [recent.find("ann", name) is not None for name in "abcd"] == [False, True, True, True]


def test_pixels_are_bounded(recent, make_picture):
    one = make_picture(1)
    count = 40_000 // one.pixels.nbytes
    for number in range(count + 1):
        recent.note("ann", subject(str(number), [one]))
    held = [recent.find("ann", str(number)) for number in range(count + 1)]
    assert sum(one.size for one in held if one) <= 40_000
    assert held[-1] is not None
    assert held[0] is None
