"""Joining ranked lists into one, and keeping the joined list from saying one thing many times."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TypeVar

Item = TypeVar("Item", bound=Hashable)

FULL_MARKS: dict[str, float] = {"dense": 10.0, "image": 10.0, "cross": 10.0}
"""Of lists whose values are standard deviations above chance; the best of any other list has full marks."""


def reciprocal_rank_fusion(
    rankings: Mapping[str, Sequence[Item]], weights: Mapping[str, float], *, constant: float = 10.0
) -> dict[Item, float]:
    """Join rankings: each gives an item weight / (constant + rank), rank from 1.

    Args:
        rankings: name of the list → items, best first.
        weights: name of the list → its weight; a list without one is left out.
        constant: the smaller, the more the first places count.
    Returns:
        Item → score in (0, 1], 1 for what every list puts first; best first, equal scores in the order first met.
    Source: Cormack, Clarke, Büttcher. Reciprocal rank fusion outperforms Condorcet and individual rank learning
        methods. SIGIR 2009.
    """
    used = {name: items for name, items in rankings.items() if items and weights.get(name, 0.0) > 0}
    most = sum(weights[name] for name in used) / (constant + 1)
    scores: dict[Item, float] = {}
    for name, items in used.items():
        for rank, item in enumerate(items, start=1):
            scores[item] = scores.get(item, 0.0) + weights[name] / (constant + rank) / most
    return dict(sorted(scores.items(), key=lambda pair: -pair[1]))


def score_fusion(lists: Mapping[str, Mapping[Item, float]], weights: Mapping[str, float]) -> dict[Item, float]:
    """Join lists by their values: a weighted sum, each list divided by what is full marks for it.

    An item that a list does not hold gets that list's lowest value: it was cut off there, not compared and found bad.

    Args:
        lists: name of the list → item → value, at least 0; best first.
        weights: name of the list → its weight; a list without one is left out.
    Returns:
        Item → score in [0, 1]; best first, equal scores in the order first met.
    Source: Bruch, Gai, Ingber. An analysis of fusion functions for hybrid retrieval. ACM TOIS 2023.
    """
    used = {name: items for name, items in lists.items() if items and weights.get(name, 0.0) > 0}
    total = sum(weights[name] for name in used)
    scores: dict[Item, float] = {item: 0.0 for items in used.values() for item in items}
    for name, items in used.items():
        full = max(max(items.values()), FULL_MARKS.get(name, 0.0), 1e-9)
        least = max(0.0, min(items.values())) if name in FULL_MARKS else 0.0
        for item in scores:
            scores[item] += weights[name] / total * max(0.0, items.get(item, least)) / full
    return dict(sorted(scores.items(), key=lambda pair: -pair[1]))


def diversify(
    scores: Mapping[Item, float], similarity: Callable[[Item, Item], float], count: int, *, diversity: float = 0.3
) -> list[Item]:
    """Choose items one by one, each good and unlike those chosen before (maximal marginal relevance).

    Args:
        scores: item → relevance.
        similarity: of two items, in [0, 1].
        count: how many to choose.
        diversity: 0 looks at relevance alone, 1 at unlikeness alone.
    Returns:
        At most `count` items, the most relevant first.
    Source: Carbonell, Goldstein. The use of MMR, diversity-based reranking. SIGIR 1998.
    """
    left = sorted(scores, key=lambda item: -scores[item])
    chosen: list[Item] = []
    while left and len(chosen) < count:
        best = max(
            left,
            key=lambda item: (
                (1 - diversity) * scores[item]
                - diversity * max((similarity(item, other) for other in chosen), default=0.0)
            ),
        )
        chosen.append(best)
        left.remove(best)
    return chosen


def overlap(one: set[str], other: set[str]) -> float:
    """Return the share of words that two sets have in common, in [0, 1]."""
    return len(one & other) / max(1, len(one | other))
