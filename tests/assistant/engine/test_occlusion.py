"""Occlusion: what in a picture an answer rests on."""

import copy
import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from assistant.chat import MedicalAssistant
from assistant.conversation import Question
from assistant.engine.occlusion import Heat, _occluded, _reduced, _spread
from assistant.imaging.picture import Picture
from assistant.model.load import load_model
from benchmarks.pointing import hits_finding
from data_recipes.phantom import make_phantom


@pytest.fixture(scope="module")
def starter():
    return load_model("starter", device="cpu")


def _heat(model, phantom):
    assistant = MedicalAssistant(model)
    question = Question("What abnormality is seen?", (Picture(phantom.pixels),))
    return assistant.heat(question, f"{phantom.findings[0].name.capitalize()} [1]")


def test_the_heat_lies_on_the_finding(starter):
    shown = (make_phantom(990001, index) for index in range(100))
    phantoms = list(itertools.islice((one for one in shown if len(one.findings) == 1), 5))
    hits = 0
    for phantom in phantoms:
        heat = _heat(starter, phantom)
        assert heat.nats.shape == (8, 8)
        assert heat.whole > 1
        hits += hits_finding(heat, phantom)
    assert hits >= 4


def test_other_weights_give_another_heat(starter):
    """The check of Adebayo et al. 2018: a map that random weights draw as well says nothing of the model."""
    phantom = next(one for one in (make_phantom(990001, index) for index in range(100)) if len(one.findings) == 1)
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
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3)).astype(np.uint8)
    whole, *parts = _occluded(Picture(pixels), 4)
    assert len(parts) == 25
    changed = sum((one.pixels != pixels).any(-1).astype(int) for one in parts)
    assert np.array_equal(changed, 4 * (whole.pixels != pixels).any(-1))


def test_a_place_gets_the_mean_of_its_windows():
    drops = np.zeros(9, np.float32)
    drops[4] = 4.0  # the middle window of three by three covers all four places of a grid of two
    assert _spread(drops, 2).tolist() == [[1, 1], [1, 1]]
    assert Heat(np.array([[0, 1], [0, 0]], np.float32), 1.0).peak == (0.25, 0.75)


def test_large_pictures_are_reduced_first():
    large = Picture(np.zeros((900, 600, 3), np.uint8))
    assert _reduced(large, 256).pixels.shape == (256, 171, 3)
    assert _reduced(large, 900) is large
