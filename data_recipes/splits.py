"""Splits that keep all records of a patient, or other group, together."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterable, Mapping

from assistant.errors import DataError

SPLITS: tuple[str, ...] = ("train", "dev", "test", "smoke")
"""Known splits; "smoke" holds what is too little to measure on, to try things out."""

DEFAULT_SHARES: dict[str, float] = {"train": 0.8, "dev": 0.1, "test": 0.1}


def assign_split(group: str, seed: int = 0, shares: Mapping[str, float] | None = None) -> str:
    """Choose the split of a group: by a hash of its key, so the same for ever and in any order of records.

    Args:
        group: key of the patient or of another group that must not be parted.
        seed: another seed gives another splitting.
        shares: split to its share; they sum to 1. None takes 80, 10 and 10 % for train, dev and test.
    Returns:
        A key of `shares`.
    Raises:
        ValueError: a share is negative or they do not sum to 1.
    """
    shares = DEFAULT_SHARES if shares is None else shares
    if any(share < 0 for share in shares.values()) or abs(sum(shares.values()) - 1) > 1e-6:
        raise ValueError(f"shares are {dict(shares)}; they must be 0 or more and sum to 1.")
    point = hash_point(group, seed)
    reached = 0.0
    for name, share in shares.items():
        reached += share
        if point < reached:
            return name
    return next(reversed(list(shares)))


def group_key(
    *, patient: str | None = None, study: str | None = None, article: str | None = None, record: str | None = None
) -> str:
    """Return the key of the largest known group: the patient, else the study, else the article, else the record.

    Args:
        patient: all studies of one person; what must never be parted.
        study: one examination.
        article: one publication, whose figures show the same cases.
        record: the record's own id.
    Returns:
        A key for `assign_split`, different for equal names of different kinds.
    Raises:
        ValueError: none is given.
    """
    for kind, value in (("patient", patient), ("study", study), ("article", article), ("record", record)):
        if value is not None and value.strip():
            return f"{kind} {value.strip()}"
    raise ValueError("no patient, study, article or record is given; give one to split by.")


def read_shares(text: str) -> dict[str, float]:
    """Read shares from a command line.

    Args:
        text: "train=0.8,dev=0.1,test=0.1".
    Returns:
        Split to its share.
    Raises:
        DataError: a split is unknown, a share is no number, or they do not sum to 1.
    """
    shares: dict[str, float] = {}
    for part in text.split(","):
        name, _, value = (piece.strip() for piece in part.partition("="))
        try:
            shares[name] = float(value)
        except ValueError:
            raise DataError(f"--shares has {part!r}; write SPLIT=SHARE, such as train=0.8,dev=0.1,test=0.1.") from None
        if name not in SPLITS or not 0 <= shares[name] <= 1:
            raise DataError(f"--shares has {part!r}; use splits of {', '.join(SPLITS)} and shares from 0 to 1.")
    if abs(sum(shares.values()) - 1) > 1e-6:
        raise DataError(f"--shares is {text!r}, which sums to {sum(shares.values()):g}; make it 1.")
    return shares


def hash_point(key: str, seed: int = 0) -> float:
    """Return a number in [0, 1) that depends on key and seed alone."""
    digest = hashlib.sha256(f"{seed}\0{key}".encode()).digest()
    return int.from_bytes(digest[:7], "big") / 2**56


def spanning_groups(pairs: Iterable[tuple[Hashable, str]]) -> dict[Hashable, tuple[str, ...]]:
    """Find the groups that stand in more than one split.

    Args:
        pairs: (group, split) of each record.
    Returns:
        Group to its splits, in the order of the alphabet.
    """
    seen: dict[Hashable, set[str]] = {}
    for group, split in pairs:
        seen.setdefault(group, set()).add(split)
    return {group: tuple(sorted(splits)) for group, splits in seen.items() if len(splits) > 1}


def check_disjoint(pairs: Iterable[tuple[Hashable, str]]) -> None:
    """Refuse groups that stand in more than one split.

    Args:
        pairs: (group, split) of each record.
    Raises:
        DataError: names how many do, and the first.
    """
    spanning = spanning_groups(pairs)
    if spanning:
        group, splits = next(iter(spanning.items()))
        raise DataError(
            f"{len(spanning)} groups stand in more than one split; the first is {group!r} in {', '.join(splits)}. "
            "Give all records of a group the same split."
        )
