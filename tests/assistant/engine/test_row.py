from dataclasses import replace

import pytest

from assistant.config import GenerationConfig
from assistant.engine.generate import Generator
from assistant.engine.row import held_back, until
from assistant.prompts import conversation
from assistant.sampling import Sampling

SETTINGS = GenerationConfig(max_new_tokens=24, batch_size=8)


@pytest.fixture(scope="module")
def generator(tiny_model):
    return Generator(tiny_model, SETTINGS)


@pytest.fixture(scope="module")
def prompts(generator):
    return [generator.encoder.encode(conversation(f"What is {word}?"), []) for word in ("this", "that one there", "it")]


def test_each_row_of_a_batch_has_its_own_sampling(generator, prompts):
    wishes = [Sampling(), Sampling(temperature=1.5, seed=4), Sampling(max_new_tokens=3)]
    own = [replace(prompt, sampling=wish) for prompt, wish in zip(prompts, wishes, strict=True)]
    together = generator.generate(own)
    assert [one.text for one in together] == [generator.generate([prompt])[0].text for prompt in own]
    assert together[0].ids == generator.generate([prompts[0]])[0].ids
    assert len(together[2].ids) == 3
    other = generator.generate([replace(prompts[1], sampling=Sampling(temperature=1.5, seed=5))])[0]
    assert other.ids != together[1].ids


def test_pieces_out_of_a_batch_join_to_each_rows_text(generator, prompts):
    told = [[] for _ in prompts]
    own = [replace(one, sampling=Sampling(on_text=told[row].append)) for row, one in enumerate(prompts)]
    made = generator.generate(own)
    assert ["".join(pieces) for pieces in told] == [one.text for one in made]


def test_a_row_that_is_cancelled_leaves_and_the_others_go_on(generator, prompts):
    seen = []

    def gone():
        seen.append(1)
        return len(seen) >= 2

    own = [prompts[0], replace(prompts[1], sampling=Sampling(cancelled=gone)), prompts[2]]
    made = generator.generate(own)
    alone = generator.generate(prompts)
    assert len(made[1].log_probs) == 2
    assert len(seen) == 2
    assert (made[0].text, made[2].text) == (alone[0].text, alone[2].text)


def test_a_text_ends_before_the_first_stop_word():
    assert until("A mass. Next", ["Next", "mass"]) == ("A", True)
    assert until("A mass", ["Next"]) == ("A mass", False)


def test_what_may_become_a_stop_word_is_held_back():
    assert held_back("A mass. Ne", ["Next"]) == "A mass. "
    assert held_back("A mass", ["Next"]) == "A mass"
    assert held_back("one two ", ["o th", " two three"]) == "one"
