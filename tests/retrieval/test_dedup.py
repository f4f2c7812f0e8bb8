import pytest

from retrieval.dedup import Seen
from retrieval.passage import Passage
from retrieval.reading import Faults, Tally

TEXT = (
    "The chest radiograph of this patient shows a large effusion in the pleural space with loss of the costophrenic "
    "angle and shift of the mediastinum and the trachea away from it while the heart border cannot be made out at all "
    "and no fracture of any rib is found on this film which was taken in the erect position by the portable unit"
)


def kept(*texts, title="Effusion", near=True):
    passages = [Passage(f"p{n}", "passage", title, text, "s", "CC0-1.0") for n, text in enumerate(texts)]
    tally = Tally()
    with Seen(None, near=near) as seen:
        return [one.id for one in seen.new(passages, Faults(), tally)], tally


def test_a_text_that_differs_in_a_word_of_no_weight_is_left_out():
    ids, tally = kept(TEXT, TEXT.replace("by the portable", "with a portable"))
    assert (ids, tally.near_duplicates, tally.duplicates) == (["p0"], 1, 0)


@pytest.mark.parametrize(
    ("old", "new"),
    [("no fracture", "a fracture"), ("a large effusion", "a left effusion"), ("a large", "a 3"), ("erect", "lateral")],
)
def test_a_text_that_differs_in_a_word_that_matters_is_kept(old, new):
    assert kept(TEXT, TEXT.replace(old, new))[0] == ["p0", "p1"]


def test_short_texts_are_compared_word_for_word():
    assert kept("A small cyst.", "A small cyst!", "A tiny cyst.")[0] == ["p0", "p2"]


def test_near_duplicates_can_be_kept():
    ids, tally = kept(TEXT, TEXT.replace("by the portable", "with a portable"), near=False)
    assert (ids, tally.near_duplicates) == (["p0", "p1"], 0)


def test_documents_are_numbered_in_the_order_met():
    with Seen(None) as seen:
        assert [seen.document(name) for name in "aba"] == [(0, True), (1, True), (0, False)]
