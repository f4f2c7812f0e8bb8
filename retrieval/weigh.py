"""What the lists of a search found becomes a choice: fuse by document, weigh each, keep what is worth keeping.

This is what every backend shares: an index folder names records by their row, a database by their key.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from assistant.evidence import Evidence
from assistant.polarity import negated_words
from assistant.words import content_words, tokens
from retrieval.adaptive import worth_keeping
from retrieval.form import form_fit, title_fit
from retrieval.fusion import diversify, overlap, reciprocal_rank_fusion, score_fusion
from retrieval.hits import Hits
from retrieval.passage import Passage
from retrieval.polarity import only_negated
from retrieval.settings import SearchSettings

_CROSS = 0.25
"""Weight of the list of pictures near the query's words, beside a lexical weight of 1."""

Item = TypeVar("Item", bound=Hashable)
Modalities = Mapping[str, float]
"""Modality → probability that the picture is of it; empty if nothing is known."""


@dataclass(frozen=True)
class Found:
    """What the lists of one search put forward; records are named by whole numbers."""

    lists: dict[str, Hits]
    """"lexical", "dense", "image" and "cross" (pictures near the query's words), as far as searched; best first."""
    coverage: Callable[[int], float]
    """Share of the query's words that a record holds, in [0, 1]."""
    pictured: Hits
    """Records whose own picture is near the query's."""
    record: Callable[[int], Passage]
    document: Callable[[int], Hashable]
    """What names a record's document."""
    pictures_only: bool = False
    """Whether nothing but figures and cases is sought."""


@dataclass
class Candidate:
    """One document while it is weighed."""

    row: int
    passage: Passage
    """The chunk that fits best."""
    rank_score: float
    weight: float = 1.0
    """What its joined score was multiplied with: the picture's modality, names and polarity."""
    words: float = 0.0
    dense: float = 0.0
    image: float = 0.0
    same_image: bool = False
    cross: float = 0.0
    """Nearness of the query's words to its picture; counted only where nothing but pictures is sought."""

    def support(self, *, asked: bool) -> float:
        """Combine: pictures alone support a document only if no words were asked, or if it has a picture itself."""
        text = 1 - (1 - self.words) * (1 - self.dense) * (1 - self.cross)
        return max(text, self.image) if self.same_image or not asked else text


def fit_of(passage: Passage, kinds: Modalities) -> float:
    """Return the probability that a record is about the picture's modality; 1 if nothing speaks against it."""
    return 1.0 if passage.modality is None or not kinds else kinds.get(passage.modality, 0.0)


def weigh(query: str, found: Found, settings: SearchSettings, kinds: Modalities) -> list[Candidate]:
    """Fuse the lists by document and weigh each document.

    Args:
        query: the words asked; may be empty.
        found: the lists.
        settings: weights and factors.
        kinds: what the picture may be of.
    Returns:
        Best first, at most `settings.weighed`.
    """
    rows: dict[Hashable, list[int]] = {}
    for row in dict.fromkeys(row for hits in found.lists.values() for row in hits):
        rows.setdefault(found.document(row), []).append(row)
    by_document = {name: _best_per_document(hits, found.document) for name, hits in found.lists.items()}
    fused = _fuse(by_document, settings)
    text_lists = {name: hits for name, hits in found.lists.items() if name not in ("image", "cross")}
    chunk_scores = _fuse(text_lists, settings)
    asked = set(content_words(query)) - negated_words(query)
    weighed = []
    for document, score in list(fused.items())[: settings.weighed]:
        best = max(rows[document], key=lambda row: (chunk_scores.get(row, 0.0), -row))
        passage = found.record(best)
        denied = only_negated(passage, asked) if asked and settings.polarity else set()
        left = 1 - len(denied) / len(asked) * (0.5 if passage.kind == "passage" else 1.0) if denied else 1.0
        fit = settings.other_modality + (1 - settings.other_modality) * fit_of(passage, kinds)
        fit *= 1.0 if _is_named(passage, asked) else settings.not_named
        wording = _wording(query, passage, settings)
        dense = _share(found.lists.get("dense", {}), rows[document], settings) * min(1, settings.weights["dense"])
        weighed.append(
            Candidate(
                best,
                passage,
                (score + wording) * fit * left,
                weight=fit * left,
                words=max(found.coverage(row) for row in rows[document]) * left,
                dense=dense * left,
                image=_share(found.lists.get("image", {}), rows[document], settings),
                same_image=any(row in found.pictured for row in rows[document]),
                cross=_share(found.lists.get("cross", {}), rows[document], settings) if found.pictures_only else 0.0,
            )
        )
    return sorted(weighed, key=lambda candidate: -candidate.rank_score)


def _best_per_document(hits: Hits, document: Callable[[int], Hashable]) -> dict[Hashable, float]:
    best: dict[Hashable, float] = {}
    for row, value in hits.items():
        name = document(row)
        best[name] = max(value, best.get(name, value))
    return dict(sorted(best.items(), key=lambda pair: -pair[1]))


def _fuse(lists: Mapping[str, Mapping[Item, float]], settings: SearchSettings) -> dict[Item, float]:
    weights = {"cross": _CROSS, **settings.weights}
    if settings.fusion == "score":
        return score_fusion(lists, weights)
    rankings = {name: list(hits) for name, hits in lists.items()}
    return reciprocal_rank_fusion(rankings, weights, constant=settings.rank_constant)


def _share(hits: Hits, rows: Iterable[int], settings: SearchSettings) -> float:
    """Standard deviations above chance → [0, 1]."""
    nearest = max((hits[row] for row in rows if row in hits), default=0.0)
    return min(1.0, max(0.0, (nearest - settings.chance) / (settings.certain - settings.chance)))


def choose(weighed: list[Candidate], k: int, settings: SearchSettings, *, asked: bool) -> list[Candidate]:
    """Apply floor, drop and diversity.

    Args:
        weighed: from `weigh`.
        k: the most to keep.
        settings: floor, drop and diversity.
        asked: whether the query had words.
    Returns:
        At most `k`, best first.
    """
    supports = [candidate.support(asked=asked) for candidate in weighed]
    most = k if settings.diversity <= 0 else 4 * k
    kept = [
        weighed[place]
        for place in worth_keeping(
            supports,
            floor=settings.floor,
            drop=settings.drop,
            most=most,
            costs=[len(candidate.passage.text.split()) for candidate in weighed],
            budget=settings.budget_words,
        )
    ]
    if settings.diversity > 0:
        scores = {place: candidate.rank_score for place, candidate in enumerate(kept)}
        sets = [set(tokens(candidate.passage.text)) for candidate in kept]
        order = diversify(scores, lambda a, b: overlap(sets[a], sets[b]), k, diversity=settings.diversity)
        kept = [kept[place] for place in order]
    return kept


def _wording(query: str, passage: Passage, settings: SearchSettings) -> float:
    """Return what the form of a passage and the fit of its title add to its score."""
    form = settings.form * form_fit(query, passage.text) if settings.form else 0.0
    return form + (settings.title * title_fit(query, passage.title) if settings.title else 0.0)


def _is_named(passage: Passage, asked: set[str]) -> bool:
    if passage.finding is None:
        return False
    return any(words and words <= asked for words in map(set, map(content_words, (passage.finding, *passage.keywords))))


def as_evidence(passages: Sequence[Passage], score: float) -> Evidence:
    """Return a piece as the evidence that the assistant numbers and shows.

    Args:
        passages: the chunks of a document in order, or one chunk of it; at least one.
        score: its nearness.
    Returns:
        The evidence, under the first one's heading, with the headings of its parts and the names of what it is about.
    """
    first = passages[0]
    return Evidence(
        id=first.id,
        kind=first.kind,
        title=first.heading,
        text=" ".join(one.text for one in passages),
        source=first.source,
        licence=first.licence,
        score=round(score, 4),
        modality=first.modality,
        anatomy=first.anatomy,
        image=first.image,
        references=first.references,
        names=tuple(name for name in (first.finding, *first.keywords) if name),
        parts=tuple((one.section or "", one.text) for one in passages) if any(one.section for one in passages) else (),
    )
