"""What the engine must not do more of unnoticed: counted, as in `test_guard`; a loss of a fifth fails."""

from __future__ import annotations

import pytest
import torch

from assistant import prompts
from assistant.chat import MedicalAssistant
from assistant.config import GenerationConfig
from assistant.conversation import ReportRequest
from assistant.engine.features import PictureEncoder
from assistant.engine.flow import Flow
from assistant.engine.generate import Generator
from assistant.model.gate import gate_pictures
from assistant.model.load import load_model
from tests.benchmarks.test_guard import Ops

QUESTIONS = ("What kind of image is this?", "Is there an effusion?", "Which side?", "Is it normal?")
PLAIN = GenerationConfig(max_new_tokens=8, linears="torch", decode_attention="torch")
STEP_OPERATIONS = 283
"""What torch is asked to do at one step of the starter's four layers, for any number of rows."""


@pytest.fixture(scope="module")
def starter():
    return load_model("starter", device="cpu")


@pytest.fixture(scope="module")
def features(starter):
    return PictureEncoder(starter).encode(gate_pictures()[:1])


def asked(generator, features):
    return [generator.encoder.encode(prompts.conversation(text, images=1), features) for text in QUESTIONS]


def test_a_picture_that_is_asked_about_four_times_is_read_once(starter, features):
    generator = Generator(starter, PLAIN)
    questions = asked(generator, features)
    generator.generate(questions)
    image = sum(one == generator.language.image_id for one in questions[0].ids)
    whole = sum(len(one.ids) for one in questions)
    assert generator.language.passed <= 1.2 * (whole - 3 * image)
    before = generator.language.passed
    generator.generate(questions)  # the next turn finds nearly all of it
    assert generator.language.passed - before <= 1.2 * (whole - 4 * image)


@pytest.mark.parametrize("rows", [1, 4])
def test_a_step_asks_little_of_torch(starter, features, rows):
    generator = Generator(starter, PLAIN)
    generator._ends = frozenset()  # none ends while it is looked at
    flow = generator.flow()
    with torch.inference_mode():
        flow.join([generator.ticket(one) for one in asked(generator, features)[:rows]])
        flow.step()
        with Ops() as counted:
            flow.step()
    assert len(flow.going) == rows
    assert sum(counted.seen.values()) <= 1.2 * STEP_OPERATIONS
    assert counted.seen["aten::cat"] <= 3 * starter.llava.config.text_config.num_hidden_layers  # no cache is joined


def test_rows_that_have_ended_cost_no_more_steps(starter, features):
    generator = Generator(starter, PLAIN)
    limits = (2, 2, 2, 8)
    tickets = [
        generator.ticket(one, max_new_tokens=most) for one, most in zip(asked(generator, features), limits, strict=True)
    ]
    flow, rows = generator.flow(), 0
    with torch.inference_mode():
        flow.join(tickets)
        while flow.going:
            flow.step()
            rows += len(flow.going)
    assert rows <= 1.2 * sum(most - 1 for most in limits)


def test_the_checks_of_reports_take_no_steps(starter, monkeypatch):
    steps = []
    step = Flow.step
    monkeypatch.setattr(Flow, "step", lambda self: steps.append(len(self.going)) or step(self))
    counts = []
    for checked in (False, True):
        settings = GenerationConfig(report_max_new_tokens=12, check_reports=checked, check_images=False)
        steps.clear()
        requests = [ReportRequest((one,), template="chest-xray") for one in gate_pictures()[:1]]
        # One at a time: a check that stood among the texts would take a step that no text takes.
        list(MedicalAssistant(starter, None, settings).reports(requests, 1))
        counts.append(len(steps))
    assert counts[1] <= 1.2 * counts[0]
