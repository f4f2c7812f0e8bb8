"""FAISS files: exact inner product up to a limit, inverted lists of 8-bit codes, memory-mapped, beyond it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

EXACT_LIMIT = 100_000
_TRAIN_PER_LIST = 64
_PROBES = 16


class VectorFile:
    """Vectors of length 1 under whole-number keys, and the nearest of them to a query. E is their width."""

    def __init__(self, index: Any) -> None:
        self._index = index

    @classmethod
    def build(cls, vectors: np.ndarray, keys: np.ndarray, *, exact_limit: int = EXACT_LIMIT) -> VectorFile:
        """Index vectors.

        Args:
            vectors: (N, E) float32, unit length.
            keys: (N,) int64, each once.
            exact_limit: up to this many are searched exactly; more become IVF with SQ8 codes (about 2 % of the nearest
                are then missed, at a fiftieth of the time).
        Returns:
            The file, in memory.
        """
        import faiss

        count, width = vectors.shape
        index: Any
        if count <= exact_limit:
            index = faiss.IndexIDMap2(faiss.IndexFlatIP(width))
        else:
            lists = max(1, min(int(4 * np.sqrt(count)), count // 2))
            index = faiss.index_factory(width, f"IVF{lists},SQ8", faiss.METRIC_INNER_PRODUCT)
            sample = np.random.default_rng(0).permutation(count)[: lists * _TRAIN_PER_LIST]
            index.train(np.ascontiguousarray(vectors[sample], dtype=np.float32))
        if count:
            index.add_with_ids(np.ascontiguousarray(vectors, dtype=np.float32), keys.astype(np.int64))
        return cls(index)

    @classmethod
    def load(cls, path: Path, *, mmap: bool = False) -> VectorFile:
        """Read a file; with `mmap` the vectors stay on disk and cannot be changed."""
        import faiss

        return cls(faiss.read_index(str(path), faiss.IO_FLAG_MMAP if mmap else 0))

    def save(self, path: Path) -> None:
        """Write the file."""
        import faiss

        faiss.write_index(self._index, str(path))

    @property
    def count(self) -> int:
        """How many vectors there are."""
        return int(self._index.ntotal)

    @property
    def width(self) -> int:
        """Their width E."""
        return int(self._index.d)

    @property
    def exact(self) -> bool:
        """Whether every vector is compared."""
        return not hasattr(self._index, "nprobe")

    def add(self, vectors: np.ndarray, keys: np.ndarray) -> None:
        """Add vectors (N, E) under new keys."""
        self._index.add_with_ids(np.ascontiguousarray(vectors, dtype=np.float32), keys.astype(np.int64))

    def remove(self, keys: np.ndarray) -> None:
        """Take vectors out; keys that are not there are no fault."""
        self._index.remove_ids(np.ascontiguousarray(keys, dtype=np.int64))

    def vectors_of(self, keys: Sequence[int]) -> dict[int, np.ndarray]:
        """Return the vectors (E,) of some keys, as near as they were stored; the file must not be memory-mapped."""
        if not self.exact:
            from faiss.swigfaiss import DirectMap

            self._index.set_direct_map_type(DirectMap.Hashtable)
        return {key: np.asarray(self._index.reconstruct(key), dtype=np.float32) for key in keys}

    def search(self, query: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the cosines and keys of the `count` nearest vectors, best first.

        Args:
            query: (E,) float32, unit length.
            count: the most to return.
        Returns:
            float32 (M,) and int64 (M,), M at most `count`.
        """
        import faiss

        count = min(count, self.count)
        if count == 0:
            return np.zeros(0, dtype=np.float32), np.zeros(0, dtype=np.int64)
        parameters: Any = None
        if not self.exact:
            parameters = faiss.SearchParametersIVF()
            parameters.nprobe = _PROBES
        rows = np.ascontiguousarray(query[None], dtype=np.float32)
        scores, keys = self._index.search(rows, count, params=parameters)
        real = keys[0] >= 0
        return scores[0][real], keys[0][real]
