"""Which sentence of the evidence answers a question: for answers that quote their source word for word.

No model is needed: a sentence is good if it and its title hold the question's words, if it has the form that this kind
of question asks for (a look, a cause, a number, …), and if it does not deny what is asked about. Where no sentence
comes near, nothing is returned, so that the assistant says so instead of quoting something beside the point.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from assistant.evidence import Evidence
from assistant.polarity import negated_words
from assistant.words import are_kin, content_words, plain, sentences, tokens

Embed = Callable[[list[str]], np.ndarray]

FLOOR = 0.5
"""Least share of the question's content words that a sentence and its title must hold."""
_TITLE = 0.8
_KIN = 0.8
_SHORTEST = 4
_LONG = 45
_SAME = 0.8
_RANK = 0.05
_NEAR = 0.1
_CUES = 2
_OPENING = 6


class Quote(NamedTuple):
    """One sentence of one piece of evidence."""

    evidence_index: int
    """Position in the evidence, from 0; its number in the prompt is one more."""
    sentence: str
    score: float
    """About 0.5 for a sentence that barely touches the question, 1 and more for one that answers it."""


@dataclass(frozen=True)
class _Kind:
    """A kind of question, and how a sentence that answers it is worded."""

    name: str
    asked: re.Pattern[str]
    answered: re.Pattern[str]


def _kind(name: str, asked: str, answered: str) -> _Kind:
    return _Kind(name, re.compile(asked), re.compile(answered))


_KINDS: tuple[_Kind, ...] = (
    _kind(
        "pitfall",
        r"\b(pitfalls?|mimics?|imitat\w+|mistak\w+|confus\w+|miss(?:ed)?|false|overlook\w*|wrong\w*|fool\w*)\b",
        r"\b(imitat\w+|mimic\w*|mistak\w+|confus\w+|resembl\w+|miss(?:ed)?|hid\w*|false|simulat\w+|pitfalls?|invisible)\b",
    ),
    _kind(
        "differential",
        r"\b(differential|distinguish\w*|differ\w*|tell .+ from|what else|other causes?|versus|vs)\b",
        r"\b(differential|other|rather|whereas|while|unlike|may be|include\w*|distinguish\w*|instead|told from)\b",
    ),
    _kind(
        "number",
        r"\b(how (?:many|much|large|big|long|wide|high|often|tall)|size|ratio|diameter|normal (?:value|range))\b",
        r"\d|\b(half|third|quarter|percent|two|three|four|five|ten|double|twice)\b",
    ),
    _kind(
        "place",
        r"^where\b|\b(location|located|which (?:side|lobe|part))\b",
        r"\b(in|at|between|under|above|below|along|near)\b",
    ),
    _kind(
        "cause",
        r"\b(why|causes?|caused|due to|leads? to|reasons?|results? from|aetiology|etiology)\b",
        r"\b(caus\w+|due to|because|result\w*|aris\w+|owing|leads?|from|after|by)\b",
    ),
    _kind(
        "treatment",
        r"\b(treat\w*|manag\w+|therap\w+|drain\w*|cure\w*)\b",
        r"\b(treat\w*|manag\w+|therap\w+|drain\w*|surg\w+|drugs?|antibiotics?)\b",
    ),
    _kind(
        "appearance",
        r"\b(looks?|appear\w*|seen|show\w*|signs?|features?|recogni[sz]e\w*|visible|bright|dark|shape|colou?r|tell)\b",
        r"\b(appears?|seen|shows?|looks?|visible|bright|dark|dense|density|white|black|grey|gray|opa\w+|lucen\w+|lines?|"
        r"shadow\w*|blunt\w*|signs?|margins?|shape\w*|hyper\w+|hypo\w+|an?echo\w*|round|oval|sharp|thin|thick)\b",
    ),
    _kind(
        "definition",
        r"^(?:what (?:is|are)|define)\b|\b(mean(?:s|ing)?|definition)\b",
        r"\b(?:is|are) (?:an?|the|air|fluid|blood|any|when|\w+ing)\b|\b(means?|refers? to|called|defined|known as)\b",
    ),
)
_LISTS = re.compile(
    r"\bmay be\b.*\bor\b|\b(?:imitat|mimic|simulat|resembl)\w*|\bmistaken for\b|"
    r"\b(?:told|separated|distinguished) from\b"
)
_ABOUT_LIKENESS = frozenset({"pitfall", "differential"})
_YES_NO = re.compile(r"^(?:is|are|was|were|do|does|did|can|could|has|have|may|might|should|will|would)\b")


def best_sentences(query: str, evidence: Sequence[Evidence], k: int = 1, *, embed: Embed | None = None) -> list[Quote]:
    """Choose the sentences that answer a question best.

    Args:
        query: the question.
        evidence: best first, as retrieval gave it.
        k: the most sentences to return.
        embed: texts to unit vectors (N, E); where given, nearness of meaning helps to choose among sentences.
    Returns:
        At most `k` quotes, best first; none if no sentence holds enough of what is asked.
    """
    words = content_words(query)
    pool = [(place, sentence) for place, item in enumerate(evidence) for sentence in _sentences(item)]
    if not words or not pool:
        return []
    asking = _Asking.of(query, [sentence for _, sentence in pool], [item.title for item in evidence])
    nearness = _nearness(query, [sentence for _, sentence in pool], embed)
    quotes = []
    for (place, sentence), near in zip(pool, nearness, strict=True):
        title, whole = asking.coverage(sentence, evidence[place].title)
        if whole >= FLOOR:
            score = 0.4 * title + 0.6 * whole + asking.form(sentence) + _NEAR * near - _RANK * place
            quotes.append(Quote(place, sentence, round(score, 4)))
    return _unlike(sorted(quotes, key=lambda quote: -quote.score), k)


def telling_sentences(query: str, subject: str, evidence: Sequence[Evidence], k: int = 1) -> list[Quote]:
    """Choose the sentences of evidence on a subject that are worded as a question asks, whatever its other words.

    Args:
        query: the question, such as "What are the pitfalls of the finding in this image?".
        subject: what it is about, such as "pleural effusion"; only evidence titled with all its words is read.
        evidence: best first.
        k: the most sentences to return.
    Returns:
        At most `k` quotes, best first; none if the question has no known form, or no sentence has it.
    """
    text = plain(query).strip()
    kinds = tuple(kind for kind in _KINDS if kind.asked.search(text))
    # "What are the pitfalls" opens like a definition and asks for none.
    kinds = tuple(kind for kind in kinds if kind.name in _ABOUT_LIKENESS) or kinds
    words = set(content_words(subject))
    quotes = []
    for place, item in enumerate(evidence):
        titled = set(tokens(item.title))
        if not words or not all(_holds(word, titled) for word in words):
            continue
        for order, sentence in enumerate(_sentences(item)):
            cues = sum(min(len(kind.answered.findall(plain(sentence))), _CUES) for kind in kinds)
            if cues:
                named = 0.1 if words & set(tokens(sentence)) else 0.0
                # Evidence counts first, then how plainly the sentence has the form; of equals the earlier one.
                score = 0.8 + 0.1 * cues + named - _RANK * 4 * place - 0.001 * order
                quotes.append(Quote(place, sentence, round(score, 4)))
    return _unlike(sorted(quotes, key=lambda quote: -quote.score), k)


def question_kinds(query: str) -> tuple[str, ...]:
    """Return what a question asks for: "appearance", "cause", "number", …; empty if it shows no known form."""
    text = plain(query).strip()
    return tuple(kind.name for kind in _KINDS if kind.asked.search(text))


def asks_form(word: str) -> bool:
    """Tell whether a word only says what form the answer should have, such as "pitfalls" or "causes"."""
    return any(kind.asked.search(word) for kind in _KINDS)


def _sentences(item: Evidence) -> list[str]:
    return [part for part in sentences(item.text) if len(part.split()) >= _SHORTEST and not part.endswith("?")]


@dataclass(frozen=True)
class _Asking:
    """A question, taken apart once for all sentences."""

    weights: dict[str, float]
    """Content word → how much it counts: rare ones more, and most one that stands nowhere, so that its lack is felt."""
    subject: frozenset[str]
    """The content words outside a negation."""
    kinds: tuple[_Kind, ...]
    is_yes_no: bool

    @classmethod
    def of(cls, query: str, pool: Sequence[str], titles: Sequence[str]) -> _Asking:
        words = content_words(query)
        text = plain(query).strip()
        held = [set(tokens(part)) for part in (*pool, *titles)]
        found = {word: sum(_holds(word, some) > 0 for some in held) for word in words}
        return cls(
            {word: math.log(1 + (len(held) + 1) / (count + 0.5)) for word, count in found.items()},
            frozenset(words) - negated_words(query),
            tuple(kind for kind in _KINDS if kind.asked.search(text)),
            bool(_YES_NO.match(text)),
        )

    def coverage(self, sentence: str, title: str) -> tuple[float, float]:
        """Return the share of the words that the title holds, and that title and sentence hold together."""
        inside, above = set(tokens(sentence)), set(tokens(title))
        total = sum(self.weights.values())
        in_title = {word: _holds(word, above) for word in self.weights}
        whole = sum(
            weight * max(_holds(word, inside), _TITLE * in_title[word]) for word, weight in self.weights.items()
        )
        return sum(weight * in_title[word] for word, weight in self.weights.items()) / total, whole / total

    def form(self, sentence: str) -> float:
        """Return how far the sentence is worded as this kind of question asks, about -0.5 to 0.5."""
        said = plain(sentence)
        score = 0.0
        if self.kinds:
            cues = sum(min(len(kind.answered.findall(said)), _CUES) for kind in self.kinds)
            score += 0.35 * cues / (_CUES * len(self.kinds))
        opening = set(tokens(" ".join(sentence.split()[:_OPENING])))
        if any(_holds(word, opening) for word in self.subject):
            score += 0.1
        if _LISTS.search(said) and not any(kind.name in ("differential", "pitfall") for kind in self.kinds):
            score -= 0.15
        denied = self.subject & set(tokens(sentence)) & negated_words(sentence)
        if denied and not self.is_yes_no:
            score -= 0.3 * len(denied) / len(self.subject)
        return score - (0.1 if len(sentence.split()) > _LONG else 0.0)


def _holds(word: str, some: set[str]) -> float:
    if word in some:
        return 1.0
    return _KIN if any(are_kin(word, other) for other in some) else 0.0


def _nearness(query: str, pool: list[str], embed: Embed | None) -> list[float]:
    """Cosine of each sentence with the question, stretched so that the pool spans 0 to 1."""
    if embed is None:
        return [0.0] * len(pool)
    vectors = embed([query, *pool])
    cosines = vectors[1:] @ vectors[0]
    span = float(np.ptp(cosines))
    return [float(value) for value in (cosines - cosines.min()) / span] if span > 1e-6 else [0.0] * len(pool)


def _unlike(quotes: Sequence[Quote], k: int) -> list[Quote]:
    """Take the first `k` that do not say the same words again."""
    kept: list[Quote] = []
    sets: list[set[str]] = []
    for quote in quotes:
        words = set(tokens(quote.sentence))
        if all(len(words & other) < _SAME * len(words | other) for other in sets):
            kept.append(quote)
            sets.append(words)
        if len(kept) == k:
            break
    return kept
