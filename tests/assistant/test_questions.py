import pytest

from assistant.conversation import Question, Turn
from assistant.questions import (
    YES_NO,
    completed,
    is_elliptic,
    is_no_answer,
    matching_option,
    newest,
    options_in,
    options_of,
    standalone,
    wants_report,
    written_forms,
)


@pytest.mark.parametrize(
    "text",
    [
        "Is there a pleural effusion?",
        "Does this chest X-ray show pneumonia?",
        "Is/Are the heart enlarged? -yes/no",
        "Besides the mass, are there other enhancements?",
        "Can you see the fourth ventricle?",
        "Any evidence of a mass?",
        "Is there a mass or nodule?",
        "Would you describe the mass as cystic?",
        "Is this MRI normal?",
    ],
)
def test_yes_no_questions_are_closed(text):
    assert options_in(text) == YES_NO


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("How would it be classified: normal, benign or malignant?", ("Normal", "Benign", "Malignant")),
        ("Which is it: glioma, pituitary tumor, or no tumor?", ("Glioma", "Pituitary tumor", "No tumor")),
        ("Is this the left or the right eye?", ("Left", "Right")),
        ("Is the lesion on the right side or left side?", ("Right", "Left")),
        ("Is this a CT or an MRI?", ("CT", "MRI")),
        ("Is the abnormality hyperintense or hypointense?", ("Hyperintense", "Hypointense")),
        ("Is the contour regular or irregular?", ("Regular", "Irregular")),
        ("Which is more likely? Cancer or hemorrhage?", ("Cancer", "Hemorrhage")),
    ],
)
def test_named_alternatives_are_the_options(text, options):
    assert options_in(text) == options


@pytest.mark.parametrize(
    "text",
    [
        "What kind of image is this?",
        "Where is the lesion?",
        "Can you describe the image?",
        "Could you please tell me what this shows?",
        "Is this an abscess or cancer?",
        "Is the lesion more or less dense than the tissue around it?",
        "How many white blood cells are there?",
        "Describe the findings: what is seen or suspected in the lower zone of the left lung at its base?",
        "",
    ],
)
def test_other_questions_are_open(text):
    assert options_in(text) == ()


@pytest.mark.parametrize(
    ("before", "text", "asked"),
    [
        ("Is there a mass?", "Where is it?", "Is there a mass? Where is it?"),
        ("Is there a mass?", "Where?", "Is there a mass? Where?"),
        ("Is there a mass?", "And on the left?", "Is there a mass? And on the left?"),
        ("Describe this image.", "Where is it?", "Where is it?"),
        ("Describe this image.", "Is it normal?", "Is it normal?"),
        ("Is there a mass?", "Is this a CT or an X-ray?", "Is this a CT or an X-ray?"),
    ],
)
def test_without_history_only_what_cannot_stand_alone_is_completed(before, text, asked):
    question = Question(text, history=(Turn("user", before), Turn("assistant", "Yes")))
    assert completed(question).text == asked


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Write a report.", True),
        ("Can you write a report?", True),
        ("please draft me a short radiology report on this chest X-ray", True),
        ("Give me the report for this image, please!", True),
        ("Write a report on the history of radiology in the last two centuries.", False),
        ("Is there a report?", False),
        ("Write a report and tell me whether it is cancer", False),
        ("What does the report say?", False),
    ],
)
def test_a_request_for_a_report_and_nothing_else_is_told(text, wanted):
    assert wants_report(text) == wanted


def test_given_options_go_before_the_wording():
    assert options_of(Question("Is it a glioma?", options=("Glioma", " Cyst ", "Glioma"))) == ("Glioma", "Cyst")


def test_forms_cover_capitals():
    assert written_forms("pituitary tumor") == ("pituitary tumor", "Pituitary tumor")
    assert written_forms("Yes") == ("Yes", "yes")


@pytest.mark.parametrize(
    ("text", "option"),
    [("yes", "Yes"), ("No.", "No"), ("No, it is clear", "No"), ("Nothing", None), ("", None), ("left", None)],
)
def test_a_free_answer_is_matched_to_its_option(text, option):
    assert matching_option(text, YES_NO) == option


def test_the_longest_option_that_an_answer_begins_with_is_meant():
    assert matching_option("no tumor is seen", ("No", "No tumor")) == "No tumor"


def test_a_follow_up_is_searched_with_the_question_before_it():
    history = (Turn("user", "Is there a pneumothorax?"), Turn("assistant", "Yes"))
    assert standalone(Question("On which side is it?", history=history)).text.startswith("Is there a pneumothorax? On")
    whole = Question("What does a meningioma look like on a brain MRI with contrast?", history=history)
    assert standalone(whole) is whole
    assert is_elliptic("And on the left?")
    assert not is_elliptic("What kind of image is shown here?")


def test_history_is_cut_at_a_turn_of_the_person():
    turns = [Turn("user", "a"), Turn("assistant", "b"), Turn("user", "c"), Turn("assistant", "d")]
    assert [turn.text for turn in newest(turns, 3)] == ["c", "d"]
    assert newest(turns, 0) == ()


@pytest.mark.parametrize(
    ("asked", "text", "none"),
    [
        ("Where is the effusion?", "No", True),
        ("In which lobe is the mass?", "Yes.", True),
        ("Could you tell me where the mass is?", "no", True),
        ("What is seen?", "No abnormality", False),
        ("Which lung?", "Nodule", False),
        ("Is there a mass?", "No", False),
        ("Any findings?", "No", False),
    ],
)
def test_yes_or_no_is_no_answer_to_where_what_or_which(asked, text, none):
    assert is_no_answer(asked, text) == none
