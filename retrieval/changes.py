"""Which documents of a corpus that is read again are new or changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from retrieval.staging import Stage

if TYPE_CHECKING:
    from retrieval.index import IndexFolder


def changed_rows(base: IndexFolder, stage: Stage) -> tuple[np.ndarray, np.ndarray]:
    """Compare documents by the digests of their records.

    Args:
        base: the old index.
        stage: what was read; a document of the old index has its old number.
    Returns:
        Rows of the old index that stay, and staged rows that are new or changed.
    """
    staged = stage.rows()
    if not len(staged):
        return np.arange(len(base)), np.zeros(0, dtype=np.int64)
    old, new = _sums(base.documents, base.rows["digest"]), _sums(staged["document"], staged["digest"])
    same = {number for number, value in new.items() if old.get(number) == value}
    replaced = np.array([number for number in new if number in old and number not in same], dtype=np.int64)
    kept = np.flatnonzero(~np.isin(base.documents, replaced))
    chosen = np.flatnonzero(~np.isin(staged["document"], np.array(sorted(same), dtype=np.int64)))
    return kept, chosen


def _sums(documents: np.ndarray, digests: np.ndarray) -> dict[int, int]:
    """Add up the digests of each document's records: the sum does not depend on their order."""
    numbers, places = np.unique(documents, return_inverse=True)
    totals = np.zeros(len(numbers), dtype=np.uint64)
    np.add.at(totals, places, digests.astype(np.uint64))
    return dict(zip(numbers.tolist(), totals.tolist(), strict=True))
