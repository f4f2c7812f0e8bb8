"""Ranked hits of one list, and getting enough of them when some are not allowed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Hits = dict[int, float]
"""Row of a record → how strongly one list puts it forward; best first."""


def best_hits(scores: np.ndarray, depth: int, allowed: Callable[[int], bool]) -> Hits:
    """Return the `depth` highest of (N,) scores above 0 among the rows that are allowed."""

    def find(count: int) -> Hits:
        count = min(count, len(scores))
        top = np.argpartition(-scores, count - 1)[:count] if count < len(scores) else np.arange(len(scores))
        top = top[scores[top] > 0]
        order = top[np.lexsort((top, -scores[top]))]
        return {int(row): float(scores[row]) for row in order}

    return widen(find, depth, len(scores), allowed)


def widen(find: Callable[[int], Hits], depth: int, total: int, allowed: Callable[[int], bool]) -> Hits:
    """Ask for more until `depth` allowed hits are found, or there are no more."""
    count = 2 * depth
    while True:
        raw = find(count)
        hits = {row: value for row, value in raw.items() if allowed(row)}
        if len(hits) >= depth or count >= total or len(hits) == len(raw):
            return dict(list(hits.items())[:depth])
        count *= 4


def ordered(hits: Hits) -> Hits:
    """Return the same hits, best first."""
    return dict(sorted(hits.items(), key=lambda pair: -pair[1]))
