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
from assistant.kinds import ABOUT_LIKENESS, Kind, kinds_of
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


_LISTS = re.compile(
    r"\bmay be\b.*\bor\b|\b(?:imitat|mimic|simulat|resembl)\w*|\bmistaken for\b|"
    r"\b(?:told|separated|distinguished) from\b"
)
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
    pool = [(place, sentence) for place, item in enumerate(evidence) for sentence in quotable(item.text)]
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
    return unlike(sorted(quotes, key=lambda quote: -quote.score), k)


def quotable(text: str) -> list[str]:
    """Return the sentences of a text that say something by themselves: no questions, no scraps."""
    return [part for part in sentences(text) if len(part.split()) >= _SHORTEST and not part.endswith("?")]


@dataclass(frozen=True)
class _Asking:
    """A question, taken apart once for all sentences."""

    weights: dict[str, float]
    """Content word → how much it counts: rare ones more, and most one that stands nowhere, so that its lack is felt."""
    subject: frozenset[str]
    """The content words outside a negation."""
    kinds: tuple[Kind, ...]
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
            kinds_of(query),
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
        if _LISTS.search(said) and not any(kind.name in ABOUT_LIKENESS for kind in self.kinds):
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


def unlike(quotes: Sequence[Quote], k: int) -> list[Quote]:
    """Return the first `k` quotes that do not say the same words again."""
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
