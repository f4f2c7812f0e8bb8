import pytest

from assistant.conversation import Question
from assistant.knowledge import about_finding, asks_knowledge, is_nothing


@pytest.mark.parametrize(
    "text",
    [
        "What are the pitfalls of the finding in this image?",
        "What can be mistaken for this abnormality?",
        "What else can look like the lesion in this image?",
        "What can cause these findings?",
    ],
)
def test_what_is_known_of_a_finding_is_asked(text, make_picture):
    assert asks_knowledge(Question(text, (make_picture(),)))
    assert not asks_knowledge(Question(text))


@pytest.mark.parametrize(
    "text",
    [
        "What is the main finding?",
        "Is this finding often mistaken for a mass?",
        "Where is the lesion?",
        "What imitates a pneumothorax?",
        "How large is this lesion?",
    ],
)
def test_what_the_image_answers_is_left_to_it(text, make_picture):
    assert not asks_knowledge(Question(text, (make_picture(),)))


def test_the_finding_takes_the_place_of_what_points_at_it():
    assert about_finding("What are the pitfalls of the finding in this image?", "Pleural effusion.") == (
        "What are the pitfalls of pleural effusion?"
    )
    assert about_finding("What can be mistaken for this abnormality?", "Cyst") == "What can be mistaken for cyst?"


def test_no_finding_is_known_as_such():
    assert is_nothing("No abnormality")
    assert is_nothing("Normal")
    assert not is_nothing("Nodule")
