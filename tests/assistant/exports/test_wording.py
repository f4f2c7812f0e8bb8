import pytest

from assistant.exports.wording import confidence_phrase, confidence_words


@pytest.mark.parametrize(
    ("confidence", "words"),
    [
        (1.0, "high"),
        (0.9, "high"),
        (0.89, "fairly high"),
        (0.5, "moderate"),
        (0.3, "low"),
        (0.29, "very low"),
        (0.0, "very low"),
    ],
)
def test_each_step_has_its_words(confidence, words):
    assert confidence_words(confidence) == words


def test_a_phrase_gives_words_and_percent():
    assert confidence_phrase(0.934, abstained=False) == "high (93 %)"


def test_an_abstention_is_said():
    assert confidence_phrase(0.1, abstained=True) == "very low (10 %), so it gives no answer of its own"
