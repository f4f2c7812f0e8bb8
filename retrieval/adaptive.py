"""How many pieces of evidence are worth showing: none below a floor, and no more once support drops."""

from __future__ import annotations

from collections.abc import Sequence


def worth_keeping(
    supports: Sequence[float],
    *,
    floor: float,
    drop: float,
    most: int,
    costs: Sequence[int] | None = None,
    budget: int | None = None,
) -> list[int]:
    """Choose which of a ranked list to keep.

    Args:
        supports: how well each piece is supported, in [0, 1], in ranked order (which may differ from support's order).
        floor: pieces with less are never kept.
        drop: a piece is kept only if it has at least this share of the best support seen.
        most: the most pieces to keep.
        costs: length of each piece, in the unit of the budget.
        budget: the most length that all kept pieces may have together; the first one is kept whatever its length,
            for a prompt shortens what does not fit. None sets no limit.
    Returns:
        Positions in `supports`, in order; empty when nothing reaches the floor.
    """
    best = max(supports, default=0.0)
    if best < floor:
        return []
    kept = [place for place, support in enumerate(supports) if support >= max(floor, drop * best)][:most]
    if budget is None or costs is None:
        return kept
    fitting: list[int] = []
    left = budget
    for place in kept:
        if not fitting or costs[place] <= left:
            fitting.append(place)
            left -= costs[place]
    return fitting
