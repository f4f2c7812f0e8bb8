from dataclasses import replace

import numpy as np
import pytest

from assistant.imaging.picture import Picture
from retrieval.corpus import read_corpora
from retrieval.retriever import IndexRetriever
from retrieval.settings import SearchSettings
from retrieval.write import build_index


@pytest.fixture
def retriever(tmp_path, cards, cases, encoder):
    corpus = read_corpora([cards, cases])
    build_index(corpus, encoder, tmp_path / "index")
    return IndexRetriever.open(tmp_path / "index", encoder)


def ids(found):
    return [item.id for item in found]


def colour(rgb):
    return Picture(np.full((8, 8, 3), rgb, dtype=np.uint8))


def test_a_question_finds_its_card_whole_and_with_its_references(retriever):
    best = retriever.search("What does a collapsed lung look like on a chest radiograph?")[0]
    assert best.id == "pneumothorax"
    assert best.text.startswith("Pneumothorax is air")
    assert best.text.endswith("cross the rib cage.")
    assert best.references == ("Author A. A work. Publisher, 2001.",)
    assert (best.kind, best.licence) == ("passage", "Apache-2.0")


def test_a_long_document_is_given_by_the_chunk_that_fits_best(retriever):
    short = retriever.with_settings(SearchSettings(whole_words=10))
    best = short.search("skin folds imitate a pneumothorax")[0]
    assert (best.id, best.title) == ("pneumothorax#1", "Pneumothorax on a chest X-ray (pitfalls)")


def test_words_the_corpus_does_not_know_find_nothing(retriever):
    assert retriever.search("Which sourdough bread needs baking powder?") == []
    assert retriever.search("") == []


def test_no_more_than_k_and_scores_fall(retriever):
    found = retriever.search("pleural effusion fluid chest", k=2)
    assert len(found) == 2
    assert found[0].score >= found[1].score
    assert len(ids(found)) == len(set(ids(found)))


def test_the_modality_of_the_image_decides_between_cards(retriever):
    query = "How does pleural effusion appear?"
    assert ids(retriever.search(query, modality="CT", k=1)) == ["effusion-ct"]
    assert ids(retriever.search(query, modality="X-ray", k=1)) == ["effusion"]


def test_a_case_that_denies_the_finding_is_no_support(retriever):
    found = ids(retriever.search("left pleural effusion", k=5))
    assert "case-0" in found
    assert "case-1" not in found


def test_a_picture_finds_the_case_that_looks_like_it(retriever, encoder):
    joint = encoder.embed_images([colour((0, 0, 255))])[0]
    best = retriever.search("", image_embedding=joint)[0]
    assert (best.id, best.kind) == ("case-2", "case")
    assert (retriever.folder / best.image).is_file()


def test_a_patients_own_cases_are_left_out(retriever, encoder, cases):
    key = read_corpora([cases]).passages[2].patient_key
    joint = encoder.embed_images([colour((0, 0, 255))])[0]
    found = retriever.search("rib fracture", image_embedding=joint, exclude_patient=key, k=5)
    assert not {"case-1", "case-2"} & set(ids(found))


def test_an_embedding_of_another_width_is_a_wrong_call(retriever):
    with pytest.raises(ValueError, match=r"image_embedding is \(3,\); this index takes \(256,\)"):
        retriever.search("x", image_embedding=np.ones(3, dtype=np.float32))


def test_an_encoder_that_knows_nothing_leaves_lexical_search_good(tmp_path, cards, make_encoder):
    class Untrained(make_encoder):
        """Every text lies near one point, as in a tower with fresh weights."""

        def embed_texts(self, texts):
            vectors = 50.0 * np.eye(1, self.width, dtype=np.float32) + super().embed_texts(texts)[:, ::-1] * 0.01
            return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    build_index(read_corpora([cards]), Untrained(), tmp_path / "index")
    retriever = IndexRetriever.open(tmp_path / "index", Untrained())
    assert ids(retriever.search("What is the effective dose in millisievert?"))[0] == "dose"
    assert ids(retriever.search("collapsed lung"))[0] == "pneumothorax"


def test_weights_come_from_the_manifest_unless_given(retriever):
    assert retriever.settings.weights == {"dense": 0.5, "lexical": 1.0, "image": 0.5}
    other = retriever.with_settings(replace(retriever.settings, weights={"dense": 0.0}))
    assert other.settings.weights == {"dense": 0.0, "lexical": 1.0, "image": 0.5}


def test_diversity_keeps_the_best_first(retriever):
    varied = retriever.with_settings(SearchSettings(diversity=0.5))
    query = "pleural effusion on a chest X-ray"
    assert ids(varied.search(query))[0] == ids(retriever.search(query))[0] == "effusion"


def test_approximate_vectors_find_the_same_card(tmp_path, corpus, encoder):
    build_index(corpus, encoder, tmp_path / "ivf", exact_limit=4)
    retriever = IndexRetriever.open(tmp_path / "ivf", encoder)
    assert not retriever.index.text.exact
    assert ids(retriever.search("collapsed lung"))[0] == "pneumothorax"
