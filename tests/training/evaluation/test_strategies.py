"""Ways to ask, around a tiny random model: what is put to it, and what becomes of what it writes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from assistant.config import GenerationConfig
from assistant.conversation import Question, ReportRequest
from assistant.errors import ConfigError, DataError
from data_recipes.schema import read_examples
from training.evaluation.answers import Asker, Put
from training.evaluation.items import make_item
from training.evaluation.run import picture_loader, predict, read_data
from training.evaluation.settings import STRATEGIES, EvaluationSettings
from training.evaluation.shots import Shots, read_pool, with_examples
from training.evaluation.strategies import STEP_BY_STEP, conclusion, make_strategy, reordered

SHORT = GenerationConfig(max_new_tokens=6, report_max_new_tokens=8)


@pytest.fixture(scope="module")
def items(small_data):
    return [make_item(example, root) for root, example in read_data([small_data])][:6]


@pytest.fixture(scope="module")
def examples(small_examples, tmp_path_factory):
    """A training file of other patients."""
    from data_recipes.schema import write_examples

    root = tmp_path_factory.mktemp("train")
    write_examples(root / "train.jsonl", small_examples(root, count=4, seed=7))
    return root / "train.jsonl"


class Spy:
    """Passes requests on to the real asker and keeps what was put."""

    def __init__(self, asker):
        self.asker, self.seen = asker, []

    def ask(self, requests):
        self.seen.extend(requests)
        return self.asker.ask(requests)

    def __getattr__(self, name):
        return getattr(self.asker, name)


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_answers_every_question_among_its_options(name, tiny_model, items, examples):
    settings = EvaluationSettings(strategy=name, examples=examples, shots=1, samples=2)
    asks = make_strategy(Asker(tiny_model, SHORT), settings, items, picture_loader())
    rows = predict(asks, items, picture_loader())
    closed = [row for row in rows if row.item.answer_type == "closed"]
    assert len(rows) == len(items)
    assert all(row.reply.kind == "closed" for row in closed)
    assert all(0 <= row.reply.confidence <= 1 for row in rows)
    if name not in ("chain-of-thought", "self-consistency"):
        assert {row.reply.text for row in closed} <= {"Yes", "No"}


def test_zero_shot_is_the_model_itself(tiny_model, items):
    asker = Asker(tiny_model, SHORT)
    assert make_strategy(asker, EvaluationSettings(), items, picture_loader()) is asker


def test_reports_are_asked_for_as_they_are(tiny_model, items):
    spy = Spy(Asker(tiny_model, SHORT))
    picture = picture_loader()(items[0].images[0])
    request = ReportRequest((picture,))
    make_strategy(spy, EvaluationSettings(strategy="modular"), items, picture_loader()).ask([request])
    assert spy.seen == [request]


def test_examples_stand_before_the_question_and_the_most_like_it_last(tiny_model, items, examples):
    load = picture_loader()
    asker = Asker(tiny_model, SHORT)
    pool = read_pool(examples, items)
    shots = Shots(asker, pool, load, nearest=True, count=2)
    asked = next(item for item in pool if item.answer_type == "closed")
    chosen = shots.choose(asked.request([load(path) for path in asked.images]))
    assert chosen[-1].images == asked.images
    assert {one.answer_type for one in chosen} <= {"closed", "choice"}
    wide = Asker(tiny_model, replace(SHORT, max_new_tokens=1))
    question = Question("Is there a mass?", ())
    text = with_examples(wide, question, chosen[:1]).text
    assert text == f"Question: {chosen[0].question} Answer: {chosen[0].truth}\nQuestion: Is there a mass? Answer:"


def test_examples_by_chance_are_the_same_each_time_and_no_patient_is_asked_about(tiny_model, items, examples):
    pool = read_pool(examples, items)
    one, other = (
        Shots(Asker(tiny_model, SHORT), pool, picture_loader(), nearest=False, count=2).choose(Question("What is it?"))
        for _ in range(2)
    )
    assert one == other
    own = [make_item(example, examples.parent) for example in read_examples(examples)]
    with pytest.raises(DataError, match=r"train\.jsonl holds no question about a patient who is not asked about \(12"):
        read_pool(examples, own)


def test_as_many_examples_as_the_context_holds(tiny_model, items, examples):
    pool = read_pool(examples, items)
    put = with_examples(Asker(tiny_model, SHORT), Question("Is there a mass?", ()), pool * 40)
    assert 0 < put.text.count("Question:") < len(pool * 40)


@pytest.mark.parametrize(
    ("text", "options", "answer"),
    [
        ("It is bright. Answer: Yes.", ("Yes", "No"), "Yes"),
        ("The lesion is in the left lung. Final answer: left lung", (), "left lung"),
        ("There is no mass, so the answer is no", ("Yes", "No"), "No"),
        ("Glioma is likely", ("Meningioma", "Glioma"), "Glioma"),
        ("left lung", (), "left lung"),
        ("I cannot tell", ("Yes", "No"), "I cannot tell"),
        ("Answer:", (), "Answer:"),
        ("", ("Yes", "No"), ""),
    ],
)
def test_the_answer_is_read_out_of_the_thoughts(text, options, answer):
    assert conclusion(text, options) == answer


def test_a_chain_of_thought_is_written_freely(tiny_model, items):
    spy = Spy(Asker(tiny_model, SHORT))
    settings = EvaluationSettings(strategy="chain-of-thought")
    predict(make_strategy(spy, settings, items, picture_loader()), items[:3], picture_loader())
    assert all(isinstance(one, Put) and one.free and one.request.text.endswith(STEP_BY_STEP) for one in spy.seen)


def test_choices_are_exchanged_where_the_question_names_them():
    question = Question("How is it: normal, benign or malignant?")
    assert reordered(question, ("Malignant", "Normal", "Benign")).text == "How is it: malignant, normal or benign?"
    beside = Question("Which is it?", options=("Glioma", "Cyst"))
    assert reordered(beside, ("Cyst", "Glioma")).options == ("Cyst", "Glioma")


def test_shuffled_choices_are_weighed_together(tiny_model, items):
    spy = Spy(Asker(tiny_model, SHORT))
    choice = [item for item in items if item.answer_type == "choice"][:1]
    settings = EvaluationSettings(strategy="choice-shuffle", samples=3)
    (row,) = predict(make_strategy(spy, settings, choice, picture_loader()), choice, picture_loader())
    assert len({one.request.text for one in spy.seen}) == 3
    shares = dict(row.reply.shares)
    assert sum(shares.values()) == pytest.approx(1)
    assert row.reply.text == max(shares, key=shares.get)


def test_votes_are_counted(tiny_model, items):
    settings = EvaluationSettings(strategy="self-consistency", samples=3)
    asks = make_strategy(Asker(tiny_model, SHORT), settings, items, picture_loader())
    rows = predict(asks, items[:4], picture_loader())
    assert {round(3 * row.reply.confidence, 6) for row in rows if row.reply.text} <= {1, 2, 3}


def test_what_was_asked_decides_the_options_not_what_was_put(tiny_model, items):
    picture = picture_loader()(items[0].images[0])
    asked = Question("Is there a mass?", (picture,))
    put = Put(replace(asked, text="Question: Which? Answer: left or right\nIs there a mass?"), asked)
    (reply,) = Asker(tiny_model, SHORT).ask([put])
    assert [name for name, _ in reply.shares] == ["Yes", "No"]
    assert np.isclose(sum(share for _, share in reply.shares), 1)


def test_settings_refuse_what_cannot_be_all_at_once():
    with pytest.raises(ConfigError, match=r"limit is 0; use 1 or more\. strategy is 'magic'; use one of zero-shot, .*"):
        EvaluationSettings(limit=0, strategy="magic")
    with pytest.raises(ConfigError, match=r"few-shot-knn needs a data file of examples: --examples TRAIN\.jsonl"):
        EvaluationSettings(strategy="few-shot-knn")
    with pytest.raises(ConfigError, match=r"risk is 1; use a share above 0 and below 1"):
        EvaluationSettings(risk=1)
    with pytest.raises(ConfigError, match=r"temperature is 0; texts that vote are sampled"):
        EvaluationSettings(strategy="self-consistency", temperature=0)
