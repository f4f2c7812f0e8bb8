from retrieval.passage import Passage
from retrieval.polarity import only_negated


def case(text, title="Case"):
    return Passage("c", "case", title, text, "s", "CC0-1.0")


def test_words_that_are_only_denied_are_found():
    assert only_negated(case("Clear lungs. No pleural effusion."), {"pleura", "effusion"}) == {"pleura", "effusion"}
    assert only_negated(case("Small pleural effusion, no pneumothorax."), {"pleura", "effusion"}) == set()


def test_a_word_affirmed_anywhere_is_not_denied():
    assert only_negated(case("No effusion on the right. Effusion on the left."), {"effusion"}) == set()


def test_the_title_affirms():
    assert only_negated(case("Not seen without effusion.", title="Pleural effusion"), {"effusion"}) == set()
