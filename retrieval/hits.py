"""Ranked hits of one list."""

from __future__ import annotations

import numpy as np

Hits = dict[int, float]
"""Row of a record → how strongly one list puts it forward; best first."""


def best_hits(scores: np.ndarray, depth: int, allowed: np.ndarray | None = None) -> Hits:
    """Return the `depth` highest of (N,) scores above 0 among the rows that are allowed, (N,) bool; None allows all."""
    if allowed is not None:
        scores = np.where(allowed, scores, 0.0)
    count = min(depth, len(scores))
    top = np.argpartition(-scores, count - 1)[:count] if 0 < count < len(scores) else np.arange(len(scores))
    top = top[scores[top] > 0]
    order = top[np.lexsort((top, -scores[top]))]
    return {int(row): float(scores[row]) for row in order}


def best_per_row(rows: np.ndarray, values: np.ndarray) -> Hits:
    """Join (M,) hits that may name a row twice: each row's best value, best first."""
    hits: Hits = {}
    for row, value in zip(rows.tolist(), values.tolist(), strict=True):
        hits[row] = max(value, hits.get(row, value))
    return ordered(hits)


def ordered(hits: Hits) -> Hits:
    """Return the same hits, best first."""
    return dict(sorted(hits.items(), key=lambda pair: -pair[1]))
