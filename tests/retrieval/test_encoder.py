import json

import numpy as np
import pytest

from assistant.errors import ModelError
from assistant.imaging.picture import Picture
from retrieval import build, search
from retrieval.embed import indexed_text
from retrieval.encoder import FolderEncoder, ModelEncoder
from retrieval.reading import Faults, ReadOptions, Tally
from retrieval.sources import read_sources

TEXTS = ["A pleural effusion.", "No pneumothorax was found on this film."]


@pytest.fixture(scope="module")
def loaded(tiny_folder):
    from assistant.model.load import load_model

    return load_model(tiny_folder, device="cpu")


def test_the_text_tower_alone_gives_what_the_whole_model_gives(tiny_folder, loaded):
    alone, whole = FolderEncoder(tiny_folder), ModelEncoder(loaded)
    assert alone.fingerprint == whole.fingerprint == loaded.contract.encoder
    np.testing.assert_allclose(alone.embed_texts(TEXTS), whole.embed_texts(TEXTS), atol=1e-6)
    assert "_model" not in vars(alone)


def test_pictures_get_unit_vectors_as_wide_as_texts(tiny_folder, loaded):
    picture = Picture(np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8))
    vectors = ModelEncoder(loaded).embed_images([picture, picture])
    assert vectors.shape == (2, loaded.contract.embedding_dim)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    np.testing.assert_allclose(FolderEncoder(tiny_folder).embed_images([picture])[0], vectors[0], atol=1e-5)


def test_a_model_that_does_not_exist_is_refused():
    with pytest.raises(ModelError, match="There is no model 'nowhere'"):
        FolderEncoder("nowhere")


def test_build_and_search_with_a_real_encoder(tiny_folder, cards, cases, tmp_path, capsys):
    model, index = ["--model", str(tiny_folder)], tmp_path / "index"
    assert build.main([str(cards), str(cases), "--out", str(index), *model, "--json"]) == 0
    built = json.loads(capsys.readouterr().out)
    assert built["documents"] == 7
    assert search.main([str(index), "collapsed lung", *model, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["id"] == "pneumothorax"
    assert search.main([str(index), "--image", str(cases.parent / "red.png"), *model, "-k", "1"]) == 0
    told = capsys.readouterr().out
    assert "Large pleural effusion on the left." in told
    assert told.endswith("\n")
    assert search.main([str(index), "sourdough", *model]) == 0
    assert capsys.readouterr().out == "Nothing near enough.\n"


def test_no_chunk_is_longer_than_the_text_tower_reads(tmp_path):
    count, limit = FolderEncoder("starter").tokens()
    sentences = " ".join(
        f"Sentence {number} tells of an effusion in the {number}th pleural space." for number in range(99)
    )
    record = {"id": "long", "source": "S", "licence": "CC0-1.0", "title": "A title of some words", "text": sentences}
    (tmp_path / "long.jsonl").write_text(json.dumps(record))
    options = ReadOptions(budget=limit, count_tokens=count, with_title=True)
    lengths = [count(indexed_text(one)) for one in read_sources([tmp_path / "long.jsonl"], options, Faults(), Tally())]
    assert len(lengths) > 3
    assert limit * 0.8 < max(lengths) <= limit
