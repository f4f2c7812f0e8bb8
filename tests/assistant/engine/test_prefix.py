from dataclasses import replace

import numpy as np
import pytest
import torch

from assistant import prompts
from assistant.config import GenerationConfig
from assistant.engine.features import PictureEncoder
from assistant.engine.generate import Generator
from assistant.engine.prefix import PrefixCache, keyed, shared

QUESTIONS = ("Is there a glioma in this MRI?", "benign?", "Is the left lung clear or is there something else?")


@pytest.fixture(scope="module")
def features(tiny_model, make_picture):
    return PictureEncoder(tiny_model).encode([make_picture(seed) for seed in range(3)])


@pytest.fixture
def make(tiny_model):
    def make(**settings):
        return Generator(tiny_model, GenerationConfig(max_new_tokens=16, batch_size=16, **settings))

    return make


def ask(generator, text, *features, system="Answer the question about the picture in a few words, please."):
    messages = prompts.conversation(text, images=len(features), system=system)
    return generator.encoder.encode(messages, features)


def crossed(generator, features):
    return [ask(generator, text, one) for one in features for text in QUESTIONS]


def test_sharing_changes_no_answer(make, features):
    plain, sharing = make(share_prefixes=False), make()
    asked = crossed(plain, features)
    wanted, found = plain.generate(asked), sharing.generate(asked)
    assert [one.ids for one in found] == [one.ids for one in wanted]
    for one, other in zip(found, wanted, strict=True):
        assert one.log_probs == pytest.approx(other.log_probs, abs=1e-4)


def test_each_picture_is_read_once_for_all_its_questions(make, features):
    """An exact count: it cannot be blurred by what else the machine does."""
    plain, sharing = make(share_prefixes=False), make()
    asked = crossed(plain, features)
    plain.generate(asked)
    assert plain.language.passed == sum(len(one.ids) for one in asked)
    sharing.generate(asked)
    begun = sum(keyed(asked[3 * row], sharing.language.image_id).cut for row in range(3))
    rest = sum(len(one.ids) - keyed(one, sharing.language.image_id).cut for one in asked)
    assert sharing.language.passed <= begun + rest
    assert sharing.language.passed < 0.6 * plain.language.passed


def test_the_next_question_on_a_picture_reads_only_its_own_words(make, features):
    generator = make()
    generator.generate([ask(generator, QUESTIONS[0], features[0])])
    before = generator.language.passed
    prompt = ask(generator, QUESTIONS[2], features[0])
    found = generator.generate([prompt])[0]
    assert generator.language.passed - before <= len(prompt.ids) - keyed(prompt, generator.language.image_id).cut
    assert found.ids == make(share_prefixes=False).generate([prompt])[0].ids


def test_another_picture_shares_the_system_text_only(make, features):
    generator = make()
    first, second = ask(generator, QUESTIONS[0], features[0]), ask(generator, QUESTIONS[0], features[1])
    generator.generate([first])
    before = generator.language.passed
    generator.generate([second])
    start = second.ids.index(generator.language.image_id)
    assert generator.language.passed - before == len(second.ids) - start
    assert (
        shared(keyed(first, generator.language.image_id).key, keyed(second, generator.language.image_id).key) == start
    )


def test_a_memory_of_nothing_keeps_nothing(make, features):
    generator = make(prefix_cache_mb=0)
    prompt = ask(generator, QUESTIONS[0], features[0])
    generator.generate([prompt])
    generator.generate([prompt])
    assert generator.language.passed == 2 * len(prompt.ids)


def test_pictures_without_a_name_are_shared_in_a_batch_but_not_kept(make, features):
    generator = make()
    unnamed = replace(features[0], content_id="")
    asked = [ask(generator, text, unnamed) for text in QUESTIONS]
    generator.generate(asked)
    assert generator.language.passed < sum(len(one.ids) for one in asked)
    before = generator.language.passed
    generator.generate(asked[:1])
    assert generator.language.passed - before == len(asked[0].ids)


def test_other_weights_forget_what_was_read(tiny_folder, features):
    from assistant.model.load import load_model

    model = load_model(tiny_folder, device="cpu")
    generator = Generator(model, GenerationConfig(max_new_tokens=8))
    prompt = ask(generator, QUESTIONS[0], features[0])
    first = generator.generate([prompt])[0]
    with torch.no_grad():
        model.llava.model.language_model.layers[0].mlp.down_proj.weight.mul_(-2)
    second = generator.generate([prompt])[0]
    assert generator.language.passed == 2 * len(prompt.ids)
    fresh = Generator(model, GenerationConfig(max_new_tokens=8, linears="torch", share_prefixes=False))
    assert second.log_probs == pytest.approx(fresh.generate([prompt])[0].log_probs, abs=1e-4)
    assert second.log_probs != pytest.approx(first.log_probs, abs=1e-4)


def part(tokens):
    return [(torch.zeros(1, tokens, 2), torch.zeros(1, tokens, 2))]


def test_the_oldest_beginnings_are_forgotten_first():
    cache = PrefixCache(3 * 20 * 2 * 2 * 4)
    keys = [np.arange(20) + 100 * number for number in range(4)]
    for key in keys[:3]:
        cache.put(key, part(20))
    assert cache.find(np.append(keys[0], 7))[0] == 20
    cache.put(keys[3], part(20))
    assert [cache.find(np.append(key, 7))[0] for key in keys] == [20, 0, 20, 20]
    assert cache.bytes == 3 * 20 * 2 * 2 * 4
    cache.put(np.arange(1000), part(1000))
    assert cache.bytes == 3 * 20 * 2 * 2 * 4


def test_a_longer_beginning_takes_the_place_of_a_shorter_one():
    cache = PrefixCache(10**6)
    cache.put(np.arange(20), part(20))
    cache.put(np.arange(30), part(30))
    assert cache.bytes == 30 * 2 * 2 * 4
    size, found = cache.find(np.arange(25))
    assert size == 24  # one token is left to be read
    assert found[0][0].shape[1] == 24
    cache.check("other weights")
    assert cache.find(np.arange(25)) == (0, [])
