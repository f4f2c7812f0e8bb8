"""Directions of search and filters, over cards and cases together."""

import json
import shutil

import numpy as np
import pytest
from transformers import BertConfig, BertForSequenceClassification, BertModel, BertTokenizerFast

from assistant.errors import RetrievalError
from retrieval import search
from retrieval.corpus import read_corpora
from retrieval.facets import Filters
from retrieval.rerank import open_reranker
from retrieval.retriever import IndexRetriever
from retrieval.settings import SearchSettings
from retrieval.write import build_index


@pytest.fixture
def retriever(tmp_path, cards, cases, encoder):
    build_index(read_corpora([cards, cases]), encoder, tmp_path / "index")
    return IndexRetriever.open(tmp_path / "index", encoder)


def ids(found):
    return [item.id for item in found]


def test_text_finds_cases_alone_when_only_they_are_sought(retriever):
    found = retriever.search("left pleural effusion", filters=Filters(kinds=("case",)), k=5)
    assert ids(found) == ["case-0"]


def test_text_finds_a_picture_that_no_word_describes(retriever):
    easy = retriever.with_settings(SearchSettings(chance=0.5, certain=1.0))  # three pictures have little spread
    found = easy.search("blue", filters=Filters(kinds=("case",)), k=1)
    assert ids(found) == ["case-2"]
    assert retriever.search("blue") == []


def test_a_picture_finds_passages_and_cases_each_by_filter(retriever, encoder):
    red = encoder.embed_texts(["red"])[0]
    assert ids(retriever.search("", image_embedding=red, filters=Filters(kinds=("case",)))) == ["case-0"]
    assert not {
        item.kind for item in retriever.search("effusion", image_embedding=red, filters=Filters(kinds=("passage",)))
    } - {"passage"}


def test_what_a_filter_leaves_out_does_not_come_back_by_any_list(retriever, encoder):
    red = encoder.embed_texts(["red"])[0]
    found = retriever.search("pleural effusion", image_embedding=red, k=10, filters=Filters(licences=("Apache*",)))
    assert found
    assert {item.licence for item in found} == {"Apache-2.0"}
    ct = retriever.search("pleural effusion", k=10, filters=Filters(modalities=("CT",)))
    assert {item.modality for item in ct} <= {"CT", None}


def test_polarity_can_be_switched_off(retriever):
    plain = retriever.with_settings(SearchSettings(polarity=False))
    assert "case-1" in ids(plain.search("pleural effusion clear lungs", k=5, filters=Filters(kinds=("case",))))


@pytest.mark.parametrize("fusion", ["rank", "score"])
def test_both_ways_of_joining_lists_find_the_card(retriever, fusion):
    assert ids(retriever.with_settings(SearchSettings(fusion=fusion)).search("collapsed lung"))[0] == "pneumothorax"


def test_settings_out_of_range_are_refused():
    with pytest.raises(RetrievalError, match="fusion is 'vote'; use one of rank, score"):
        SearchSettings(fusion="vote")
    with pytest.raises(RetrievalError, match="diversity is 2; use a number from 0 to 1"):
        SearchSettings(diversity=2)


@pytest.fixture
def models(tmp_path):
    """Two tiny real models in one vocabulary: a cross-encoder and an encoder for late interaction."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "pleural", "effusion", "air", "fluid", "lung"]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    tokenizer = BertTokenizerFast(str(tmp_path / "vocab.txt"))
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        num_labels=1,
    )
    for name, kind in (("cross", BertForSequenceClassification), ("late", BertModel)):
        kind(config).save_pretrained(tmp_path / name)
        tokenizer.save_pretrained(tmp_path / name)
    return tmp_path


@pytest.mark.parametrize("name", ["cross", "late"])
def test_a_reranker_orders_what_was_found_by_its_own_scores(retriever, models, name):
    reranker = open_reranker(models / name)
    scores = reranker.score("pleural effusion", ["fluid lung", "pleural effusion"])
    assert scores.shape == (2,)
    assert ((scores >= 0) & (scores <= 1)).all()
    if name == "late":
        assert scores[1] > scores[0]
    again = IndexRetriever(retriever.index, retriever._encoder, reranker=reranker)
    found = again.search("pleural effusion fluid", k=3)
    assert set(ids(found)) <= set(ids(retriever.search("pleural effusion fluid", k=10)))
    assert [item.score for item in found] == sorted((item.score for item in found), reverse=True)


def test_a_folder_that_is_no_model_is_refused(tmp_path):
    with pytest.raises(RetrievalError, match=r"is no model folder: its config\.json cannot be read"):
        open_reranker(tmp_path)


@pytest.mark.parametrize("name", ["cross", "late"])
def test_a_reranker_with_pickled_weights_is_not_read(models, name, tmp_path):
    folder = tmp_path / "pickled"
    shutil.copytree(models / name, folder)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(RetrievalError, match=r"cannot be opened as a .*safetensors"):
        open_reranker(folder)


def test_the_command_takes_filters_and_names_what_no_record_has(tiny_folder, cards, cases, tmp_path, capsys):
    from retrieval import build

    model, index = ["--model", str(tiny_folder)], str(tmp_path / "cli")
    assert build.main([str(cards), str(cases), "--out", index, *model]) == 0
    capsys.readouterr()
    asked = [index, "pleural effusion", *model, "--json", "-k", "9"]
    assert search.main([*asked, "--kind", "passage", "--only-modality", "CT"]) == 0
    assert {item["modality"] for item in json.loads(capsys.readouterr().out)} == {"CT"}
    assert search.main([*asked, "--licence", "CC0*", "--mode", "lexical", "--diversity", "0.3"]) == 0
    assert {item["kind"] for item in json.loads(capsys.readouterr().out)} == {"case"}
    assert search.main([*asked, "--anatomy", "brian"]) == 2
    assert "No record has anatomy 'brian'; this index has chest" in capsys.readouterr().err


def test_the_build_command_adds_updates_and_deletes(tiny_folder, cards, tmp_path, capsys):
    from retrieval import build

    how = ["--out", str(tmp_path / "cli"), "--model", str(tiny_folder), "--json"]
    more = tmp_path / "more.jsonl"
    record = {"id": "new", "source": "S", "licence": "CC0-1.0", "title": "Scaphoid", "text": "A wrist bone breaks."}
    more.write_text(json.dumps(record))
    assert build.main([str(cards), *how]) == 0
    assert build.main([str(more), "--add", *how]) == 0
    assert build.main([str(more), "--add", *how]) == 2
    assert "or take it in place of the old one with --update" in capsys.readouterr().err
    more.write_text(json.dumps({**record, "text": "A wrist bone heals."}))
    assert build.main([str(more), "--update", *how]) == 0
    assert json.loads(capsys.readouterr().out)["removed"] == 1
    assert build.main([str(cards), "--update", "--prune", "--dry-run", *how]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [told[name] for name in ("added", "removed", "pruned")] == [0, 1, 1]
    assert build.main([str(cards), "--update", "--prune", "--dry-run", *how[:-1]]) == 0
    shown = capsys.readouterr()
    assert "take out 1, among them those of 1 documents that are gone" in shown.out
    assert build.main([str(more), "--update", "--prune", *how]) == 2
    assert "look at one source alone with --prune-source" in capsys.readouterr().err
    for wrong in (["--prune"], ["--update", "--prune-source", "S"], ["--update", "--prune", "--prune-most", "2"]):
        with pytest.raises(SystemExit):
            build.main([str(more), *how, *wrong])
    capsys.readouterr()
    assert build.main(["--delete", "new", "effusion", *how]) == 0
    assert json.loads(capsys.readouterr().out)["removed"] >= 3
    assert build.main([str(cards), "--dry-run", *how]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["megabytes"] > 0
    assert found["seconds"] > 0


def test_vectors_of_many_queries_are_those_of_each(retriever):
    queries = np.stack([retriever._encoder.embed_texts([text])[0] for text in ("effusion", "collapsed lung")])
    many = retriever.index.text.search_many(queries, 4)[1]
    for row, query in enumerate(queries):
        np.testing.assert_array_equal(many[row], retriever.index.text.search(query, 4)[1])
