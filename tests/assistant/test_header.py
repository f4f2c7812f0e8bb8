"""The kind of image, where the file's header names it."""

from __future__ import annotations

import pytest

from assistant.header import answer_from_header, header_modality


@pytest.mark.parametrize(
    "text",
    [
        "What kind of image is this?",
        "What imaging modality is shown?",
        "Which imaging technique was used?",
        "How was this image taken?",
        "What is the modality?",
        "What type of scan is this",
        "Tell me what kind of image this is.",
        "Hello, could you please tell me which imaging technique was used? Thanks!",
    ],
)
def test_what_asks_for_the_kind_alone_is_answered(make_picture, text):
    assert answer_from_header(text, (), [make_picture(modality="CT")]) == "CT"


@pytest.mark.parametrize(
    "text",
    [
        "What type of MRI is this?",
        "What kind of lesion is in this image?",
        "How is this scan different from the last one?",
        "Is this an abnormal scan?",
        "What is this?",
        "Is this a CT of the chest?",
    ],
)
def test_what_asks_for_more_is_left_to_the_model(make_picture, text):
    assert answer_from_header(text, (), [make_picture(modality="CT")]) is None


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Is this a CT?", "Yes"),
        ("Is this image an MRI?", "No"),
        ("Was this taken by computed tomography?", "Yes"),
        ("Is it a chest X-ray?", "No"),
        ("is this a ct scan", "Yes"),
        ("Could you please check whether this is an MRI?", "No"),
    ],
)
def test_yes_or_no(make_picture, text, answer):
    assert answer_from_header(text, ("Yes", "No"), [make_picture(modality="CT")]) == answer


def test_of_the_options_the_one_that_names_it(make_picture):
    options = ("MRI", "CT scan")
    for text in ("Is this an MRI or a CT scan?", "Which modality is this?"):
        assert answer_from_header(text, options, [make_picture(modality="CT")]) == "CT scan"
        assert answer_from_header(text, options, [make_picture(modality="Ultrasound")]) is None


def test_headers_that_differ_or_tell_nothing(make_picture):
    ct, mri, unknown = (make_picture(seed, modality=name) for seed, name in enumerate(("CT", "MRI", None)))
    assert header_modality([ct, ct]) == "CT"
    for pictures in ([ct, mri], [ct, unknown], [unknown], []):
        assert answer_from_header("What kind of image is this?", (), pictures) is None
