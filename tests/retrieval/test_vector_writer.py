import numpy as np
import pytest

from retrieval import vector_writer
from retrieval.vector_writer import change_lists, write_vectors
from retrieval.vectors import Selection, VectorFile


@pytest.fixture
def vectors():
    found = np.random.default_rng(0).normal(size=(3000, 16)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def blocks(vectors, first=0):
    for start in range(0, len(vectors), 250):
        part = vectors[start : start + 250]
        yield part, np.arange(first + start, first + start + len(part))


@pytest.fixture
def lists(vectors, tmp_path, monkeypatch):
    monkeypatch.setattr(vector_writer, "_SHARD", 600)
    write_vectors(tmp_path / "v.faiss", blocks(vectors[:2000]), 2000, 16, sample=vectors[:1000], exact_limit=100)
    return VectorFile.load(tmp_path / "v.faiss")


def test_up_to_the_limit_search_is_exact(vectors, tmp_path):
    write_vectors(tmp_path / "v.faiss", blocks(vectors), 3000, 16, sample=vectors[:0], exact_limit=3000)
    file = VectorFile.load(tmp_path / "v.faiss")
    assert (file.exact, file.count) == (True, 3000)
    np.testing.assert_array_equal(file.search(vectors[9], 5)[1], np.argsort(-(vectors @ vectors[9]))[:5])


def test_lists_written_in_shards_hold_every_vector_and_no_shard_is_left(lists, vectors, tmp_path):
    assert (lists.exact, lists.count, lists.width) == (False, 2000, 16)
    assert [lists.search(vectors[row], 1)[1][0] for row in (0, 700, 1999)] == [0, 700, 1999]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["v.faiss", "v.faiss.lists"]


def test_lists_can_be_changed_into_another_file_while_the_old_one_serves(lists, vectors, tmp_path):
    (tmp_path / "new").mkdir()
    change_lists(tmp_path / "new" / "v.faiss", lists, blocks(vectors[2000:], 2000), [5, 700])
    new = VectorFile.load(tmp_path / "new" / "v.faiss")
    assert new.count == 2998
    assert new.search(vectors[5], 1)[1][0] != 5
    assert new.search(vectors[2999], 1)[1][0] == 2999
    assert lists.search(vectors[5], 1)[1][0] == 5


def test_lists_that_are_moved_are_found_and_nothing_is_said_on_standard_output(lists, vectors, tmp_path, capfd):
    (tmp_path / "v.faiss").rename(tmp_path / "v2.faiss")
    (tmp_path / "moved").mkdir()
    for name in ("v2.faiss", "v.faiss.lists"):
        (tmp_path / name).rename(tmp_path / "moved" / name)
    assert VectorFile.load(tmp_path / "moved" / "v2.faiss").search(vectors[3], 1)[1][0] == 3
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("exact", [True, False])
def test_a_selection_leaves_the_other_keys_out(lists, vectors, exact):
    file = VectorFile.build(vectors[:2000], np.arange(2000)) if exact else lists
    keys = file.search(vectors[4], 8, Selection(np.arange(1, 2000, 2)))[1]
    assert len(keys) == 8
    assert set((keys % 2).tolist()) == {1}
