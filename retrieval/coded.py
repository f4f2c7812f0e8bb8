"""Exact search of one query at a time: 4-bit codes that fit the cache put candidates forward, float32 orders them.

For one query a product reads every vector from memory, and that is what takes the time. Product-quantization codes of
one bit a dimension are 32 times smaller, and FAISS compares them in registers (fast scan). What the codes are wrong by
shows in the candidates themselves, whose true cosines are known: where a vector that was left out could still belong
among the best, the answer is not given and the caller looks at all vectors.

Source: André, Kermarrec, Le Scouarnec. Cache locality is not enough: high-performance nearest neighbor search with
product quantization fast scan. VLDB 2015 (as FAISS implements it).
"""

from __future__ import annotations

from typing import Any

import numpy as np

MOST_ASKED = 32
"""More neighbours than this reach into vectors that are all about equally far: codes cannot tell them apart."""
_DIMENSIONS_A_CODE = 4
_BITS = 4
_SAMPLE = 4096
_ROUNDS = 10
_CANDIDATES = 512
_SIGMAS = 4.0
_TRIED = 32


class CodedScan:
    """Codes of (N, E) float32 vectors; E is a multiple of 4."""

    def __init__(self, vectors: np.ndarray, *, seed: int = 0) -> None:
        """Learn the codes from a sample and code every vector: about two seconds for 1e5 of width 512."""
        import faiss

        self._exact = vectors
        width = vectors.shape[1]
        index: Any = faiss.IndexPQFastScan(width, width // _DIMENSIONS_A_CODE, _BITS, faiss.METRIC_INNER_PRODUCT)
        index.pq.cp.niter = _ROUNDS
        index.pq.cp.seed = seed
        sample = np.random.default_rng(seed).permutation(len(vectors))[:_SAMPLE]
        index.train(np.ascontiguousarray(vectors[np.sort(sample)]))
        index.add(vectors)
        self._index = index
        self._tries = self._unsure = 0

    @staticmethod
    def fits(width: int, count: int) -> bool:
        """Whether vectors of a width can be coded, and so many neighbours told by codes."""
        return width % _DIMENSIONS_A_CODE == 0 and count <= MOST_ASKED

    @property
    def pays(self) -> bool:
        """Whether the answers so far were mostly sure; codes that tell these vectors apart badly only cost time."""
        return self._tries < _TRIED or 2 * self._unsure < self._tries

    def search(self, query: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray] | None:
        """Return cosines (count,) and places (count,) of the nearest vectors, best first.

        Args:
            query: (E,) float32.
            count: at most `MOST_ASKED` and N.
        Returns:
            float32 cosines and int64 places, or None where a vector that was left out might belong to them.
        """
        told, places = self._index.search(query[None], min(_CANDIDATES, len(self._exact)))
        told, places = told[0], places[0]
        scores = self._exact[places] @ query
        order = np.argsort(-scores, kind="stable")[:count]
        self._tries += 1
        if len(places) < len(self._exact):
            errors = scores - told
            reach = float(told[-1] + errors.mean() + _SIGMAS * errors.std())
            if scores[order[-1]] < reach:
                self._unsure += 1
                return None
        return scores[order], places[order]
