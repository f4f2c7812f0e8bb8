"""Builders on top of example files: stages, rationales, prerequisites, confusing pairs."""

from __future__ import annotations

import random
import re

import numpy as np
import pytest
from PIL import Image

from assistant.errors import DataError
from data_recipes.build import build_data
from data_recipes.curriculum import difficulty
from data_recipes.phantom import make_phantom
from data_recipes.phantom_pairs import FACTS, make_twin
from data_recipes.phantom_text import report_findings
from data_recipes.prerequisites import is_needed, topics
from data_recipes.rationales import REQUESTS, reading, with_rationale
from data_recipes.schema import Example, read_examples, write_examples
from retrieval.passage import Passage


@pytest.fixture(scope="module")
def phantoms(make_data, tmp_path_factory):
    out = tmp_path_factory.mktemp("data") / "phantoms"
    make_data("phantom", None, out, limit=30, seed=4)
    return out / "train.jsonl"


def example(answer: str = "Yes", **changes) -> Example:
    messages = [{"role": "user", "content": "Q?"}, {"role": "assistant", "content": answer}]
    values = {"task": "vqa", "answer_type": "open", "source": "own", "licence": "CC0-1.0"}
    return Example(**({"id": "a", "images": ("a.png",), "messages": messages} | values | changes))


def test_stages_are_equal_in_size_ordered_and_lose_nothing(phantoms, tmp_path):
    counts = build_data("curriculum", phantoms, tmp_path / "out", stages=4)
    assert list(counts) == [f"stage-{number}.jsonl" for number in (1, 2, 3, 4)]
    assert max(counts.values()) - min(counts.values()) <= 1
    stages = [list(read_examples(tmp_path / "out" / name)) for name in counts]
    assert sorted(one.id for stage in stages for one in stage) == sorted(one.id for one in read_examples(phantoms))
    reports = [sum(one.task == "report" for one in stage) for stage in stages]
    closed = [sum(one.answer_type == "closed" for one in stage) for stage in stages]
    assert reports[0] == reports[1] == 0 < reports[3]
    assert closed[0] > 0 == closed[3]


def test_what_is_longer_rarer_smaller_or_more_is_harder():
    known = {"yes": 90, "a cyst": 10}

    def score(*args, **changes):
        return difficulty(example(*args, **changes), known)

    assert score(answer_type="closed") < score() < score("A cyst")
    small, large = ({"findings": [{"name": "mass", "size_mm": size}]} for size in (5, 40))
    assert score(truth=large) < score(truth=small)
    assert score() < score(images=("a.png", "b.png"))


def test_more_stages_than_examples_are_refused(phantoms, tmp_path):
    with pytest.raises(DataError, match=r"--stages is 9, but .* has 5 examples; use 1 to 5"):
        build_data("curriculum", phantoms, tmp_path / "out", limit=5, stages=9)


def test_steps_tell_just_what_the_truth_tells(phantoms):
    told = 0
    for one in read_examples(phantoms):
        if one.task == "caption" or len(one.images) > 1:
            continue
        found = with_rationale(one, "words", random.Random(0))
        assert found is not None
        thought, answer = found.messages[1]["content"].split("\nAnswer:")
        assert answer.strip() == one.messages[1]["content"]
        assert found.messages[0]["content"].endswith(REQUESTS["words"])
        want = {(item["name"], item["side"], item["zone"]) for item in one.truth["findings"]}
        seen = report_findings(thought.replace("The heart is larger than it should be", "Enlarged heart"))
        assert seen == want
        told += 1
    assert told > 100


def test_the_form_with_tags_is_the_one_that_the_reward_checks(phantoms):
    from training.rewards import think_format

    one = next(one for one in read_examples(phantoms) if one.task == "vqa")
    found = with_rationale(one, "tags", random.Random(0))
    assert found is not None
    assert think_format(found.messages[1]["content"], found) == 1.0


def test_labels_give_steps_and_an_empty_truth_none():
    steps = reading({"modality": "Ultrasound", "region": "breast", "breast finding": "benign"}, random.Random(0))
    assert steps is not None
    assert re.fullmatch(r"(This is|I see) an ultrasound image of the breast\.", steps[0])
    assert steps[1:] == [
        "There is a breast lesion with benign features.",
        "It could be normal or malignant instead; the appearance does not fit that.",
    ]
    assert reading({"modality": "CT"}, random.Random(0)) is None


def test_files_that_tell_no_truth_are_refused(tmp_path):
    write_examples(tmp_path / "a.jsonl", [example()])
    with pytest.raises(DataError, match=r"no example of .*a\.jsonl has a truth that tells findings or a known label"):
        build_data("rationales", tmp_path / "a.jsonl", tmp_path / "out", form="tags")


def test_prerequisites_ask_for_what_the_examples_speak_of(phantoms, tmp_path):
    counts = build_data("prerequisites", phantoms, tmp_path / "out")
    made = list(read_examples(tmp_path / "out" / "prerequisites.jsonl"))
    assert counts == {"prerequisites.jsonl": len(made)}
    ids = {one.id for one in made}
    assert any("pneumothorax-chest-xray" in one for one in ids)
    assert not any("dermoscopy" in one or "appendicitis" in one for one in ids)
    assert all(not one.images and one.task == "chat" for one in made)


def test_a_passage_is_needed_by_modality_and_by_words():
    words, modalities = topics(iter([example("A large pneumothorax", modality="X-ray")]))

    def passage(**changes):
        values = {"id": "a", "kind": "passage", "title": "T", "text": "x", "source": "s", "licence": "l"}
        return Passage(**(values | changes))

    assert is_needed(passage(modality="X-ray", finding="pneumothorax"), words, modalities)
    assert is_needed(passage(modality="X-ray", finding="modality"), words, modalities)
    assert is_needed(passage(finding="collapse", keywords=("pneumothorax",)), words, modalities)
    assert not is_needed(passage(modality="CT", finding="pneumothorax"), words, modalities)
    assert not is_needed(passage(modality="X-ray", finding="nodule"), words, modalities)


def test_a_corpus_on_something_else_is_refused(tmp_path):
    write_examples(tmp_path / "a.jsonl", [example("A toe", modality="X-ray")])
    (tmp_path / "c.jsonl").write_text(
        '{"id": "x", "title": "Moon", "text": "Far.", "source": "s", "licence": "l"}', "utf-8"
    )
    with pytest.raises(DataError, match=r"none of 1 passages is on a finding or modality of .*a\.jsonl"):
        build_data("prerequisites", tmp_path / "a.jsonl", tmp_path / "out", corpus=[str(tmp_path / "c.jsonl")])


def test_pairs_differ_in_one_fact_and_share_the_question(tmp_path):
    build_data("phantom_pairs", None, tmp_path / "out", limit=24, seed=3)
    rows = list(read_examples(tmp_path / "out" / "test.jsonl"))
    assert len(rows) == 24
    for one, other in zip(rows[::2], rows[1::2], strict=True):
        assert one.truth["pair"] == other.truth["pair"]
        assert one.messages[0] == other.messages[0]
        assert sorted(one.choices) == sorted({one.messages[1]["content"], other.messages[1]["content"]})
        assert {key: value for key, value in one.truth.items() if key != "findings"} == {
            key: value for key, value in other.truth.items() if key != "findings"
        }
        shown = [np.asarray(Image.open(row.image_paths(tmp_path / "out")[0]), int) for row in (one, other)]
        changed = np.abs(shown[0] - shown[1]) > 8
        assert 0 < changed.mean() < 0.35, one.truth["fact"]
    assert {row.truth["fact"] for row in rows} == set(FACTS)


@pytest.mark.parametrize("fact", FACTS)
def test_a_twin_answers_its_question_otherwise(fact):
    made = [make_twin(make_phantom(1, index, size=64), fact, random.Random(index)) for index in range(40)]
    twins = [one for one in made if one is not None]
    assert len(twins) >= 3
    assert all(one.answers[0] != one.answers[1] for one in twins)


def test_seeds_that_belong_to_the_test_are_refused(tmp_path):
    with pytest.raises(DataError, match="--seed is 1000000; phantoms take 0 to 999999"):
        build_data("phantom_pairs", None, tmp_path / "out", seed=1_000_000)
