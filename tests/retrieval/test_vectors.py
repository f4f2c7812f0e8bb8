import numpy as np

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


def test_the_bfloat_product_finds_what_the_exact_one_finds():
    from retrieval.exact import BfloatScan

    vectors, queries = unit(5000, 64), unit(70, 64, seed=1)
    scores, places = BfloatScan(vectors).search(queries, 10)
    expected = np.argsort(-(queries @ vectors.T), axis=1)[:, :10]
    np.testing.assert_array_equal(places, expected)
    np.testing.assert_allclose(scores, np.take_along_axis(queries @ vectors.T, expected, axis=1), rtol=1e-5)


def test_many_vectors_are_found_under_their_keys_whichever_way_is_fastest(monkeypatch):
    monkeypatch.setattr("retrieval.vectors.FEWEST", 100)
    vectors = unit(500)
    file = VectorFile.build(vectors, np.arange(500) * 7)
    assert file.search(vectors[123], 1)[1].tolist() == [861]
    assert file.search_many(vectors[:3], 1)[1].ravel().tolist() == [0, 7, 14]
