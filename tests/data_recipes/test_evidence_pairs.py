"""Better and worse answers with and without picture and evidence."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from assistant.errors import DataError
from data_recipes.build import build_data
from data_recipes.evidence_pairs import NO_IMAGE, REASONS, UNSEEN, WRONG_EVIDENCE, evidence_pairs
from data_recipes.instruct_cards import Cards, is_about
from data_recipes.phantom_findings import KINDS
from data_recipes.schema import Example, read_preferences, write_examples

EXAMPLE = Example(
    id="p1#finding",
    images=("images/p1.png",),
    messages=[{"role": "user", "content": "What is seen?"}, {"role": "assistant", "content": "Hemorrhage."}],
    task="vqa",
    answer_type="open",
    source="phantom",
    licence="CC0-1.0",
    truth={"kind": "head_ct", "modality": "CT", "findings": [{"name": "hemorrhage"}]},
    modality="CT",
    anatomy="head",
)


@pytest.fixture(scope="module")
def cards():
    return Cards.shipped()


def pairs_of(example, cards, seed=0):
    return {pair.reason: pair for pair in evidence_pairs(example, cards, random.Random(seed))}


def test_each_pair_has_the_fault_that_it_names(cards):
    rivals = {one.capitalize() + "." for one in KINDS["head_ct"].sizes} - {"Hemorrhage."}
    for seed in range(6):
        pairs = pairs_of(EXAMPLE, cards, seed)
        assert set(REASONS[1:]) <= set(pairs)
        assert {pair.chosen.split(" [")[0] for pair in pairs.values()} == {"Hemorrhage.", NO_IMAGE}
        rest = [pairs[name] for name in ("leaves the right evidence", "wrong answer")]
        assert {pair.rejected for pair in rest} <= rivals
        assert pairs["cites what is not there"].rejected == "Hemorrhage. [1]"
        assert "Evidence:" not in pairs["cites what is not there"].messages[0]["content"]


def test_the_number_that_is_cited_is_that_of_the_card_on_it(cards):
    titles = {card.title: card for card in cards.evidence}
    for seed in range(8):
        pairs = pairs_of(EXAMPLE, cards, seed)
        pair = pairs["leaves the right evidence"]
        number = int(pair.chosen[-2])
        line = pair.messages[0]["content"].splitlines()[number]
        card = next(card for title, card in titles.items() if line.startswith(f"[{number}] {title}"))
        assert is_about(card, "Hemorrhage", "head")
        if WRONG_EVIDENCE in pairs:
            assert "aemorrhage" not in pairs[WRONG_EVIDENCE].messages[0]["content"]


def test_without_the_picture_the_better_answer_says_so(cards):
    pair = pairs_of(EXAMPLE, cards)[UNSEEN]
    assert (pair.images, pair.chosen) == ((), NO_IMAGE)
    assert pair.rejected.startswith("Hemorrhage.")


def test_questions_without_rivals_or_pictures_give_nothing(cards):
    assert pairs_of(replace(EXAMPLE, images=()), cards) == {}
    assert pairs_of(replace(EXAMPLE, truth={}), cards) == {}


def test_the_recipe_writes_pairs_with_their_pictures_and_refuses_what_has_none(tmp_path):
    from PIL import Image

    (tmp_path / "data" / "images").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(tmp_path / "data" / "images" / "p1.png")
    write_examples(tmp_path / "data" / "train.jsonl", [EXAMPLE])
    counts = build_data("evidence_pairs", tmp_path / "data" / "train.jsonl", tmp_path / "out", limit=4)
    assert counts == {"preferences.jsonl": 4}
    assert (tmp_path / "out" / "images" / "p1.png").is_file()
    assert len(list(read_preferences(tmp_path / "out" / "preferences.jsonl"))) == 4
    write_examples(tmp_path / "data" / "train.jsonl", [replace(EXAMPLE, truth={})])
    with pytest.raises(DataError, match="has no question whose answer is a finding with rivals"):
        build_data("evidence_pairs", tmp_path / "data" / "train.jsonl", tmp_path / "none")
