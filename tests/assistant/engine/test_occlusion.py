"""Occlusion: what in a picture an answer rests on."""

import copy
import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from assistant.chat import MedicalAssistant
from assistant.conversation import Question
from assistant.engine.occlusion import Heat, _masks, _occluded, _reduced, _spread
from assistant.imaging.picture import Picture
from assistant.model.load import load_model
from benchmarks.pointing import hits_finding
from data_recipes.phantom import make_phantom


@pytest.fixture(scope="module")
def starter():
    return load_model("starter", device="cpu")


QUESTION = "What abnormality is seen?"


@pytest.fixture(scope="module")
def named(starter):
    """The first four phantoms with one finding that the model names right."""
    assistant = MedicalAssistant(starter)
    single = (one for one in (make_phantom(990001, index) for index in range(100)) if len(one.findings) == 1)
    shown = ((one, assistant.answer(Question(QUESTION, (Picture(one.pixels),))).text) for one in single)
    right = (one for one, said in shown if said.lower().startswith(one.findings[0].name))
    return list(itertools.islice(right, 4))


def _heat(model, phantom):
    question = Question(QUESTION, (Picture(phantom.pixels),))
    return MedicalAssistant(model).heat(question, f"{phantom.findings[0].name.capitalize()} [1]")


def test_the_heat_lies_on_the_finding(starter, named):
    hits = 0
    for phantom in named:
        heat = _heat(starter, phantom)
        assert heat.nats.shape == (8, 8)
        assert heat.whole > 1
        hits += hits_finding(heat, phantom)
    assert hits >= 3


def test_other_weights_give_another_heat(starter, named):
    """The check of Adebayo et al. 2018: a map that random weights draw as well says nothing of the model."""
    phantom = named[0]
    heat = _heat(starter, phantom)
    llava = copy.deepcopy(starter.llava)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in llava.model.language_model.parameters():
            parameter.copy_(parameter.flatten()[torch.randperm(parameter.numel())].view_as(parameter))
    other = _heat(replace(starter, llava=llava), phantom)
    assert abs(np.corrcoef(heat.nats.ravel(), other.nats.ravel())[0, 1]) < 0.5


def test_without_a_picture_or_an_answer_there_is_no_heat(tiny_model, make_picture):
    assistant = MedicalAssistant(tiny_model)
    assert assistant.heat(Question("What is a nodule?"), "A spot") is None or not tiny_model.contract.capabilities
    assert assistant.heat(Question("What is seen?", (make_picture(),)), " [1]") is None


def test_the_last_picture_is_looked_into(tiny_model, make_picture):
    heat = MedicalAssistant(tiny_model).heat(Question("What is seen?", (make_picture(1), make_picture(2))), "Mass")
    assert heat.nats.shape == (8, 8)
    assert np.isfinite(heat.nats).all()


def test_windows_cover_every_place_four_times():
    covered = sum(_masks(80, 120, 4))
    assert covered.shape == (80, 120, 1)
    assert np.allclose(covered, 4, atol=0.1)  # soft edges add up


def test_a_window_is_hidden_in_three_ways_and_the_rest_stays():
    pixels = np.random.default_rng(0).integers(0, 256, (80, 120, 3)).astype(np.uint8)
    whole, *parts = _occluded(Picture(pixels), 4)
    assert len(parts) == 3 * 25
    corner = [parts[way * 25].pixels for way in range(3)]  # the first window: the upper left place
    assert (corner[1][:8, :12] == pixels[:8, ::-1][:, :12]).mean() > 0.99
    assert (corner[2][:8, :12] == pixels[::-1, ::-1][:8, :12]).mean() > 0.99
    for one in corner:
        assert np.array_equal(one[40:, 60:], pixels[40:, 60:])
    assert corner[0][:8, :12].std() < pixels.std() / 2
    assert whole.pixels.std() < pixels.std() / 4


def test_a_place_gets_the_mean_of_its_windows():
    drops = np.zeros(9, np.float32)
    drops[4] = 4.0  # the middle window of three by three covers all four places of a grid of two
    assert _spread(drops, 2).tolist() == [[1, 1], [1, 1]]
    assert Heat(np.array([[0, 1], [0, 0]], np.float32), 1.0).peak == (0.25, 0.75)


def test_large_pictures_are_reduced_first():
    large = Picture(np.zeros((900, 600, 3), np.uint8))
    assert _reduced(large, 256).pixels.shape == (256, 171, 3)
    assert _reduced(large, 900) is large
