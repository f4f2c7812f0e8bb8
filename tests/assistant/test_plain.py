"""What a polite person asks is what is asked."""

import pytest

from assistant.plain import plain, wants_description
from assistant.prompts import DESCRIPTION_REQUESTS
from assistant.questions import YES_NO, options_in
from data_recipes.build import build_data
from data_recipes.instruct_first import ABNORMAL, CANCER_QUESTIONS, MASS, NORMAL, UNTOLD
from data_recipes.schema import read_examples


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ("Hello, could you please tell me whether there is a mass? Thanks!", "Is there a mass?"),
        ("Could you describe this image for me, please?", "Describe this image."),
        ("I\u2019d like to know what kind of image this is.", "What kind of image is this?"),
        ("Tell me where the lesion is.", "Where is the lesion?"),
        ("Would you kindly say if this is normal?", "Is this normal?"),
        ("Is this normal, please?", "Is this normal?"),
        ("Do you know which organ is shown?", "Which organ is shown?"),
        ("Please tell me if you see a tumor.", "Do you see a tumor?"),
        ("Can you tell if the heart is enlarged?", "Is the heart enlarged?"),
        ("I wonder whether this image shows pneumonia.", "Does this image show pneumonia?"),
        ("Please have a look at this scan and tell me if there is a fracture", "Is there a fracture?"),
        ("Could you tell me how large the mass is?", "How large is the mass?"),
        ("Is there a fracture? Thank you.", "Is there a fracture?"),
        ("Can you tell me the imaging modality?", "What is the imaging modality?"),
        ("Good morning, doctor. Is there pneumonia?", "Is there pneumonia?"),
        ("Could you please write a report?", "Write a report."),
        ("So, is it benign or malignant?", "Is it benign or malignant?"),
        ("Can you tell me what you see here?", "What do you see here?"),
    ],
)
def test_courtesy_goes_and_the_question_stays(asked, meant):
    assert plain(asked) == meant


@pytest.mark.parametrize(
    "text",
    [
        "Can you see a mass?",
        "Would you describe the mass as cystic?",
        "Can you evaluate the kidneys in this image?",
        "What abnormality is seen?",
        "Is the aorta well visible?",
        "Tell me if it has spread.",
        "Please",
        "Hello",
        "Thanks!",
        "",
        "OK",
        "Tell me a joke",
    ],
)
def test_what_is_no_courtesy_is_left_as_it_is(text):
    assert plain(text) == text


def test_what_is_taught_is_left_as_it_is(tmp_path):
    build_data("phantom", None, tmp_path / "phantoms", limit=24, seed=3)
    build_data("instruct", tmp_path / "phantoms" / "train.jsonl", tmp_path / "instruct")
    files = [tmp_path / "phantoms" / "train.jsonl", *(tmp_path / "instruct").glob("*.jsonl")]
    examples = [one for path in files for one in read_examples(path) if one.task != "report"]
    said = [one["content"] for each in examples for one in each.messages if one["role"] == "user"]
    asked = {text.splitlines()[-1].replace("<image>", "").strip() for text in said}
    assert len(asked) > 50
    assert {text for text in asked if plain(text) != text} <= {"Can you describe this picture?"}
    assert {text for text in asked if wants_description(text)} <= set(DESCRIPTION_REQUESTS)


def test_plain_words_are_plain():
    taught = [
        *DESCRIPTION_REQUESTS,
        *NORMAL,
        *ABNORMAL,
        *UNTOLD,
        *CANCER_QUESTIONS,
        *(one for each in MASS.values() for one in each),
    ]
    assert [text for text in taught if plain(plain(text)) != plain(text)] == []
    assert [text for text in taught if not wants_description(text)] == [
        one for one in taught if one not in DESCRIPTION_REQUESTS
    ]


@pytest.mark.parametrize(
    "text",
    [
        "Please describe the findings.", "What are the findings?", "Interpret this X-ray.", "Analyze this scan please",
        "What's in this picture?", "Read this chest x-ray", "what do you see", "What is this?", "Findings?",
        "Describe this CT in detail.", "Tell me what this image shows", "What do the images show?",
    ],
)  # fmt: skip
def test_a_description_is_asked_for_in_many_words(text):
    assert wants_description(text)


@pytest.mark.parametrize(
    "text",
    [
        "Describe the mass in the left lung", "What is the diagnosis?", "Tell me about this lesion", "Any findings?",
        "What kind of image is this?", "What do you see in the left lung?", "Write a report.", "",
        "What does the arrow show?", "Compare this image with the one before.",
    ],
)  # fmt: skip
def test_something_more_particular_is_no_description(text):
    assert not wants_description(text)


def test_an_indirect_question_leaves_the_same_answers_to_choose_from():
    assert options_in("Could you tell me whether there is a mass?") == YES_NO
    assert options_in("Please tell me if this is normal.") == YES_NO
    assert options_in("Could you tell me whether it is benign or malignant?") == ("Benign", "Malignant")
    assert options_in("Could you tell me where the mass is?") == ()
