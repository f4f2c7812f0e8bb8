import numpy as np
import pytest

from retrieval.lexical import LexicalIndex, record_words
from retrieval.lexical_build import build_lexical
from retrieval.passage import Passage


def passage(number, title, text):
    return Passage(f"p{number}", "passage", title, text, "s", "CC0-1.0")


PASSAGES = [
    passage(0, "Diabetic retinopathy", "Dot haemorrhages in the retina."),
    passage(1, "Glaucoma", "The optic cup is enlarged."),
    passage(2, "Ground-glass opacity", "Hazy lung."),
]


@pytest.fixture
def index(tmp_path):
    build_lexical(PASSAGES, tmp_path / "lexical")
    return LexicalIndex.load(tmp_path, 3)


def test_the_record_that_holds_the_words_is_first(index):
    assert index.search("retinal hemorrhages").scores.argmax() == 0
    assert index.search("ground glass").scores.argmax() == 2


def test_coverage_is_the_share_of_the_querys_words(index):
    hits = index.search("enlarged cup")
    assert hits.coverage[1] == pytest.approx(1.0)
    assert index.search("enlarged sourdough").coverage[1] < 0.6


def test_kin_of_a_word_count_less_than_the_word(index):
    kin, same = index.search("diabetes").coverage[0], index.search("diabetic").coverage[0]
    assert 0 < kin < same == pytest.approx(1.0)


def test_unknown_words_find_nothing(index):
    hits = index.search("sourdough bread")
    assert not hits.scores.any()
    assert not hits.coverage.any()


def test_the_files_are_not_pickled_and_mapping_them_changes_nothing(index, tmp_path):
    for path in (tmp_path / "lexical").glob("*.npy"):
        np.load(path, allow_pickle=False)
    again = LexicalIndex.load(tmp_path, 3, mmap=True)
    np.testing.assert_array_equal(again.search("optic cup").scores, index.search("optic cup").scores)


@pytest.mark.parametrize("at_once", [3, 1 << 20])
def test_the_streamed_arrays_are_those_of_bm25s(tmp_path, monkeypatch, at_once):
    import bm25s

    from retrieval import lexical_build

    monkeypatch.setattr(lexical_build, "_AT_ONCE", at_once)
    build_lexical(PASSAGES, tmp_path / "own")
    documents = [record_words(one) for one in PASSAGES]
    words = {word: number for number, word in enumerate(sorted({word for one in documents for word in one}))}
    plain = bm25s.BM25(k1=1.2, b=0.6, method="lucene", backend="numpy")
    plain.index(([[words[word] for word in one] for one in documents], words), show_progress=False)
    plain.save(tmp_path / "plain", show_progress=False)
    for name in ("data", "indices", "indptr"):
        own, theirs = (np.load(tmp_path / folder / f"{name}.csc.index.npy") for folder in ("own", "plain"))
        assert own.dtype == theirs.dtype
        np.testing.assert_allclose(own, theirs, rtol=1e-6)
    own, theirs = ((tmp_path / folder / "vocab.index.json").read_bytes() for folder in ("own", "plain"))
    assert own == theirs
