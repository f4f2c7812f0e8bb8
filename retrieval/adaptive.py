"""How many pieces of evidence are worth showing: none below a floor, and no more once support drops."""

from __future__ import annotations

from collections.abc import Sequence


def worth_keeping(supports: Sequence[float], *, floor: float, drop: float, most: int) -> list[int]:
    """Choose which of a ranked list to keep.

    Args:
        supports: how well each piece is supported, in [0, 1], in ranked order (which may differ from support's order).
        floor: pieces with less are never kept.
        drop: a piece is kept only if it has at least this share of the best support seen.
        most: the most pieces to keep.
    Returns:
        Positions in `supports`, in order; empty when nothing reaches the floor.
    """
    best = max(supports, default=0.0)
    if best < floor:
        return []
    return [place for place, support in enumerate(supports) if support >= max(floor, drop * best)][:most]
