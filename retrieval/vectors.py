"""Vector files: exact inner product up to a limit, inverted lists of 16-bit codes, memory-mapped, beyond it.

Both are FAISS files. Exact search of one file takes the fastest way that is there: a FAISS index on the GPU, a bfloat16
product with a float32 second look, or FAISS on the CPU; single queries for a few neighbours, where they come often, are
answered by codes. A search that may return only some records always runs in FAISS on the CPU, which leaves the others
out while it scans.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from retrieval.coded import CodedScan
from retrieval.exact import FEWEST, BfloatScan

EXACT_LIMIT = 100_000
LISTS_ENDING = ".lists"
"""Of the file beside an inverted index that holds its codes."""
_PROBES = 16
_ASKED_OFTEN = 64
"""Single searches after which codes are made for them: they take as long as about so many save."""


class Selection:
    """Keys that a search may return, in the form that FAISS looks at for every vector: one bit a key."""

    def __init__(self, keys: np.ndarray) -> None:
        """Note int64 keys, at least 0."""
        import faiss

        bits = np.zeros(int(keys.max(initial=0)) // 8 + 1, dtype=np.uint8)
        np.bitwise_or.at(bits, keys >> 3, (1 << (keys & 7)).astype(np.uint8))
        self._bits = bits  # FAISS only points at it
        make: Any = faiss.IDSelectorBitmap
        self.selector = make(bits)


class VectorFile:
    """Vectors of length 1 under whole-number keys, and the nearest of them to a query. E is their width."""

    def __init__(self, index: Any) -> None:
        self._index = index
        self._asked_singly = 0

    @classmethod
    def build(cls, vectors: np.ndarray, keys: np.ndarray) -> VectorFile:
        """Index (N, E) float32 vectors of length 1 under (N,) int64 keys for exact search, in memory."""
        import faiss

        file = cls(faiss.IndexIDMap2(faiss.IndexFlatIP(vectors.shape[1])))
        file.add(vectors, keys)
        return file

    @classmethod
    def load(cls, path: Path) -> VectorFile:
        """Read a file; the codes of inverted lists stay on disk and cannot be changed.

        Args:
            path: the file; that of inverted lists has its codes beside it.
        Returns:
            The vectors.
        """
        import faiss

        with _quiet():
            index: Any = faiss.read_index(str(path), faiss.IO_FLAG_READ_ONLY | faiss.IO_FLAG_ONDISK_SAME_DIR)
        if hasattr(index, "nprobe"):
            # FAISS starts 32 threads for each query to read lists ahead: several times the work of the search itself.
            lists: Any = faiss.downcast_InvertedLists(index.invlists)
            lists.prefetch_nthread = 0
        return cls(index)

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

    @property
    def raw(self) -> Any:
        """The FAISS index."""
        return self._index

    def add(self, vectors: np.ndarray, keys: np.ndarray) -> None:
        """Add vectors (N, E) under new keys to exact vectors in memory."""
        if len(keys):
            self._index.add_with_ids(np.ascontiguousarray(vectors, dtype=np.float32), keys.astype(np.int64))

    def exact_vectors(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the (N, E) vectors, not copied, and the (N,) keys of exact vectors."""
        import faiss

        flat: Any = faiss.downcast_index(self._index.index)
        vectors = faiss.rev_swig_ptr(flat.get_xb(), self.count * self.width) if self.count else np.zeros(0, np.float32)
        return vectors.reshape(self.count, self.width), faiss.vector_to_array(self._index.id_map)

    def vectors_of(self, keys: Sequence[int]) -> dict[int, np.ndarray]:
        """Return the vectors (E,) of some keys, as near as they were stored; the file must not be memory-mapped."""
        if not self.exact:
            from faiss.swigfaiss import DirectMap

            self._index.set_direct_map_type(DirectMap.Hashtable)
        return {key: np.asarray(self._index.reconstruct(key), dtype=np.float32) for key in keys}

    def search(
        self, query: np.ndarray, count: int, selection: Selection | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the cosines and keys of the `count` nearest vectors, best first.

        Args:
            query: (E,) float32, unit length.
            count: the most to return.
            selection: only these keys; None allows all.
        Returns:
            float32 (M,) and int64 (M,), M at most `count`.
        """
        coded = self._by_codes(query, count) if selection is None else None
        if coded is not None:
            return coded
        scores, keys = self.search_many(query[None], count, selection)
        real = keys[0] >= 0
        return scores[0][real], keys[0][real]

    def search_many(
        self, queries: np.ndarray, count: int, selection: Selection | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Search for several queries at once: faster for each than one after another.

        Args:
            queries: (B, E) float32, unit length.
            count: the most to return for each.
            selection: only these keys; None allows all.
        Returns:
            float32 cosines and int64 keys, (B, M), M at most `count`; key -1 where fewer were found.
        """
        import faiss

        count = min(count, self.count)
        if count == 0:
            return np.zeros((len(queries), 0), dtype=np.float32), np.zeros((len(queries), 0), dtype=np.int64)
        rows = np.ascontiguousarray(queries, dtype=np.float32)
        fast = self._fast if selection is None else None
        if fast is not None:
            scores, places = fast.search(rows, count)
            return scores, self._keys[places]
        kind: Any = faiss.SearchParameters if self.exact else faiss.SearchParametersIVF
        parameters = kind() if selection is None else kind(sel=selection.selector)
        if not self.exact:
            parameters.nprobe = _PROBES
        found: tuple[np.ndarray, np.ndarray] = self._index.search(rows, count, params=parameters)
        return found

    def _by_codes(self, query: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray] | None:
        """Search one query by codes, once it pays to have made them; None where they cannot tell."""
        if self.count < FEWEST or not self.exact or not CodedScan.fits(self.width, count):
            return None
        self._asked_singly += 1
        if self._asked_singly < _ASKED_OFTEN or not self._codes.pays:
            return None
        found = self._codes.search(np.ascontiguousarray(query, dtype=np.float32), count)
        return None if found is None else (found[0], self._keys[found[1]])

    @cached_property
    def _codes(self) -> CodedScan:
        return CodedScan(self.exact_vectors()[0])

    @cached_property
    def _keys(self) -> np.ndarray:
        return self.exact_vectors()[1]

    @cached_property
    def _fast(self) -> Any:
        """The faster way to search exact vectors: their index on the GPU, or the bfloat16 product; None without."""
        import faiss

        if not self.exact or self.count < FEWEST:
            return None
        if getattr(faiss, "get_num_gpus", int)() > 0:
            return faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), 0, faiss.downcast_index(self._index.index))
        return BfloatScan(self.exact_vectors()[0]) if BfloatScan.pays() else None


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep FAISS from writing to standard output, where results go, that a folder was moved."""
    sys.stdout.flush()
    kept = os.dup(1)
    try:
        with open(os.devnull, "wb") as sink:
            os.dup2(sink.fileno(), 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
