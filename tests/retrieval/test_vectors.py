import numpy as np
import pytest

from retrieval.vectors import VectorFile


def unit(count, width=16, seed=0):
    vectors = np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_exact_search_equals_a_matrix_product():
    vectors, keys = unit(50), np.arange(50) * 3
    scores, found = VectorFile.build(vectors, keys).search(vectors[7], 5)
    expected = np.argsort(-(vectors @ vectors[7]))[:5]
    np.testing.assert_array_equal(found, keys[expected])
    np.testing.assert_allclose(scores, (vectors @ vectors[7])[expected], rtol=1e-5)


def test_an_empty_file_finds_nothing():
    file = VectorFile.build(np.zeros((0, 16), dtype=np.float32), np.zeros(0, dtype=np.int64))
    assert len(file.search(unit(1)[0], 3)[0]) == 0
