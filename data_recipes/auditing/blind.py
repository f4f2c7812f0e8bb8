"""How much of a held-out split can be answered without its pictures.

The baseline reads the training questions alone. For a held-out question it looks up the training questions nearest in
words (BM25, the `bm25s` library) and lets their answers vote. What it gets right, a model can get right blindfold.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from data_recipes.auditing.tally import Asked

NEIGHBOURS = 10
DRAWS = 1000
_PRIOR_WEIGHT = 0.01
_PRIOR_ANSWERS = 50
MOST_ASKED = 5000
"""Most held-out questions of one kind that are put to the baseline: an interval of ±1.4 points."""
_SHARPNESS = 4.0


@dataclass(frozen=True)
class Score:
    """A share of questions with its 95 % interval, from a bootstrap that draws patients or pictures whole."""

    value: float
    low: float
    high: float
    n: int
    """Questions."""

    def __str__(self) -> str:
        return f"{self.value:.1%} ({self.low:.1%} to {self.high:.1%}, n = {self.n})"


@dataclass(frozen=True)
class Blind:
    """What the blind baseline reached on one split."""

    split: str
    """The held-out split."""
    scores: dict[str, dict[str, Score]]
    """Answer type to "blind" (nearest questions vote), "commonest" (always the commonest training answer; of choices
    the commonest place) and, for open answers, "recall" (share of the true answer's words, as LLaVA-Med counts)."""

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        scores = {kind: {name: asdict(score) for name, score in found.items()} for kind, found in self.scores.items()}
        return {"split": self.split, "scores": scores}


def blind_baseline(train: Sequence[Asked], held_out: Sequence[Asked], split: str) -> Blind:
    """Answer held-out questions from the training questions alone.

    Args:
        train: what to learn from.
        held_out: what to answer.
        split: name of the held-out split.
    Returns:
        Scores for each answer type that both have.
    """
    scores: dict[str, dict[str, Score]] = {}
    for kind in ("closed", "choice", "open"):
        known = [one for one in train if one.answer_type == kind]
        asked = [one for one in held_out if one.answer_type == kind][:MOST_ASKED]
        if not known or not asked:
            continue
        groups = [one.group for one in asked]
        answers = blind_answers(known, asked)
        hits = [float(given == one.answer) for given, one in zip(answers, asked, strict=True)]
        found = {"blind": _score(hits, groups), "commonest": _score(_commonest(known, asked), groups)}
        if kind == "open":
            recall = [_recall(given, one.answer) for given, one in zip(answers, asked, strict=True)]
            found["recall"] = _score(recall, groups)
        scores[kind] = found
    return Blind(split, scores)


def blind_answers(known: Sequence[Asked], asked: Sequence[Asked]) -> list[str]:
    """Answer questions by the vote of the nearest known ones.

    Args:
        known: questions with their answers.
        asked: only question and choices are read.
    Returns:
        One normalised answer a question.
    """
    votes: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for one in known:
        votes[one.question][one.answer] += 1
    texts = list(votes)
    prior = Counter(one.answer for one in known).most_common(_PRIOR_ANSWERS)
    nearest = _nearest(texts, list(dict.fromkeys(one.question for one in asked)))
    weights: dict[str, Counter[str]] = {}
    for question, hits in nearest.items():
        sums: Counter[str] = Counter()
        for place, weight in hits:
            total = votes[texts[place]].total()
            for answer, count in votes[texts[place]].items():
                sums[answer] += weight * count / total  # type: ignore[assignment]
        for answer, count in prior:
            sums[answer] += _PRIOR_WEIGHT * count / len(known)  # type: ignore[assignment]
        weights[question] = sums
    answers = []
    for one in asked:
        found = weights[one.question]
        options = [choice for choice in one.choices if found[choice] > 0] or list(one.choices)
        answers.append(max(options, key=found.__getitem__) if options else max(found, key=found.__getitem__))
    return answers


def _nearest(texts: Sequence[str], questions: Sequence[str]) -> dict[str, list[tuple[int, float]]]:
    """Return for each question the nearest texts, as places with weights that fall off with the score."""
    import bm25s

    logging.getLogger("bm25s").setLevel(logging.WARNING)  # it sets itself to DEBUG on import
    words = {word: number for number, word in enumerate(sorted({word for text in texts for word in text.split()}))}
    if not words:
        return {question: [] for question in questions}
    index = bm25s.BM25(method="lucene", backend="numpy")
    index.index(([[words[word] for word in text.split()] for text in texts], words), show_progress=False)
    count = min(NEIGHBOURS, len(texts))
    exact = {text: place for place, text in enumerate(texts)}
    result: dict[str, list[tuple[int, float]]] = {}
    for question in questions:
        ids = [words[word] for word in dict.fromkeys(question.split()) if word in words]
        if question in exact:
            # Words alone do not tell order: the same question weighs more than all its neighbours.
            result[question] = [(exact[question], 100.0)]
        else:
            result[question] = []
        if ids:
            places, scores = index.retrieve([ids], k=count, show_progress=False)
            top = max(float(scores[0][0]), 1e-9)
            result[question] += [
                (int(place), (float(score) / top) ** _SHARPNESS)
                for place, score in zip(places[0], scores[0], strict=True)
            ]
    return result


def _commonest(known: Sequence[Asked], asked: Sequence[Asked]) -> list[float]:
    """Score the answer that is commonest in training, whatever the question; of choices, the commonest place."""
    commonest = Counter(one.answer for one in known).most_common(1)[0][0]
    places = Counter(one.choices.index(one.answer) for one in known if one.answer in one.choices)
    place = places.most_common(1)[0][0] if places else 0
    hits = []
    for one in asked:
        if one.answer_type == "choice" and one.choices:
            guess = one.choices[min(place, len(one.choices) - 1)]
        else:
            guess = commonest
        hits.append(float(guess == one.answer))
    return hits


def _recall(given: str, truth: str) -> float:
    words = set(truth.split())
    return len(words & set(given.split())) / len(words) if words else 0.0


def _score(hits: Sequence[float], groups: Sequence[str]) -> Score:
    """Mean with a 95 % percentile interval; patients or pictures are drawn whole (cluster bootstrap)."""
    import numpy as np

    sums: defaultdict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for hit, group in zip(hits, groups, strict=True):
        sums[group][0] += hit
        sums[group][1] += 1
    table = np.array(list(sums.values()))
    rng = np.random.default_rng(0)
    means = []
    for _ in range(DRAWS):
        drawn = table[rng.integers(len(table), size=len(table))].sum(0)
        means.append(drawn[0] / drawn[1])
    low, high = np.quantile(means, (0.025, 0.975))
    return Score(sum(hits) / len(hits), float(low), float(high), len(hits))


def verdicts(blind: Sequence[Blind], margin: float = 0.1) -> list[str]:
    """Say where questions alone give much away.

    Args:
        blind: what the baseline reached.
        margin: how far above the commonest answer is worth a notice.
    Returns:
        One sentence each.
    """
    told = []
    for one in blind:
        found: Mapping[str, Mapping[str, Score]] = one.scores
        for kind, scores in found.items():
            gain = scores["blind"].low - scores["commonest"].value
            if kind != "open" and gain > margin:
                told.append(
                    f"{one.split}: {scores['blind'].value:.0%} of the {kind} questions are answered without the "
                    f"picture ({scores['commonest'].value:.0%} by the commonest answer); a model must do better than "
                    "that to have looked."
                )
    return told
