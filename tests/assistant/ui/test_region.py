import numpy as np
import pytest

from assistant.ui.region import Region, crop, drawn, share_of


def test_two_clicks_make_a_box_whatever_their_order():
    region = Region().clicked((0.8, 0.6)).clicked((0.2, 0.1))
    assert region.whole
    assert region.box == (0.2, 0.1, 0.8, 0.6)


def test_a_third_click_begins_another_box_and_two_on_one_spot_are_none():
    region = Region().clicked((0.1, 0.1)).clicked((0.5, 0.5)).clicked((0.7, 0.7))
    assert (region.first, region.second) == ((0.7, 0.7), None)
    assert region.clicked((0.705, 0.9)) == Region((0.705, 0.9))


def test_each_step_says_what_to_do():
    steps = [Region(), Region((0.1, 0.1)), Region((0.1, 0.1), (0.5, 0.5))]
    assert [word in step.words() for step, word in zip(steps, ("two", "opposite", "next question"), strict=True)]
    assert len({step.words() for step in steps}) == 3


def test_a_click_is_a_share_of_what_was_shown():
    assert share_of((127, 0), (256, 100)) == pytest.approx((0.498, 0.005), abs=1e-3)
    assert share_of((900, -5), (256, 100)) == (1.0, 0.0)


def test_a_crop_is_the_box_with_a_margin_and_keeps_what_the_header_told(make_picture):
    picture = make_picture(1, 200, 100)
    part = crop(picture, Region((0.5, 0.5), (0.75, 0.75)), margin=0.2)
    assert np.array_equal(part.pixels, picture.pixels[45:80, 90:160])
    assert part.modality == picture.modality
    assert crop(picture, Region((0.9, 0.9), (1.0, 1.0))).size[0] >= 20


def test_a_small_box_still_shows_something(make_picture):
    assert min(crop(make_picture(1, 60, 40), Region((0.5, 0.5), (0.52, 0.53))).size) >= 8


def test_the_box_is_drawn_where_it_is(make_picture):
    picture = make_picture(1, 300, 200)
    plain, boxed = np.asarray(drawn(picture, Region())), np.asarray(drawn(picture, Region((0.5, 0.5), (0.9, 0.9))))
    changed = (plain != boxed).any(axis=2)
    rows, columns = np.nonzero(changed)
    assert (rows.min(), columns.min()) == (100, 150)
    assert not changed[110:170, 160:260].any()
    assert (plain != np.asarray(drawn(picture, Region((0.5, 0.5))))).any()
