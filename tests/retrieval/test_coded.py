import numpy as np
import pytest

from retrieval import vectors
from retrieval.coded import CodedScan
from retrieval.vectors import VectorFile


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def clustered():
    rng = np.random.default_rng(3)
    centres = rng.standard_normal((50, 32))
    rows = unit(centres[rng.integers(50, size=6000)] + 0.4 * rng.standard_normal((6000, 32)))
    return rows, unit(centres + 0.2 * rng.standard_normal((50, 32)))


def test_codes_find_the_true_neighbours_or_say_that_they_cannot(clustered):
    rows, queries = clustered
    scan = CodedScan(rows)
    sure = 0
    for query in queries:
        found = scan.search(query, 10)
        if found is None:
            continue
        sure += 1
        truth = np.argsort(-(rows @ query), kind="stable")[:10]
        assert set(found[1]) == set(truth)
        np.testing.assert_allclose(found[0], np.sort((rows @ query)[truth])[::-1], rtol=1e-5)
    assert sure > 25
    assert scan.pays


def test_codes_that_tell_nothing_apart_are_given_up():
    rng = np.random.default_rng(0)
    rows = unit(rng.standard_normal((4000, 32)))
    scan = CodedScan(rows)
    for query in unit(rng.standard_normal((40, 32))):
        scan.search(query, 30)
    assert not scan.pays


def test_a_file_that_is_often_asked_singly_answers_the_same_by_codes(clustered, monkeypatch):
    rows, queries = clustered
    monkeypatch.setattr(vectors, "FEWEST", 1000)
    monkeypatch.setattr(vectors, "_ASKED_OFTEN", 2)
    file = VectorFile.build(rows, np.arange(len(rows)) + 7)
    for query in queries:
        scores, keys = file.search(query, 5)
        expected = file.search_many(query[None], 5)
        np.testing.assert_allclose(scores, expected[0][0], rtol=1e-4)
        assert set(keys) == set(expected[1][0])
    assert file._codes._tries == len(queries) - 1
    assert len(file.search(queries[0], 64)[0]) == 64
