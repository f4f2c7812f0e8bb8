import numpy as np
import pytest

from assistant.evidence import Evidence
from assistant.kinds import question_kinds
from assistant.quote import best_sentences

PNEUMOTHORAX = Evidence(
    "pneumothorax", "passage", "Pneumothorax on a chest X-ray",
    "Pneumothorax is air in the pleural space. It appears as a thin white line with a dark space beyond it. "
    "Skin folds can be mistaken for its line. It is caused by injury or by a burst bleb. "
    "A large one is treated with a chest drain. A rim of more than 2 cm is called large.",
    "cards", "Apache-2.0", 1.0,
)  # fmt: skip
EFFUSION = Evidence(
    "effusion", "passage", "Pleural effusion on a chest X-ray",
    "Fluid blunts the costophrenic angle. No pneumothorax is seen in a simple effusion.",
    "cards", "Apache-2.0", 0.9,
)  # fmt: skip


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("What is a pneumothorax?", "Pneumothorax is air in the pleural space."),
        ("What does a pneumothorax look like?", "It appears as a thin white line"),
        ("What can be mistaken for a pneumothorax?", "Skin folds can be mistaken"),
        ("What causes a pneumothorax?", "It is caused by injury"),
        ("How is a pneumothorax treated?", "A large one is treated"),
        ("How large is a large pneumothorax?", "A rim of more than 2 cm"),
    ],
)
def test_the_sentence_that_answers_this_kind_of_question_is_chosen(question, expected):
    (quote,) = best_sentences(question, [PNEUMOTHORAX, EFFUSION])
    assert quote.evidence_index == 0
    assert quote.sentence.startswith(expected)


def test_nothing_is_quoted_when_the_evidence_is_about_something_else():
    assert best_sentences("Which bread flour rises best?", [PNEUMOTHORAX, EFFUSION]) == []
    assert best_sentences("What is this?", [PNEUMOTHORAX]) == []
    assert best_sentences("What is a pneumothorax?", []) == []


def test_a_sentence_that_denies_the_finding_is_not_the_first_choice():
    quotes = best_sentences("pneumothorax", [EFFUSION, PNEUMOTHORAX], 2)
    assert quotes[0].sentence == "Pneumothorax is air in the pleural space."


def test_several_quotes_do_not_repeat_each_other():
    quotes = best_sentences("pneumothorax line", [PNEUMOTHORAX, PNEUMOTHORAX], 4)
    assert len({quote.sentence for quote in quotes}) == len(quotes) > 1
    assert [quote.score for quote in quotes] == sorted((quote.score for quote in quotes), reverse=True)


def test_nearness_of_meaning_decides_between_sentences_that_are_equal_otherwise():
    item = Evidence("a", "passage", "Lung", "The lung has many lobes. The lung has many segments.", "s", "CC0-1.0", 1.0)

    def embed(texts):
        return np.array([[1.0, 0.0] if "segments" in text or n == 0 else [0.0, 1.0] for n, text in enumerate(texts)])

    assert best_sentences("lung", [item])[0].sentence == "The lung has many lobes."
    assert best_sentences("lung", [item], embed=embed)[0].sentence == "The lung has many segments."


def test_kinds_of_question_are_told_by_their_words():
    assert question_kinds("Why is it dark?") == ("cause", "appearance")
    assert question_kinds("How many lobes?") == ("number",)
