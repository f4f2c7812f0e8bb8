"""Which evidence bears which sentence of an answer or report, and how well: `Ground`.

The score of a sentence is that of the best sentence of the evidence: the share of its words that stand there (kin of
a word count in part), weighed by nearness of meaning, and nearly nothing where one of the two denies what the other
affirms. With an entailment model its word is taken in as well. It measures support by the text that was found, not
truth: what an image shows need not stand in any text.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from assistant.evidence import Evidence
from assistant.polarity import negated_words
from assistant.review import cited, without_citations
from assistant.words import are_kin, content_words, sentences, tokens

Embed = Callable[[list[str]], np.ndarray]

SUPPORTED = 0.6
"""Score from which a sentence counts as supported."""
_KIN = 0.8
_TITLE = 0.8
_DENIED = 0.2
_NEAR, _NEAREST = 0.3, 0.9
_FAR_WEIGHT = 0.8


class Verdict(NamedTuple):
    """What an entailment model says of a sentence, given a piece of evidence; both in [0, 1]."""

    entailed: float
    contradicted: float


Judge = Callable[[Sequence[tuple[str, str]]], list[Verdict]]
"""(evidence, sentence) pairs → verdicts."""


@dataclass(frozen=True)
class Ground:
    """One sentence, and what it stands on."""

    sentence: str
    """Without its citations."""
    evidence: tuple[int, ...]
    """Numbers, from 1, of the evidence that supports it, the best first."""
    score: float
    """Support by the best piece, in [0, 1]."""
    cited: tuple[int, ...] = ()
    """Numbers that the sentence itself cites."""

    @property
    def supported(self) -> bool:
        """Whether any evidence supports it."""
        return bool(self.evidence)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "sentence": self.sentence,
            "supported": self.supported,
            "evidence": list(self.evidence),
            "score": self.score,
            "cited": list(self.cited),
        }


def ground(
    text: str, evidence: Sequence[Evidence], *, embed: Embed | None = None, judge: Judge | None = None
) -> tuple[Ground, ...]:
    """Hold every sentence of a text against the evidence.

    Args:
        text: an answer or a section, with its citations.
        evidence: in the order of its numbers.
        embed: texts to unit vectors (N, E); without it words alone count.
        judge: an entailment model; without it words, meaning and polarity decide.
    Returns:
        One ground a sentence that says something, in order.
    """
    found: list[Ground] = []
    # A stop before the citation would part the two: "It is there." and "[1]".
    for sentence in sentences(text):
        said = without_citations(sentence).strip()
        if not content_words(said):
            if found and cited(sentence):
                found[-1] = _with_citations(found[-1], cited(sentence))
            continue
        scores = _scores(said, evidence, embed, judge)
        order = sorted(range(len(scores)), key=lambda place: -scores[place])
        bearing = tuple(place + 1 for place in order if scores[place] >= SUPPORTED)
        found.append(Ground(said, bearing, round(max(scores, default=0.0), 3), tuple(dict.fromkeys(cited(sentence)))))
    return tuple(found)


def _with_citations(one: Ground, numbers: Sequence[int]) -> Ground:
    return Ground(one.sentence, one.evidence, one.score, tuple(dict.fromkeys([*one.cited, *numbers])))


def _scores(said: str, evidence: Sequence[Evidence], embed: Embed | None, judge: Judge | None) -> list[float]:
    """Return the support of one sentence by each piece."""
    pool = [(place, sentence) for place, item in enumerate(evidence) for sentence in sentences(item.text)]
    if not pool:
        return [0.0] * len(evidence)
    held = [_words_held(said, sentence, evidence[place].title) for place, sentence in pool]
    # Meaning only weighs what words have found: the rest could not reach the threshold.
    near_by = [row for row, value in enumerate(held) if value >= SUPPORTED]
    pool, held = [pool[row] for row in near_by], [held[row] for row in near_by]
    near = _nearness(said, [sentence for _, sentence in pool], embed)
    best = [0.0] * len(evidence)
    for (place, sentence), value, closeness in zip(pool, held, near, strict=True):
        value *= _FAR_WEIGHT + (1 - _FAR_WEIGHT) * closeness
        best[place] = max(best[place], value * (_DENIED if denies(said, sentence) else 1.0))
    if judge is None:
        return best
    verdicts = judge([(" ".join(item.text.split()), said) for item in evidence])
    return [
        math.sqrt(max(0.0, score * one.entailed)) * (1 - one.contradicted) if one.entailed < 0.5
        else max(score, one.entailed) * (1 - one.contradicted)
        for score, one in zip(best, verdicts, strict=True)
    ]  # fmt: skip


def _words_held(said: str, sentence: str, title: str) -> float:
    wanted, inside, above = content_words(said), set(tokens(sentence)), set(tokens(title))
    held = [max(_holds(word, inside), _TITLE * _holds(word, above)) for word in wanted]
    return sum(held) / len(held)


def _holds(word: str, some: set[str]) -> float:
    if word in some:
        return 1.0
    return _KIN if any(are_kin(word, other) for other in some) else 0.0


def denies(one: str, other: str) -> bool:
    """Tell whether one sentence denies something that the other affirms."""
    shared = set(content_words(one)) & set(content_words(other))
    return bool(shared & (negated_words(one) ^ negated_words(other)))


def _nearness(said: str, pool: list[str], embed: Embed | None) -> list[float]:
    if embed is None or not pool:
        return [1.0] * len(pool)
    vectors = embed([said, *pool])
    cosines = vectors[1:] @ vectors[0]
    return [float(value) for value in np.clip((cosines - _NEAR) / (_NEAREST - _NEAR), 0, 1)]


def unsupported(grounds: Sequence[Ground]) -> list[str]:
    """Return the sentences that no evidence supports."""
    return [one.sentence for one in grounds if not one.supported]
