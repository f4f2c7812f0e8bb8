import pytest

from assistant.errors import ConfigError
from assistant.guard import (
    Stop,
    check_familiar,
    check_header,
    check_premise,
    check_prior,
    check_text,
    modality_of,
    premised_modalities,
)
from assistant.known import Sight


def test_an_unfamiliar_picture_stops_and_says_what_is_known_and_what_helps():
    stop = check_familiar([Sight(4.0, "CT", 1.0)], ["CT", "MRI"], {"ood_distance": 1.6}, ["biomedclip-mistral"])
    assert stop is not None
    for part in (
        "unlike anything this model has seen",
        "4.00 away from the nearest known kind",
        "the limit is 1.60",
        "CT, MRI",
        "biomedclip-mistral",
    ):
        assert part in stop.text
    assert check_familiar([Sight(1.5, "CT", 1.0)], ["CT"], {"ood_distance": 1.6}, []) is None
    assert check_familiar([Sight(9.0, "CT", 1.0)], ["CT"], {}, []) is None


def test_one_strange_picture_among_several_stops():
    sights = [Sight(0.9, "CT", 1.0), Sight(7.0, "CT", 1.0)]
    stop = check_familiar(sights, ["CT"], {"ood_distance": 1.6}, [])
    assert stop is not None
    assert "At least one of the images" in stop.text


def test_the_header_goes_before_the_looks(make_picture):
    sight = Sight(0.9, "Dermoscopy", 0.99)
    assert modality_of([make_picture(modality="CT")], [sight]) == "CT"
    assert modality_of([make_picture()], [sight]) == "Dermoscopy"
    assert modality_of([make_picture()], [Sight(0.9, "CT", 0.6)]) is None
    assert modality_of([make_picture(modality="CT"), make_picture(modality="MRI")], []) is None
    assert modality_of([], []) is None
    caution = check_header(make_picture(modality="CT"), sight)
    assert caution is not None
    assert "header says CT, but the image looks like Dermoscopy" in caution
    assert check_header(make_picture(), sight) is None
    assert check_header(make_picture(modality="Dermoscopy"), sight) is None


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("Is there a mass in this chest CT?", {"CT"}),
        ("Does this X-ray show a fracture?", {"X-ray"}),
        ("What does the breast ultrasound show?", {"Ultrasound"}),
        ("Is this a CT or an MRI?", set()),
        ("Is this image an MRI?", set()),
        ("What kind of image is this?", set()),
        ("What does pneumonia look like on CT?", set()),
    ],
)
def test_only_what_a_question_takes_for_granted_counts(text, named):
    assert premised_modalities(text) == named


def test_a_premise_worlds_apart_stops_and_a_near_one_is_a_caution():
    assert isinstance(check_premise("Is there a mass in this chest CT?", "Dermoscopy"), Stop)
    assert isinstance(check_premise("Is there a mass in this brain CT?", "MRI"), str)
    assert check_premise("Is there a mass in this brain CT?", "CT") is None
    assert check_premise("Is there a mass in this brain CT?", None) is None


def test_talk_of_a_prior_without_one_is_a_caution():
    for text in (
        "Has the nodule grown?",
        "Any change since the last scan?",
        "Compared to the prior image, is it worse?",
    ):
        assert check_prior(text, 1) is not None
        assert check_prior(text, 2) is None
    assert check_prior("Is the heart enlarged?", 1) is None


def test_an_empty_or_endless_question_is_refused():
    with pytest.raises(ConfigError, match="The question is empty"):
        check_text("  \n")
    with pytest.raises(ConfigError, match="has 5000 characters; at most 4000"):
        check_text("x" * 5000)
