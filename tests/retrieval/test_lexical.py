import numpy as np
import pytest

from retrieval.corpus import Passage
from retrieval.lexical import LexicalIndex


def passage(number, title, text):
    return Passage(f"p{number}", "passage", title, text, "s", "CC0-1.0")


@pytest.fixture
def index():
    return LexicalIndex.build(
        [
            passage(0, "Diabetic retinopathy", "Dot haemorrhages in the retina."),
            passage(1, "Glaucoma", "The optic cup is enlarged."),
            passage(2, "Ground-glass opacity", "Hazy lung."),
        ]
    )


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


def test_saving_and_loading_changes_nothing_and_pickles_nothing(index, tmp_path):
    index.save(tmp_path)
    for path in (tmp_path / "lexical").glob("*.npy"):
        np.load(path, allow_pickle=False)
    for mmap in (False, True):
        again = LexicalIndex.load(tmp_path, 3, mmap=mmap)
        np.testing.assert_array_equal(again.search("optic cup").scores, index.search("optic cup").scores)
