import pytest

from assistant.errors import RetrievalError
from retrieval.build import tune
from retrieval.evaluate import WEIGHT_GRID, Pair, read_pairs, recall_at_k
from retrieval.manifest import read_manifest
from retrieval.retriever import IndexRetriever
from retrieval.write import build_index


@pytest.fixture
def retriever(tmp_path, corpus, encoder):
    build_index(corpus, encoder, tmp_path / "index")
    return IndexRetriever.open(tmp_path / "index", encoder)


def test_recall_counts_documents_chunks_and_right_silence(retriever):
    pairs = [
        Pair("collapsed lung", ("pneumothorax",)),
        Pair("skin folds that imitate a pneumothorax", ("effusion", "pneumothorax")),
        Pair("collapsed lung", ("dose",)),
        Pair("sourdough bread", ()),
    ]
    result = recall_at_k(retriever, pairs)
    assert result.at == pytest.approx({1: 2 / 3, 3: 2 / 3, 5: 2 / 3})
    assert result.mrr == pytest.approx(2 / 3)
    assert result.empty == 1.0


def test_a_line_that_is_no_pair_is_named(tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_text('{"question": "a", "expected": "b"}\n{"question": "a"}\n')
    with pytest.raises(RetrievalError, match=r"pairs\.jsonl:2: .* is no pair \('expected'\)"):
        read_pairs(path)


def test_tuning_writes_the_dense_weight(retriever, encoder, tmp_path):
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text('{"question": "collapsed lung", "expected": "pneumothorax"}\n')
    tune(retriever.folder, encoder, pairs)
    weights = read_manifest(retriever.folder).weights
    assert weights["lexical"] == 1.0
    assert weights["dense"] in WEIGHT_GRID
    assert IndexRetriever.open(retriever.folder, encoder).settings.weights == weights
