import pytest

from assistant.exports.wording import confidence_phrase, confidence_words, support_words


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


def test_a_sentence_that_cites_what_does_not_say_all_of_it_is_not_called_unsupported():
    ground = {"supported": False, "evidence": [], "score": 0.5, "cited": [1]}
    assert support_words(ground) == "[1] is on the subject, but does not say all of it"
    assert support_words({**ground, "cited": []}) == "not supported by the evidence"
    assert support_words({**ground, "supported": True, "evidence": [2]}) == "supported by [2] (0.50)"
