from dataclasses import replace
from itertools import islice

import pytest

from assistant.chat import MedicalAssistant
from assistant.config import GenerationConfig
from assistant.conversation import Answer, Question, Report, ReportRequest
from assistant.errors import ConfigError
from assistant.sampling import Sampling

SETTINGS = GenerationConfig(max_new_tokens=12, report_max_new_tokens=12, abstain_below=0.0, batch_size=8)


@pytest.fixture(scope="module")
def assistant(tiny_model):
    return MedicalAssistant(tiny_model, settings=SETTINGS)


@pytest.fixture
def picture(make_picture):
    return make_picture(1)


def run(assistant, steps, size=8):
    """Let those of each step come when they are asked for the nth time; returns the outcomes and in which order."""
    waiting, wanted = iter(steps), []

    def more(most):
        wanted.append(most)
        return next(waiting, [])[:most]

    made = list(assistant.together(size).run(more, eager=True))
    return dict(made), [number for number, _ in made], wanted


def test_questions_and_studies_that_come_one_by_one_get_their_own_answers(assistant, picture):
    asked = [
        Question("Is there a glioma in this MRI?", (picture,)),
        ReportRequest((picture,)),
        Question("Which of these is it?", (picture,), options=("benign", "malignant")),
        Question("What is it?", (picture,), sampling=Sampling(temperature=1.0, seed=3)),
    ]
    alone = [
        next(iter(assistant.answers([one]) if isinstance(one, Question) else assistant.reports([one]))) for one in asked
    ]
    found, _, _ = run(assistant, [[asked[0]], [asked[1]], [], [asked[2], asked[3]]])
    assert [type(found[number]) for number in range(4)] == [Answer, Report, Answer, Answer]
    for number, wanted in enumerate(alone):
        made = replace(found[number], seconds=0.0, confidence=0.0)
        assert made == replace(wanted, seconds=0.0, confidence=0.0)
        assert found[number].confidence == pytest.approx(wanted.confidence, abs=1e-3)
        assert found[number].seconds > 0


def test_a_short_answer_leaves_before_a_long_one_that_came_first(assistant, picture):
    long = Question("What is it?", (picture,), sampling=Sampling(max_new_tokens=12))
    short = Question("What is it?", (picture,), sampling=Sampling(max_new_tokens=1))
    _, order, _ = run(assistant, [[long], [short]])
    assert order == [1, 0]


def test_a_question_that_cannot_be_asked_harms_no_other(assistant, picture):
    good = Question("Is it normal?", (picture,))
    found, _, _ = run(assistant, [[good, Question(" ", (picture,)), good]])
    assert isinstance(found[1], ConfigError)
    assert isinstance(found[0], Answer)
    assert found[0].text == found[2].text
    with pytest.raises(ConfigError):
        list(assistant.answers([good, Question(" ", (picture,))]))


def test_few_are_let_in_at_a_step_so_that_those_who_read_along_do_not_wait(assistant, picture):
    question = Question("Is it normal?", (picture,), sampling=Sampling(max_new_tokens=6))
    _, _, wanted = run(assistant, [[question]] + [[question] * 8] * 3)
    assert wanted[0] == 8
    assert wanted[1:4] == [2, 2, 2]


def test_many_are_read_as_there_is_room_and_come_in_order(assistant, picture):
    taken = []

    def asked():
        for number in range(12):
            taken.append(number)
            yield Question("What is it?", (picture,), sampling=Sampling(max_new_tokens=1 + number % 5))

    made = assistant.answers(asked(), batch_size=4)
    first = next(made)
    assert len(taken) <= 8
    answers = [first, *made]
    assert [one.usage.completion_tokens for one in answers] == [1 + number % 5 for number in range(12)]


def test_more_are_written_at_once_than_are_read_at_once(tiny_model, make_picture):
    made = MedicalAssistant(tiny_model, settings=replace(SETTINGS, batch_size=2))
    requests = [ReportRequest((make_picture(number),)) for number in range(6)]
    waiting, wanted = iter(requests), []

    def more(most):
        wanted.append(most)
        return list(islice(waiting, most))

    reports = dict(made.together(6).run(more))
    assert wanted[:3] == [2, 2, 2]
    alone = [one.sections for one in made.reports(requests, batch_size=1)]
    assert [reports[number].sections for number in range(6)] == alone
