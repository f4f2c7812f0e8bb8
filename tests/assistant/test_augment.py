"""Answers to choose from are weighed over altered pictures: the mean of what each view alone would say."""

import dataclasses
import math
from dataclasses import replace

import numpy as np
import pytest

from assistant.augment import alterations_of, flip, names_sides, zoom
from assistant.chat import MedicalAssistant
from assistant.config import GenerationConfig
from assistant.conversation import Answer, Question
from assistant.errors import ConfigError
from training.evaluation.answers import Asker

SHORT = GenerationConfig(max_new_tokens=8)
BOTH = {"test_time_augmentation": "flip zoom"}


@pytest.fixture(scope="module")
def augmented(tiny_model):
    return dataclasses.replace(tiny_model, contract=tiny_model.contract.replace(capabilities=BOTH))


@pytest.fixture(scope="module")
def plain(tiny_model):
    return dataclasses.replace(tiny_model, contract=tiny_model.contract.replace(capabilities={}))


@pytest.fixture(scope="module")
def single(plain):
    """Tells how each answer is weighed about one picture as it is."""
    asker = Asker(plain, SHORT)
    return lambda question, picture: dict(asker.ask([Question(question, (picture,))])[0].shares)


def views(picture, *alterations):
    return [picture, *(replace(picture, pixels=one(picture.pixels)) for one in alterations)]


def mean_of(parts):
    logs = {option: sum(math.log(one[option]) for one in parts) / len(parts) for option in parts[0]}
    total = sum(map(math.exp, logs.values()))
    return {option: math.exp(value) / total for option, value in logs.items()}


def test_the_share_of_an_answer_is_the_mean_over_the_views(augmented, single, make_picture):
    asker = Asker(augmented, SHORT)
    for seed in range(3):
        picture = make_picture(seed, 40, 60)
        (reply,) = asker.ask([Question("Is there a mass?", (picture,))])
        parts = [single("Is there a mass?", one) for one in views(picture, flip, zoom)]
        assert dict(reply.shares) == pytest.approx(mean_of(parts), abs=2e-3)
        assert parts[0] != pytest.approx(parts[1], abs=1e-4)
        assert reply.text == max(reply.shares, key=lambda pair: pair[1])[0]


def test_a_question_on_sides_is_not_put_about_a_mirrored_picture(augmented, single, make_picture):
    picture = make_picture(1, 40, 60)
    (reply,) = Asker(augmented, SHORT).ask([Question("Is there a mass on the left?", (picture,))])
    parts = [single("Is there a mass on the left?", one) for one in views(picture, zoom)]
    assert dict(reply.shares) == pytest.approx(mean_of(parts), abs=2e-3)


def test_the_assistant_answers_as_it_was_measured_alone_in_a_batch_and_as_a_stream(augmented, make_picture):
    questions = [Question("Is there a mass?", (make_picture(seed),)) for seed in range(3)]
    questions += [Question("Which is it?", (make_picture(7),), options=("Cyst", "Mass"))]
    assistant = MedicalAssistant(augmented, settings=SHORT)
    replies = Asker(augmented, SHORT).ask(questions)
    for reply, one, many in zip(replies, map(assistant.answer, questions), assistant.answers(questions), strict=True):
        assert one.text == many.text == reply.text
        assert one.confidence == pytest.approx(reply.confidence, abs=2e-3)
        assert many.confidence == pytest.approx(reply.confidence, abs=2e-3)
    *_, streamed = assistant.stream(questions[0])
    assert isinstance(streamed, Answer)
    assert streamed.confidence == pytest.approx(replies[0].confidence, abs=2e-3)


def test_it_can_be_switched_off_and_open_questions_have_none(augmented, plain, make_picture):
    asked = [Question("Is there a mass?", (make_picture(2),)), Question("What is seen?", (make_picture(2),))]
    without = Asker(plain, SHORT).ask(asked)
    off = Asker(augmented, replace(SHORT, augment=False)).ask(asked)
    assert [(one.text, one.shares) for one in off] == [(one.text, one.shares) for one in without]
    assert Asker(augmented, SHORT).ask(asked[1:])[0].confidence == pytest.approx(without[1].confidence, abs=1e-6)


def test_a_mirrored_picture_is_mirrored_and_a_margin_is_cut_off():
    pixels = np.arange(100 * 50 * 3, dtype=np.uint8).reshape(100, 50, 3)
    assert np.array_equal(flip(flip(pixels)), pixels)
    assert np.array_equal(flip(pixels)[:, 0], pixels[:, -1])
    assert np.array_equal(zoom(pixels), pixels[4:96, 2:48])
    assert zoom(pixels[:1, :1]).shape == (1, 1, 3)


@pytest.mark.parametrize(
    ("text", "options", "sided"),
    [
        ("Is there a mass?", (), False),
        ("Is the left lung clear?", (), True),
        ("Which one?", ("Left", "Right"), True),
        ("Is it bilateral?", (), True),
        ("Is there a midline shift?", (), True),
        ("Is the lesion bright?", (), False),  # "right" is a part of the word
        ("Which side is it on?", (), True),
        ("Is there situs inversus?", (), True),
    ],
)
def test_sides_are_heard(text, options, sided):
    assert names_sides(text, options) == sided


def test_an_alteration_that_is_not_known_is_told():
    with pytest.raises(ConfigError, match=r"asks for test_time_augmentation spin; this version knows flip, zoom"):
        alterations_of({"test_time_augmentation": "flip spin"}, SHORT)
    assert alterations_of({"test_time_augmentation": "zoom zoom"}, SHORT) == ("zoom",)
    assert alterations_of({}, SHORT) == ()
