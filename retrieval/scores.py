"""Figures of ranked lists and of shares, with what chance allows: recall, MRR, nDCG, Wilson's interval."""

from __future__ import annotations

import math
from collections.abc import Sequence


def wilson(right: int, count: int) -> tuple[float, float]:
    """Return the 95 % interval of a share (Wilson, 1927); (0, 1) for no trials."""
    if count == 0:
        return 0.0, 1.0
    z = 1.96
    share, base = right / count, 1 + z * z / count
    middle = (share + z * z / (2 * count)) / base
    half = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count)) / base
    return max(0.0, middle - half), min(1.0, middle + half)


def reciprocal_rank(relevant: Sequence[bool]) -> float:
    """Return 1 / rank of the first relevant item of a ranked list, 0 if there is none."""
    return next((1.0 / rank for rank, good in enumerate(relevant, start=1) if good), 0.0)


def ndcg(relevant: Sequence[bool], total: int, depth: int) -> float:
    """Return the discounted gain of a ranked list against that of the best possible one.

    Args:
        relevant: whether each item is, best first.
        total: how many relevant items there are to be found.
        depth: how many items count.
    Returns:
        In [0, 1]; 0 if there is nothing to find.
    Source: Järvelin, Kekäläinen. Cumulated gain-based evaluation of IR techniques. ACM TOIS 2002.
    """
    best = sum(1 / math.log2(rank + 1) for rank in range(1, min(total, depth) + 1))
    got = sum(1 / math.log2(rank + 1) for rank, good in enumerate(relevant[:depth], start=1) if good)
    return got / best if best else 0.0
