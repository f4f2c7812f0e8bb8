import json

import numpy as np
import pytest

from assistant.errors import RetrievalError
from retrieval.corpus import read_corpora
from retrieval.index import IndexFolder
from retrieval.manifest import read_manifest
from retrieval.retriever import IndexRetriever
from retrieval.write import add_passages, build_index, delete_documents


@pytest.fixture
def folder(tmp_path, corpus, cards, encoder):
    build_index(corpus, encoder, tmp_path / "index", sources=[str(cards)], model="my model")
    return tmp_path / "index"


def change(folder, **values):
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_the_manifest_tells_what_is_inside(folder, encoder):
    manifest = read_manifest(folder)
    assert manifest.encoder == encoder.fingerprint
    assert manifest.counts == {
        "records": 8, "documents": 4, "text_vectors": 12, "image_vectors": 0, "passage": 8, "figure": 0, "case": 0,
    }  # fmt: skip
    assert manifest.licences == {"Apache-2.0": 8}
    assert set(manifest.files) == {
        str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path.name != "manifest.json"
    }


def test_equal_corpora_give_equal_files(folder, corpus, encoder, tmp_path):
    other = build_index(corpus, encoder, tmp_path / "other")
    assert other.files == read_manifest(folder).files
    assert other.fingerprint == read_manifest(folder).fingerprint


def test_another_encoder_is_refused_with_the_rebuild_command(folder, cards, make_encoder):
    with pytest.raises(
        RetrievalError, match="built with encoder feedfacefeedface, but this assistant uses 0123"
    ) as caught:
        IndexFolder.open(folder, make_encoder(fingerprint="0123").fingerprint)
    assert f"python -m retrieval.build {cards} --out {folder} --model 'my model'" in str(caught.value)


@pytest.mark.parametrize("name", ["text.faiss", "records.jsonl", "lexical/vocab.index.json"])
def test_a_missing_file_is_refused(folder, encoder, name):
    (folder / name).unlink()
    with pytest.raises(RetrievalError, match=f"{name} is missing. Rebuild it: python -m retrieval.build"):
        IndexFolder.open(folder, encoder.fingerprint)


def test_a_truncated_file_is_refused(folder, encoder):
    path = folder / "text.faiss"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(RetrievalError, match=r"text\.faiss is damaged: it has \d+ bytes, \d+ were written"):
        IndexFolder.open(folder, encoder.fingerprint)


def test_a_changed_file_is_refused(folder, encoder):
    path = folder / "records.jsonl"
    path.write_bytes(path.read_bytes().replace(b"white", b"black"))
    with pytest.raises(RetrievalError, match=r"records\.jsonl is damaged: its checksum is not the one"):
        IndexFolder.open(folder, encoder.fingerprint)


def test_a_missing_folder_and_a_broken_manifest_are_refused(folder, encoder, tmp_path):
    with pytest.raises(RetrievalError, match=r"There is no index folder .*nowhere\. Build it"):
        IndexFolder.open(tmp_path / "nowhere", encoder.fingerprint)
    with pytest.raises(RetrievalError, match=r"is no index: it has no manifest\.json"):
        IndexFolder.open(tmp_path, encoder.fingerprint)
    change(folder, format=99)
    with pytest.raises(RetrievalError, match="has index format 99, but this version reads 2"):
        IndexFolder.open(folder, encoder.fingerprint)
    change(folder, colour="red")
    with pytest.raises(RetrievalError, match="missing or unknown keys: colour"):
        IndexFolder.open(folder, encoder.fingerprint)
    (folder / "manifest.json").write_text("{")
    with pytest.raises(RetrievalError, match="cannot be read as JSON"):
        IndexFolder.open(folder, encoder.fingerprint)


def test_a_folder_that_is_no_index_is_never_overwritten(tmp_path, corpus, encoder):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("keep")
    with pytest.raises(RetrievalError, match="mine exists and is no index"):
        build_index(corpus, encoder, tmp_path / "mine")
    assert (tmp_path / "mine" / "letter.txt").read_text() == "keep"


def test_a_build_that_fails_leaves_the_old_index_and_no_rest(folder, corpus, make_encoder):
    class Failing(make_encoder):
        def embed_texts(self, texts):
            raise RuntimeError("out of memory")

    before = read_manifest(folder)
    with pytest.raises(RuntimeError, match="out of memory"):
        build_index(corpus, Failing(), folder)
    assert read_manifest(folder) == before
    assert [path.name for path in folder.parent.iterdir() if path.name.startswith(".")] == []


def test_added_passages_are_found_and_only_they_are_embedded(folder, encoder, make_encoder, tmp_path):
    path = tmp_path / "more.jsonl"
    path.write_text(
        '{"id": "new", "source": "S", "licence": "CC0-1.0", "title": "Scaphoid fracture", '
        '"text": "A wrist bone breaks."}\n'
    )
    embedded = []

    class Counting(make_encoder):
        def embed_texts(self, texts):
            embedded.extend(texts)
            return super().embed_texts(texts)

    before = read_manifest(folder).fingerprint
    add_passages(folder, read_corpora([path]).passages, Counting())
    assert embedded == ["Scaphoid fracture. A wrist bone breaks.", "Scaphoid fracture"]
    retriever = IndexRetriever.open(folder, encoder)
    assert retriever.search("scaphoid fracture")[0].id == "new"
    assert retriever.fingerprint != before
    with pytest.raises(RetrievalError, match="id is 'new'; another passage has it already; .* with --update"):
        add_passages(folder, read_corpora([path]).passages, encoder)


def test_deleted_documents_leave_nothing_behind(folder, encoder):
    assert delete_documents(folder, encoder, ids=["pneumothorax"]) == 2
    assert delete_documents(folder, encoder, ids=["pneumothorax"]) == 0
    assert b"neumothora" not in (folder / "records.jsonl").read_bytes()
    index = IndexFolder.open(folder, encoder.fingerprint)
    assert (index.text.count, len(index.background.keys)) == (9, 6)
    found = IndexRetriever(index, encoder).search("pleural effusion on chest X-ray")
    assert found[0].id == "effusion"


def test_a_patients_cases_can_be_deleted_with_their_pictures(tmp_path, cases, encoder):
    corpus = read_corpora([cases])
    build_index(corpus, encoder, tmp_path / "index")
    key = corpus.passages[1].patient_key
    assert delete_documents(tmp_path / "index", encoder, patient=key) == 2
    assert [path.name for path in (tmp_path / "index" / "images").iterdir()] == ["0000000.jpg"]
    with pytest.raises(RetrievalError, match="Nothing would be left"):
        delete_documents(tmp_path / "index", encoder, ids=["case-0"])


def test_surprise_is_in_standard_deviations(folder, encoder):
    background = IndexFolder.open(folder, encoder.fingerprint).background
    query = encoder.embed_texts(["pleural line"])[0]
    chance = background.texts @ query
    value = background.surprise(query, np.array([chance.mean() + 2 * chance.std()], dtype=np.float32))
    assert value[0] == pytest.approx(2.0, abs=1e-3)
