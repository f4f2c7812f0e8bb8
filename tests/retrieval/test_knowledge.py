"""Every knowledge card that ships has the fields, sections and lengths that its README promises."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from assistant.vocabulary import MODALITIES

FOLDER = Path(__file__).resolve().parents[2] / "retrieval" / "knowledge"
CARDS = sorted(path for path in FOLDER.glob("*.md") if path.name != "README.md")
FIELDS = {"id", "title", "modality", "anatomy", "finding", "synonyms", "licence", "references"}
SENTENCES = {"Appearance": (2, 5), "Pitfalls": (2, 3), "Differential": (1, 3), "Meaning": (1, 3)}
SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")
HEADING = re.compile(r"^## (.+)$", re.MULTILINE)
DANGLING = re.compile(r"(It|They|These|Those|Such|Here|There|This (?!assistant\b))\b")

each_card = pytest.mark.parametrize("card", CARDS, ids=lambda path: path.stem)


def _head(card: Path) -> dict[str, Any]:
    head = yaml.safe_load(card.read_text("utf-8").split("---\n", 2)[1])
    assert isinstance(head, dict)
    return head


def _parts(card: Path) -> dict[str, str]:
    """Return the summary (under "") and each section's text, in the order they are written."""
    body = card.read_text("utf-8").split("---\n", 2)[2]
    summary, *rest = HEADING.split(body)
    return {"": summary.strip(), **{name: text.strip() for name, text in zip(rest[::2], rest[1::2], strict=True)}}


def _sentences(text: str) -> list[str]:
    return SENTENCE_END.split(text)


def test_there_are_at_least_two_hundred_cards() -> None:
    assert len(CARDS) >= 200


@each_card
def test_head_has_the_fields_and_nothing_else(card: Path) -> None:
    head = _head(card)
    assert set(head) == FIELDS
    for name in FIELDS - {"synonyms", "references"}:
        assert isinstance(head[name], str), name
        assert head[name].strip(), name
    assert head["id"] == card.stem
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", head["id"])
    assert head["licence"] == "Apache-2.0"


@each_card
def test_modality_is_one_of_ours(card: Path) -> None:
    assert _head(card)["modality"] in (*MODALITIES, "any")


@each_card
def test_finding_and_synonyms_are_lower_case_texts(card: Path) -> None:
    head = _head(card)
    assert head["finding"] == head["finding"].lower()
    assert head["anatomy"] == head["anatomy"].lower()
    assert head["synonyms"]
    assert all(isinstance(word, str) and word == word.lower().strip() for word in head["synonyms"])
    assert max(Counter(head["synonyms"]).values()) == 1


@each_card
def test_references_are_given_with_a_year(card: Path) -> None:
    references = _head(card)["references"]
    assert references
    assert all(re.search(r", (19|20)\d\d\.$", reference) for reference in references)
    assert len(set(references)) == len(references)


@each_card
def test_sections_are_there_in_order_and_short(card: Path) -> None:
    parts = _parts(card)
    names = list(parts)
    assert names in (["", *list(SENTENCES)[:3]], ["", *SENTENCES])
    assert len(_sentences(parts[""])) == 1
    for name, (fewest, most) in SENTENCES.items():
        if name in parts:
            assert fewest <= len(_sentences(parts[name])) <= most, name
    assert 90 <= sum(len(text.split()) for text in parts.values()) <= 200


@each_card
def test_each_sentence_can_be_quoted_alone(card: Path) -> None:
    for text in _parts(card).values():
        for sentence in _sentences(text):
            assert sentence.endswith(".")
            assert not DANGLING.match(sentence), sentence
            assert len(sentence.split()) <= 45, sentence


def test_ids_and_titles_are_unique() -> None:
    heads = [_head(card) for card in CARDS]
    for name in ("id", "title"):
        assert max(Counter(head[name].casefold() for head in heads).values()) == 1


def test_no_sentence_stands_in_two_cards() -> None:
    found = Counter(sentence for card in CARDS for text in _parts(card).values() for sentence in set(_sentences(text)))
    assert not [sentence for sentence, times in found.items() if times > 1]


@pytest.mark.parametrize("modality", MODALITIES)
def test_every_modality_has_a_card_on_recognising_it(modality: str) -> None:
    assert [card for card in CARDS if _head(card)["finding"] == "modality" and _head(card)["modality"] == modality]


@pytest.mark.parametrize("modality", MODALITIES)
def test_every_modality_has_a_normal_card(modality: str) -> None:
    assert [card for card in CARDS if _head(card)["finding"] == "normal" and _head(card)["modality"] == modality]
