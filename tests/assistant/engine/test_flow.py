from dataclasses import replace

import pytest
import torch

from assistant import prompts
from assistant.config import GenerationConfig
from assistant.engine.features import PictureEncoder
from assistant.engine.flow import write_all
from assistant.engine.generate import Generator
from assistant.sampling import Sampling

SETTINGS = GenerationConfig(max_new_tokens=20, batch_size=8)
TEXTS = (
    "Is there a glioma in this MRI?",
    "benign?",
    "What is a glioma?",
    "Is it normal or is there anything else?",
)


@pytest.fixture(scope="module")
def generator(tiny_model):
    return Generator(tiny_model, SETTINGS)


@pytest.fixture(scope="module")
def asked(tiny_model, generator, make_picture):
    features = PictureEncoder(tiny_model).encode([make_picture(seed) for seed in range(2)])
    return [
        generator.encoder.encode(prompts.conversation(text, images=row % 2), features[: row % 2])
        for row, text in enumerate(TEXTS)
    ]


def run(flow, arrivals):
    """Let tickets join at given steps; return how many were there at each step."""
    step, there = 0, []
    with torch.inference_mode():
        while arrivals or flow.going:
            flow.join(arrivals.pop(step, []))
            there.append(len(flow.going))
            flow.step()
            step += 1
    return there


@pytest.mark.parametrize("steps", [(0, 0, 0, 0), (0, 3, 3, 7), (0, 1, 2, 3), (9, 6, 3, 0)])
def test_who_joins_later_gets_the_same_answer(generator, asked, steps):
    alone = [generator.generate([prompt])[0] for prompt in asked]
    tickets = [generator.ticket(prompt) for prompt in asked]
    arrivals = {}
    for step, ticket in zip(steps, tickets, strict=True):
        arrivals.setdefault(step, []).append(ticket)
    run(generator.flow(), arrivals)
    for ticket, wanted in zip(tickets, alone, strict=True):
        made, _ = ticket.made
        assert (made.ids, made.finished) == (wanted.ids, wanted.finished)
        assert made.log_probs == pytest.approx(wanted.log_probs, abs=1e-4)


def test_drawn_answers_are_the_same_alone_and_in_a_flow(generator, asked):
    own = [replace(one, sampling=Sampling(temperature=1.2, top_p=0.9, seed=7)) for one in asked]
    alone = [generator.generate([prompt])[0].ids for prompt in own]
    tickets = [generator.ticket(prompt) for prompt in own]
    run(generator.flow(), {2 * place: [ticket] for place, ticket in enumerate(tickets)})
    assert [ticket.made[0].ids for ticket in tickets] == alone


def test_a_cancelled_row_gives_its_place_back_at_once(generator, asked):
    gone = []
    cancelled = replace(asked[0], sampling=Sampling(cancelled=lambda: bool(gone), max_new_tokens=20))
    flow = generator.flow(2)
    tickets = [generator.ticket(cancelled), generator.ticket(asked[2])]
    with torch.inference_mode():
        flow.join(tickets)
        flow.step()
        assert flow.room == 0
        gone.append(True)
        done = flow.step()
    assert done == [tickets[0]]
    assert flow.room == 1
    assert len(tickets[0].made[0].ids) == 2


def test_places_that_become_free_are_filled_again(generator, asked):
    """Sixteen answers of 2 or 20 tokens, eight at a time: a batch that waits for its longest takes 40 steps."""
    wishes = [Sampling(max_new_tokens=20 if row % 4 == 0 else 2) for row in range(16)]
    tickets = [generator.ticket(replace(asked[1], sampling=wish)) for wish in wishes]
    generator._ends, ends = frozenset(), generator._ends
    try:
        tickets = [generator.ticket(one.prompt) for one in tickets]
    finally:
        generator._ends = ends
    flow = generator.flow(8)
    with torch.inference_mode():
        write_all(flow, tickets)
    assert [len(one.made[0].ids) for one in tickets] == [wish.max_new_tokens for wish in wishes]
    assert flow.steps < 30


def test_a_long_flow_does_not_grow_without_end(generator, asked):
    flow = generator.flow(4)
    longest = max(len(one.ids) for one in asked) + SETTINGS.max_new_tokens
    tickets = [generator.ticket(asked[row % 4]) for row in range(24)]
    wanted = [generator.generate([prompt])[0].ids for prompt in asked]
    waiting, most = list(tickets), 0
    with torch.inference_mode():
        while waiting or flow.going:
            if waiting and flow.room and flow.steps % 5 == 0:
                flow.join([waiting.pop(0)])
            flow.step()
            most = max(most, flow._batch.cache.length if flow._batch else 0)
    assert [one.made[0].ids for one in tickets] == [wanted[row % 4] for row in range(24)]
    assert most < 2 * longest


def test_options_are_weighed_when_a_row_joins(generator, asked):
    flow = generator.flow()
    first, second = generator.ticket(asked[0]), generator.ticket(asked[1], ["Yes", "No"])
    run(flow, {0: [first], 4: [second]})
    assert second.scores == pytest.approx(generator.score_options(asked[1], ["Yes", "No"]), abs=1e-3)
    assert first.scores == []


def test_a_question_for_one_token_takes_no_place_among_the_others(generator, asked):
    flow = generator.flow(1)
    long = generator.ticket(asked[0])
    brief = [generator.ticket(prompt, ["Yes", "No"], max_new_tokens=1) for prompt in asked[1:]]
    with torch.inference_mode():
        flow.join([long])
        flow.weigh(brief)
        assert flow.going == [long]
    for ticket, prompt in zip(brief, asked[1:], strict=True):
        made, scores = ticket.made
        (alone, first), usual = generator.answer([prompt], [["Yes", "No"]])[0], generator.generate([prompt])[0]
        assert ticket.row.over
        assert made.log_probs == (pytest.approx(usual.log_probs[0], abs=1e-4),)
        assert made.ids == alone.ids[:1]
        assert scores == pytest.approx(first, abs=1e-3)


def test_brief_and_long_answers_that_are_written_together_are_those_of_each_alone(generator, asked):
    limits = (1, 12, 1, 5)
    alone = [generator.generate([one], max_new_tokens=most)[0].ids for one, most in zip(asked, limits, strict=True)]
    tickets = [generator.ticket(one, max_new_tokens=most) for one, most in zip(asked, limits, strict=True)]
    flow = generator.flow(2)
    with torch.inference_mode():
        write_all(flow, tickets)
    assert [ticket.made[0].ids for ticket in tickets] == alone
    # The brief ones take no step.
    assert flow.steps == max(len(ticket.made[0].log_probs) for ticket in tickets) - 1
