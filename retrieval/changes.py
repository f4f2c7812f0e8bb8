"""Which documents of a corpus that is read again are new or changed, and which are gone from it."""

from __future__ import annotations

import logging
import tempfile
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from assistant.errors import RetrievalError
from retrieval.dedup import Seen
from retrieval.staging import Source, Stage

if TYPE_CHECKING:
    from retrieval.index import IndexFolder

logger = logging.getLogger(__name__)

MOST_PRUNED = 0.5
"""Share of an index's documents beyond which an update does not believe that they are gone on purpose."""
_NAMED = 10


@dataclass(frozen=True)
class Prune:
    """What an update takes out of an index because its corpora no longer hold it."""

    sources: tuple[str, ...] = ()
    """Patterns of record sources that are looked at, such as "NHS*"; none means all."""
    most: float = MOST_PRUNED
    """Largest share of the documents that may go."""

    def gone(self, base: IndexFolder, read: np.ndarray) -> np.ndarray:
        """Return the rows of the index whose documents were not read; they are named in the log.

        Args:
            base: the index.
            read: (N,) numbers of the documents that were read.
        Returns:
            (M,) rows.
        Raises:
            RetrievalError: more would go than may, or nothing would stay.
        """
        rows = np.flatnonzero(~np.isin(base.documents, read))
        if self.sources:
            named = [any(fnmatchcase(base.record(int(row)).source, one) for one in self.sources) for row in rows]
            rows = rows[np.array(named, dtype=bool)]
        numbers, first = np.unique(base.documents[rows], return_index=True)
        gone, total = len(numbers), len(np.unique(base.documents))
        if gone > self.most * total or (gone == total and not len(read)):
            raise RetrievalError(
                f"{gone} of {total} documents are not in the corpora that were named, and no more than "
                f"{self.most:.0%} may go. Name every corpus that the index holds (it was built from "
                f"{', '.join(base.manifest.sources) or 'passages in memory'}), look at one source alone with "
                "--prune-source PATTERN, or raise --prune-most if that many are meant."
            )
        if gone:
            names = [base.record(int(rows[place])).document for place in first[:_NAMED]]
            tail = ", …" if gone > _NAMED else ""
            logger.info("%d documents are gone from the corpora: %s%s", gone, ", ".join(names), tail)
        return rows


@dataclass(frozen=True)
class Preview:
    """What an update would do."""

    added: int
    """Records that are new or changed."""
    removed: int
    """Records that would be taken out, those that are changed among them."""
    pruned: int
    """Documents that would go because the corpora no longer hold them."""


def memory_of(base: IndexFolder, path: Path | None, *, known: bool) -> Seen:
    """Return a memory at `path` of what an index holds; with `known`, ids that it has are faults."""
    memory = Seen(path, mend="give it another id, or take it in place of the old one with --update.")
    for row in range(len(base)):
        memory.know(base.record(row), int(base.documents[row]), known=known)
    return memory


def preview(base: IndexFolder, source: Source, prune: Prune | None = None) -> Preview:
    """Read corpora and compare them with an index; nothing is written but to a temporary folder.

    Args:
        base: the index.
        source: gives the pieces.
        prune: what may be taken out; None for nothing.
    Returns:
        What an update would do.
    Raises:
        RetrievalError: faults in the corpora, or too much would be pruned.
    """
    with tempfile.TemporaryDirectory() as folder:
        stage = Stage(Path(folder), {})
        stage.read(source, lambda path: memory_of(base, path, known=False))
        kept, chosen = changed_rows(base, stage, prune)
        gone = prune.gone(base, stage.rows()["document"]) if prune is not None else kept[:0]
        return Preview(len(chosen), len(base) - len(kept), len(np.unique(base.documents[gone])))


def changed_rows(base: IndexFolder, stage: Stage, prune: Prune | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Compare documents by the digests of their records.

    Args:
        base: the old index.
        stage: what was read; a document of the old index has its old number.
        prune: which documents that were not read are taken out; None for none.
    Returns:
        Rows of the old index that stay, and staged rows that are new or changed.
    Raises:
        RetrievalError: more would be pruned than may.
    """
    staged = stage.rows()
    gone = prune.gone(base, staged["document"]) if prune is not None else np.zeros(0, dtype=np.int64)
    if not len(staged):
        return np.setdiff1d(np.arange(len(base)), gone), np.zeros(0, dtype=np.int64)
    old, new = _sums(base.documents, base.rows["digest"]), _sums(staged["document"], staged["digest"])
    same = {number for number, value in new.items() if old.get(number) == value}
    replaced = np.array([number for number in new if number in old and number not in same], dtype=np.int64)
    kept = np.setdiff1d(np.flatnonzero(~np.isin(base.documents, replaced)), gone)
    chosen = np.flatnonzero(~np.isin(staged["document"], np.array(sorted(same), dtype=np.int64)))
    return kept, chosen


def _sums(documents: np.ndarray, digests: np.ndarray) -> dict[int, int]:
    """Add up the digests of each document's records: the sum does not depend on their order."""
    numbers, places = np.unique(documents, return_inverse=True)
    totals = np.zeros(len(numbers), dtype=np.uint64)
    np.add.at(totals, places, digests.astype(np.uint64))
    return dict(zip(numbers.tolist(), totals.tolist(), strict=True))
