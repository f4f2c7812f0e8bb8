"""Exact search of many queries at once: a bfloat16 product finds candidates, float32 orders them.

On a CPU with bfloat16 units (AVX512-BF16, AMX) the product reads half the bytes and runs at several times the speed of
float32; the candidates are many more than asked for, so that its rounding costs none of the best
(`python -m benchmarks.retrieval scoring` compares it with the plain product).
"""

from __future__ import annotations

from typing import Any

import numpy as np

FEWEST = 20_000
"""Fewer vectors than this are searched by FAISS alone: nothing is won."""
_EXTRA = 32
_QUERIES_AT_ONCE = 256


class BfloatScan:
    """A bfloat16 copy of float32 vectors (half their size), searched by matrix product."""

    def __init__(self, vectors: np.ndarray) -> None:
        """Copy (N, E) float32 vectors; they are kept too, for the second look."""
        import torch

        self._exact = vectors
        self._rounded = torch.from_numpy(vectors).bfloat16()

    @staticmethod
    def pays() -> bool:
        """Whether this CPU multiplies bfloat16 in hardware."""
        import torch

        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()) and torch.backends.cpu.get_cpu_capability() in (
            "AVX512",
            "AMX",
        )

    def search(self, queries: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Return cosines (B, count) and places (B, count) of the nearest vectors, best first.

        Args:
            queries: (B, E) float32.
            count: at most N.
        Returns:
            float32 cosines and int64 places among the vectors.
        """
        import torch

        found_scores, found_places = [], []
        width = min(2 * count + _EXTRA, len(self._exact))
        for start in range(0, len(queries), _QUERIES_AT_ONCE):
            part = np.ascontiguousarray(queries[start : start + _QUERIES_AT_ONCE], dtype=np.float32)
            rounded: Any = torch.from_numpy(part).bfloat16() @ self._rounded.T
            places = torch.topk(rounded, width, dim=1, sorted=False).indices.numpy()
            scores = np.einsum("bcd,bd->bc", self._exact[places], part)
            order = np.argsort(-scores, axis=1, kind="stable")[:, :count]
            found_scores.append(np.take_along_axis(scores, order, axis=1))
            found_places.append(np.take_along_axis(places, order, axis=1))
        return np.concatenate(found_scores), np.concatenate(found_places)
