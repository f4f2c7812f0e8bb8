"""Where two answers to a question differ: which tokens are each one's own, and which both have."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher
from functools import lru_cache

Own = tuple[tuple[bool, ...], tuple[bool, ...]]
"""For each token of the first and of the second answer, whether it is that answer's own."""

KEPT = 1 << 14
"""Pairs whose difference is remembered: a run meets each of them many times."""


@lru_cache(maxsize=KEPT)
def own_tokens(first: tuple[int, ...], second: tuple[int, ...]) -> Own:
    """Tell which tokens of two answers the other does not have in that place.

    Where one answer has a passage more, the token with which the other goes on at once is its own too: it stands for
    leaving the passage out. At the end of an answer that is the token that ends it.

    Args:
        first: tokens of one answer, with its end.
        second: tokens of the other.
    Returns:
        True for an answer's own tokens, False for those in common.
    """
    own = [False] * len(first), [False] * len(second)
    codes = SequenceMatcher(None, first, second, autojunk=False).get_opcodes()
    for place, (kind, *bounds) in enumerate(codes):
        if kind == "equal":
            continue
        same = codes[place + 1] if place + 1 < len(codes) else None
        room = same[2] - same[1] if same else 0
        ranges = _slid(first, second, bounds, room) if kind != "replace" else bounds
        for side, (start, end) in enumerate((ranges[:2], ranges[2:])):
            gone_on = max(end, start + 1) if kind != "replace" else end
            own[side][start:gone_on] = [True] * len(own[side][start:gone_on])
    return tuple(own[0]), tuple(own[1])


def _slid(first: Sequence[int], second: Sequence[int], bounds: Sequence[int], room: int) -> list[int]:
    """Move a passage that one answer has more to where the two really part.

    "A. C. B." has ". C" or "C ." more than "A. B."; only before "C" is there a choice between two tokens.

    Args:
        first: tokens of one answer.
        second: of the other.
        bounds: start and end of the passage in the first, then in the second; one of the two is empty.
        room: tokens in common behind it, over which it may move.
    Returns:
        The bounds, moved to the right as far as the texts stay the same.
    """
    start, end, other_start, other_end = bounds
    for _ in range(room):
        if first[start] != second[other_start]:
            break
        start, end, other_start, other_end = start + 1, end + 1, other_start + 1, other_end + 1
    return [start, end, other_start, other_end]
