import pytest

from assistant.conversation import NOT_FOR_CLINICAL_USE
from assistant.errors import ModelError
from assistant.ui.panels import confidence_html, error_html, grounds_html, header_html, notice_html
from assistant.ui.service import AssistantService

HOSTILE = "<img src=x onerror=alert(1)>"


def test_nothing_from_outside_becomes_html(make_evidence):
    passage = make_evidence(HOSTILE, HOSTILE * 9, source=HOSTILE, licence=HOSTILE, references=(HOSTILE,))
    assert "<img" not in grounds_html(0.5, False, [passage], [HOSTILE]) + error_html(HOSTILE)


def test_evidence_is_numbered_and_names_title_source_licence_and_score(make_evidence):
    html = grounds_html(0.9, False, [make_evidence("One", "a", score=0.5), make_evidence("Two", "b")], [])
    for text in ("'ma-number'>1<", "'ma-number'>2<", "One", "a card · CC0-1.0 · score 0.50", "score 1.00"):
        assert text in html


def test_a_long_passage_unfolds(make_evidence):
    assert "<details>" in grounds_html(0.9, False, [make_evidence("One", "word " * 99)], [])
    assert "<details>" not in grounds_html(0.9, False, [make_evidence("One", "word")], [])


def test_no_evidence_is_said():
    assert "Nothing in the index was near enough" in grounds_html(0.9, False, [], [])


@pytest.mark.parametrize(
    ("confidence", "percent", "level"), [(0.93, 93, "high"), (0.55, 55, "middle"), (1.7, 100, "high")]
)
def test_confidence_is_shown_in_words_number_and_bar(confidence, percent, level):
    html = confidence_html(confidence, abstained=False)
    assert f"{percent} %" in html
    assert f"width:{percent}%" in html
    assert f"ma-{level}" in html


def test_an_abstention_is_said():
    assert "Not sure enough to answer" in confidence_html(0.1, abstained=True)


def test_the_notice_is_not_repeated_among_the_cautions():
    html = grounds_html(0.9, False, [], [NOT_FOR_CLINICAL_USE])
    assert "Cautions" not in html
    assert "Not for clinical use" in notice_html()


def test_the_header_says_where_loading_stands(service):
    assert "Loading the model" in header_html(AssistantService(lambda: pytest.fail("loaded")))
    assert "tiny" in header_html(service)

    def refuse():
        raise ModelError("Restore <it>.")

    failed = AssistantService(refuse)
    with pytest.raises(Exception, match="Restore"):
        failed.get()
    assert "Restore &lt;it&gt;." in header_html(failed)
