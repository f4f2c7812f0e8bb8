from dataclasses import replace

import pytest

from assistant.imaging.picture import Section, subjects
from assistant.slice_note import SliceNote, pictures_read


@pytest.fixture
def stack(make_picture):
    def make(series, count=5, first_mm=0.0):
        sections = [Section(series, number, count, "axial", first_mm + 4.0 * number) for number in range(1, count + 1)]
        return [replace(make_picture(one.number), section=one) for one in sections]

    return make


def test_of_a_volume_the_slices_that_were_read_are_kept_and_other_pictures_stay(stack, make_picture):
    volume, radiograph = stack("a"), make_picture(9)
    note = SliceNote(volume[2].section, "unusual", 7.0)
    assert pictures_read([*volume, radiograph], [note]) == (volume[2], radiograph)
    assert pictures_read(volume, ()) == tuple(volume)


def test_of_a_prior_the_slice_nearest_to_them_is_kept(stack):
    volume, prior = stack("a"), stack("b", first_mm=1.0)
    note = SliceNote(volume[2].section, "unusual", 7.0)
    assert pictures_read(prior, [note]) == (prior[2],)


def test_pictures_are_grouped_by_volume(stack, make_picture):
    assert subjects([make_picture(1), *stack("a", 2), make_picture(2), *stack("b", 2)]) == [[0], [1, 2], [3], [4, 5]]


def test_the_same_volume_given_twice_is_two(stack):
    assert subjects([*stack("a", 2), *stack("a", 2)]) == [[0, 1], [2, 3]]
