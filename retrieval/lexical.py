"""The lexical index: BM25 (bm25s) over normalised words, kept as plain arrays and JSON; nothing is pickled."""

from __future__ import annotations

import logging
from bisect import bisect_left
from dataclasses import dataclass
from functools import cached_property
from itertools import islice, takewhile
from pathlib import Path
from typing import Any

import numpy as np

from assistant.words import KIN_PREFIX, are_kin, content_words, tokens
from retrieval.passage import Passage

FILES: tuple[str, ...] = (
    "lexical/data.csc.index.npy",
    "lexical/indices.csc.index.npy",
    "lexical/indptr.csc.index.npy",
    "lexical/vocab.index.json",
    "lexical/params.index.json",
)
_KIN = 0.7


@dataclass(frozen=True)
class LexicalHits:
    """What the lexical index says of one query. N is the number of records, in the order of the records file."""

    scores: np.ndarray
    """(N,) float32, BM25 times a factor that grows with coverage."""
    coverage: np.ndarray
    """(N,) float32 in [0, 1]: the share of the query's content words that a record holds, rare words counting more."""


def record_words(passage: Passage) -> list[str]:
    """Return the words under which a record is found; its title, finding and keywords count twice."""
    names = " . ".join(
        part
        for part in (passage.heading, passage.finding, passage.modality, passage.anatomy, *passage.keywords)
        if part
    )
    return tokens(names) * 2 + tokens(passage.text)


class LexicalIndex:
    """BM25 over the records of one index folder."""

    def __init__(self, bm25: Any, size: int) -> None:
        self._bm25 = bm25
        self._size = size

    @classmethod
    def load(cls, folder: Path, size: int, *, mmap: bool = False) -> LexicalIndex:
        """Load what `retrieval.lexical_build` wrote.

        Args:
            folder: the index folder.
            size: number of records, as the manifest says.
            mmap: leave the arrays on disk and read what a query needs.
        Returns:
            The index.
        """
        bm25 = _bm25s().BM25.load(folder / "lexical", mmap=mmap, allow_pickle=False, show_progress=False)
        return cls(bm25, size)

    def search(self, query: str) -> LexicalHits:
        """Score every record against a query.

        A record that holds only a kin of a word ("diabetic" for "diabetes") gets part of what the word itself gives.
        """
        scores = np.zeros(self._size, dtype=np.float32)
        coverage = np.zeros(self._size, dtype=np.float32)
        total = 0.0
        for word in content_words(query):
            gains, shares = self._word(word)
            frequency = int(np.count_nonzero(shares))
            weight = float(np.log(1 + (self._size - frequency + 0.5) / (frequency + 0.5)))
            total += weight
            scores += gains
            coverage += weight * shares
        if total:
            coverage /= total
        # A record that holds few of the words is worth less than its rarest word makes it seem.
        return LexicalHits(scores * (0.25 + 0.75 * coverage), coverage)

    def _word(self, word: str) -> tuple[np.ndarray, np.ndarray]:
        """Return (N,) BM25 gains and (N,) shares of one query word: 1 where it stands, `_KIN` where only a kin does."""
        gains = np.zeros(self._size, dtype=np.float32)
        shares = np.zeros(self._size, dtype=np.float32)
        data, documents, starts = (self._bm25.scores[name] for name in ("data", "indices", "indptr"))
        for name, share in [(other, _KIN) for other in self._kin(word)] + [(word, 1.0)]:
            number = self._bm25.vocab_dict.get(name)
            if number is not None:
                part = slice(int(starts[number]), int(starts[number + 1]))
                rows = documents[part]
                gains[rows] = np.maximum(gains[rows], share * data[part])
                shares[rows] = np.maximum(shares[rows], share)
        return gains, shares

    @cached_property
    def _sorted(self) -> list[str]:
        return sorted(self._bm25.vocab_dict)

    def _kin(self, word: str) -> list[str]:
        """Return other words of the vocabulary that share all but their ending with `word`."""
        prefix = word[:KIN_PREFIX]
        start = bisect_left(self._sorted, prefix)
        same = takewhile(lambda other: other.startswith(prefix), islice(self._sorted, start, None))
        return [other for other in same if are_kin(word, other)]


def _bm25s() -> Any:
    import bm25s

    # bm25s sets its logger to DEBUG on import, which would fill the log of whoever sets up logging.
    logging.getLogger("bm25s").setLevel(logging.WARNING)
    return bm25s
