"""Corruptions of pictures, and the same questions over them."""

from __future__ import annotations

import numpy as np
import pytest

from assistant.config import GenerationConfig
from assistant.imaging.picture import Picture
from training.evaluation.answers import Asker
from training.evaluation.corruptions import CORRUPTIONS, STRENGTHS, corrupt
from training.evaluation.items import make_item
from training.evaluation.robustness import run_robustness
from training.evaluation.run import picture_loader, predict, read_data


@pytest.fixture(scope="module")
def picture():
    ramp = np.linspace(20, 230, 96)[None, :, None] * np.linspace(0.3, 1, 80)[:, None, None]
    pixels = np.repeat(ramp, 3, axis=2)
    pixels[30:50, 40:60] = 250
    return Picture(pixels.astype(np.uint8))


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_each_corruption_does_more_harm_the_stronger_it_is(name, picture):
    before = picture.pixels.astype(float)
    harm = [np.abs(corrupt(picture, name, strength).pixels - before).mean() for strength in STRENGTHS]
    assert harm[0] > 0
    assert all(one < other for one, other in zip(harm, harm[1:], strict=False))
    assert corrupt(picture, name, 3).pixels.shape == picture.pixels.shape


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_equal_seeds_give_equal_pixels(name, picture):
    one, other = (corrupt(picture, name, 2, seed=5).pixels for _ in range(2))
    assert np.array_equal(one, other)


def test_an_unknown_corruption_is_refused(picture):
    with pytest.raises(ValueError, match=r"corruption 'fog' at 1; use one of noise, blur, contrast, jpeg"):
        corrupt(picture, "fog", 1)
    with pytest.raises(ValueError, match=r"corruption 'blur' at 6; use one of .* and 1 to 5"):
        corrupt(picture, "blur", 6)


def test_every_question_is_asked_thirty_times(tiny_model, small_data):
    asker = Asker(tiny_model, GenerationConfig(max_new_tokens=4))
    items = [make_item(example, root) for root, example in read_data([small_data])][:4]
    load = picture_loader()
    told = []
    found = run_robustness(asker, predict(asker, items, load), load, limit=3, told=told.append)
    assert found["n"] == 3
    assert told[-1] == 90
    assert set(found["corruptions"]) == set(CORRUPTIONS)
    steps = found["corruptions"]["noise"]["strengths"]
    assert [step["strength"] for step in steps] == [1, 2, 3, 4, 5]
    drops = [step["drop"]["value"] for step in steps]
    assert found["corruptions"]["noise"]["mean_drop"]["value"] == pytest.approx(sum(drops) / 5, abs=1e-3)
    assert all(
        step["accuracy"]["value"] == pytest.approx(found["accuracy"]["value"] - step["drop"]["value"], abs=1e-3)
        for step in steps
    )


def test_without_judged_questions_nothing_is_asked(tiny_model):
    asker = Asker(tiny_model, GenerationConfig(max_new_tokens=4))
    assert run_robustness(asker, [], picture_loader(), limit=3, told=lambda _: None) == {"n": 0}
