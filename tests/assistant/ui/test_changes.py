import re
from html import unescape

import pytest

from assistant.ui.changes import changed_sections, changes_html, word_changes

DRAFT = {"technique": "A film.", "findings": "No effusion. Heart size 12.5 cm.", "impression": "Normal."}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("No effusion.", "Small left effusion."),
        ("", "Added."),
        ("Gone.", ""),
        ("Size 12.5 cm", "Size 13.5 cm"),
        ("one two three", "three two one"),
        ("<b>bold</b>", "<i>bold</i>"),
    ],
)
def test_the_pieces_join_to_both_texts(before, after):
    pieces = word_changes(before, after)
    assert "".join(text for kind, text in pieces if kind != "in") == before
    assert "".join(text for kind, text in pieces if kind != "out") == after


def test_a_number_is_changed_as_a_whole():
    assert ("out", "12.5") in word_changes("Size 12.5 cm", "Size 13.5 cm")


def test_a_sentence_that_was_written_anew_is_one_change():
    assert word_changes("No effusion is seen.", "A cyst.") == [("out", "No effusion is seen"), ("in", "A cyst"),
                                                              ("same", ".")]  # fmt: skip


def test_blanks_alone_are_no_change():
    assert changed_sections(DRAFT, {**DRAFT, "findings": f"  {DRAFT['findings']}\n"}) == []


def test_a_change_is_told_by_element_sign_and_words_and_is_escaped():
    told = changes_html(DRAFT, {**DRAFT, "findings": "<script>effusion</script>. Heart size 12.5 cm."})
    assert "<script>" not in told
    assert re.search(r"<del><span class='ma-spoken'>removed: </span><span aria-hidden='true'>−</span>No", told)
    assert re.search(r"<ins><span class='ma-spoken'>added: ", told)
    assert "<script>" in unescape(told)
    assert "Impression" not in told


def test_before_a_draft_and_without_a_change_it_says_so():
    assert "appears here" in changes_html(None, DRAFT)
    assert "nothing was changed" in changes_html(DRAFT, DRAFT)
