"""Our models as a harness calls them; with lmms-eval itself where it is installed."""

from __future__ import annotations

import importlib.util
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import training.lmms_eval_model as module
from training.lmms_eval_model import HarnessAnswers, answer_requests, put, until


@pytest.fixture(scope="module")
def answers(tiny_folder):
    return HarnessAnswers(str(tiny_folder), "cpu", batch_size=2)


@pytest.fixture
def image():
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (20, 24, 3), dtype=np.uint8))


def test_what_a_task_adds_below_leaves_a_closed_question_closed(image):
    made = put("<image>\nIs there a mass?\nAnswer with a single word or phrase.", [image])
    assert made.asked.text == "Is there a mass?"
    assert made.request.text.endswith("phrase.")
    assert len(made.request.pictures) == 1
    assert put("Describe it.", []).asked.text == "Describe it."


def test_closed_questions_are_answered_among_their_options(answers, image):
    found = answers.generate(["Is there a mass?\nAnswer yes or no."] * 3, [[image], [], [image, image]])
    assert len(found) == 3
    assert set(found) <= {"Yes", "No"}


def test_an_answer_weighs_as_much_as_the_model_gives_it(answers, image):
    losses = [answers.loss("Is there a mass?", word, [image]) for word in ("Yes", "No")]
    assert all(loss > 0 for loss, _ in losses)
    assert losses[0] != losses[1]


def test_requests_come_back_in_order_and_cut_at_their_stops(answers, image):
    def request(text, **settings):
        return SimpleNamespace(args=(text, settings, None, 0, "task", "test"))

    shown = []

    def images(visual, doc_id, task, split):
        shown.append((doc_id, task, split))
        return [image]

    requests = [
        request("Is there a mass?", max_new_tokens=4),
        request("What is it?", max_new_tokens=2),
        request("Is there a cyst?", max_new_tokens=4, until=["\n\n"], do_sample=False, temperature=1.0),
    ]
    found = answer_requests(answers, requests, images)
    assert found[0] in ("Yes", "No")
    assert found[2] in ("Yes", "No")
    assert len(shown) == 3


def test_a_text_ends_at_the_first_stop():
    assert until("left lung. And more", [". ", "\n\n"]) == "left lung"
    assert until("left", "\n") == "left"
    assert until("left", []) == "left"


def test_the_module_can_be_read_without_the_harness():
    with pytest.raises(AttributeError, match="has no attribute 'Other'"):
        module.Other  # noqa: B018


@pytest.mark.skipif(importlib.util.find_spec("lmms_eval") is None, reason="lmms-eval is not installed")
def test_lmms_eval_makes_our_model_and_asks_it(tiny_folder, image):
    from lmms_eval.models.registry_v2 import ModelRegistryV2

    registry = ModelRegistryV2()
    registry.register_manifest(module.manifest())
    model = registry.get_model_class("medassist").create_from_arg_string(
        f"pretrained={tiny_folder}", {"batch_size": 2, "device": "cpu"}
    )
    model.task_dict["task"] = {"test": [{"image": image}]}
    args = ("Is there a mass?", {"max_new_tokens": 4}, lambda doc: [doc["image"]], 0, "task", "test")
    assert model.generate_until([SimpleNamespace(args=args)])[0] in ("Yes", "No")
