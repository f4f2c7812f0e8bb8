import pytest

from assistant.polarity import negated_words, polarity


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Pleural effusion on the left.", "affirmed"),
        ("No pleural effusion.", "negated"),
        ("No pneumothorax or pleural effusion.", "negated"),
        ("There is no evidence of pleural effusion.", "negated"),
        ("A pleural effusion is not seen.", "negated"),
        ("Pleural effusion has resolved.", "negated"),
        ("The lungs are clear without pleural effusion.", "negated"),
        ("Pleural effusion on the left, no pneumothorax.", "affirmed"),
        ("No pneumothorax but a pleural effusion is present.", "affirmed"),
        ("Pleural effusion cannot be excluded.", "affirmed"),
        ("There is no change in the pleural effusion.", "affirmed"),
        ("No pleural effusion on the right. Pleural effusion on the left.", "affirmed"),
        ("Clear lungs.", "absent"),
    ],
)
def test_polarity_of_pleural_effusion(text, expected):
    assert polarity(text, {"pleura", "effusion"}) == expected


def test_no_words_are_absent():
    assert polarity("No effusion.", set()) == "absent"


def test_a_negation_ends_with_its_clause():
    assert negated_words("No fracture; the heart is large.") == {"fracture"}
