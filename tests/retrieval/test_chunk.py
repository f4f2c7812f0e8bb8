from retrieval.chunk import Section, chunk_sections, markdown_sections, split_text
from retrieval.passage import count_words


def test_markdown_becomes_plain_sentences_by_heading():
    text = "Lead **line**.\n\n## Signs\n"
    text += "- first _sign_\n- second [sign](http://x)\n  goes on\n\n## Empty\n\n## Last\n`Code` 2.5 cm."
    assert markdown_sections(text) == [
        Section(None, "Lead line."),
        Section("Signs", "first sign. second sign goes on."),
        Section("Last", "Code 2.5 cm."),
    ]


def test_the_lead_joins_the_first_section_when_both_fit():
    sections = [Section(None, "Lead."), Section("Signs", "One two."), Section("Pitfalls", "Three.")]
    assert chunk_sections(sections, 3, count_words) == [(None, "Lead. One two."), ("Pitfalls", "Three.")]
    assert chunk_sections(sections, 2, count_words)[0] == (None, "Lead.")


def test_a_sentence_longer_than_the_budget_is_cut_between_words():
    assert split_text("one two three four five.", 2, count_words) == ["one two", "three four", "five."]
