import numpy as np
import pytest
import torch

from assistant.case import Case
from assistant.conversation import Question, ReportRequest
from assistant.engine.features import PictureFeatures
from assistant.errors import ConfigError
from assistant.imaging.picture import Picture, Section
from assistant.slices import best_apart, choose_slices, grey_grid, standing_out, uniform, with_neighbours

COUNT = 12


def picture(place, series="a", grey=60):
    pixels = np.full((64, 64, 3), grey + place, np.uint8)
    return Picture(pixels, section=Section(series, place + 1, COUNT, "axial", 5.0 * place))


def features(place, odd=None):
    """Features that change steadily from slice to slice; the odd slice has a patch of its own."""
    patches = torch.full((4, 3), float(place)) + 0.01 * torch.randn(
        4, 3, generator=torch.Generator().manual_seed(place)
    )
    if place == odd:
        patches[2, 1] += 9
    joint = np.eye(2, dtype=np.float32)[int(place == 8)]
    return PictureFeatures(patches, joint)


def case(odd=7, **kept):
    made = Case(tuple(picture(place) for place in range(COUNT)), **kept)
    made.features = [features(place, odd) for place in range(COUNT)]
    return made


def embed(texts):
    return np.array([[0.0, 1.0]] * len(texts), np.float32)


def choose(made, count=1, choice="auto"):
    choose_slices(made, count, choice, embed)
    return [note.section.number for note in made.slices]


def test_the_slice_that_stands_out_is_read_and_said():
    made = case(request=ReportRequest(()))
    assert choose(made) == [8]
    assert [one.section.number for one in made.pictures] == [8]
    assert len(made.features) == 1
    assert made.slices[0].why == "unusual"
    assert made.cautions == ["Of 12 slices the model read 1: axial slice 8 of 12 at 35.0 mm. The others may show more."]
    assert made.slices[0].to_dict()["slice"] == 8


@pytest.mark.parametrize("odd", range(2, 10))
def test_it_is_found_wherever_it_lies(odd):
    assert choose(case(odd, request=ReportRequest(()))) == [odd + 1]


def test_several_are_read_in_their_order_and_listed_by_score():
    made = case(request=ReportRequest(()))
    numbers = choose(made, 3)
    assert numbers[0] == 8
    read = [one.section.number for one in made.pictures]
    assert read == sorted(numbers)


def test_two_lesions_are_both_read():
    made = case(3, request=ReportRequest(()))
    made.features[8] = features(8, 8)
    assert sorted(choose(made, 2)) == [4, 9]


def test_what_is_left_of_the_room_goes_to_the_neighbours_of_the_first():
    assert with_neighbours([5, 9], 10, 4) == [5, 9, 4, 6]
    assert with_neighbours([0], 2, 5) == [0, 1]


def test_relevance_follows_the_question():
    assert choose(case(question=Question("Is there a bleed?")), choice="relevant") == [9]


def test_an_even_spread_takes_the_middle_first():
    assert choose(case(request=ReportRequest(())), choice="uniform") == [7]
    assert uniform(10, 2) == [2, 7]
    assert uniform(3, 5) == [0, 1, 2]


def test_slices_without_a_difference_are_spread_evenly():
    made = Case(tuple(picture(0) for _ in range(3)), request=ReportRequest(()))
    made.features = [features(0) for _ in range(3)]
    choose_slices(made, 1, "auto", embed)
    assert made.slices[0].why == "uniform"


def test_single_pictures_stay_and_a_prior_volume_shows_the_same_place():
    plain = Picture(np.zeros((8, 8, 3), np.uint8))
    priors = tuple(picture(place, "before") for place in range(COUNT))
    current = tuple(picture(place) for place in range(COUNT))
    made = Case((*priors, *current, plain), request=ReportRequest((*current, plain), priors))
    made.features = [features(place, 7) for place in range(COUNT)] * 2 + [features(0)]
    choose_slices(made, 1, "auto", embed)
    assert [one.section and (one.section.series, one.section.number) for one in made.pictures] == [
        ("before", 8), ("a", 8), None,
    ]  # fmt: skip
    assert len(made.features) == 3


def test_an_unknown_way_to_choose_is_refused():
    with pytest.raises(ConfigError, match="slice_choice is 'best'; use one of auto, unusual"):
        choose(case(), choice="best")


def test_a_steady_change_does_not_stand_out():
    steady = np.arange(20.0)[:, None, None] * np.ones((1, 4, 2))
    assert np.allclose(standing_out(steady), 0)
    steady[9, 1] += 3
    assert int(np.argmax(standing_out(steady))) == 9


def test_few_slices_are_not_judged():
    assert np.array_equal(standing_out(np.random.default_rng(0).random((4, 2, 2))), np.zeros(4))


def test_best_places_lie_apart():
    assert best_apart(np.array([1.0, 9, 8, 0, 5]), 3) == [1, 4]


def test_a_grid_holds_mean_greys():
    pixels = np.repeat(np.arange(16, dtype=np.uint8).reshape(4, 4)[:, :, None], 3, axis=2)
    assert np.allclose(grey_grid(pixels, 2).ravel(), [2.5, 4.5, 10.5, 12.5])
