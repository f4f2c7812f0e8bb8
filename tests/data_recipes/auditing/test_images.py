"""Pictures compared by content."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from data_recipes.auditing.images import NEAR_BITS, SAME, correlation, near_pairs, perceptual_hash, read_images
from data_recipes.phantom import make_phantom


def small(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture.convert("L").resize((64, 64), Image.Resampling.BOX))


def as_jpeg(picture: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=60)
    return Image.open(buffer)


@pytest.mark.parametrize(
    "change",
    [as_jpeg, lambda p: p.resize((80, 80)), lambda p: p.resize((300, 300)), lambda p: p.point(lambda v: v * 0.8 + 20)],
)
def test_copies_agree_in_hash_and_look_and_others_do_not(picture, change):
    for seed in range(20):
        one, copy, other = (small(item)[None] for item in (picture(seed), change(picture(seed)), picture(seed + 50)))
        assert np.unpackbits(perceptual_hash(one) ^ perceptual_hash(copy)).sum() <= NEAR_BITS
        assert correlation(one, copy)[0] >= SAME
        assert np.unpackbits(perceptual_hash(one) ^ perceptual_hash(other)).sum() > NEAR_BITS
        assert correlation(one, other)[0] < SAME


@pytest.mark.parametrize("turn", list(Image.Transpose), ids=lambda turn: turn.name)
def test_turned_and_mirrored_copies_are_found_as_such(tmp_path, picture, turn):
    picture(1).save(tmp_path / "a.png")
    picture(1).transpose(turn).save(tmp_path / "b.png")
    picture(2).save(tmp_path / "c.png")
    images = read_images([str(tmp_path / f"{name}.png") for name in "abc"])
    found = near_pairs(images, np.array([0]), np.array([1, 2]))
    assert [(pair.first, pair.second, pair.turned) for pair in found] == [(0, 1, True)]


def test_drawn_pictures_are_alike_by_design_but_a_copy_is_found(tmp_path):
    for index in range(60):
        Image.fromarray(make_phantom(0, index, kind="head_ct").pixels).save(tmp_path / f"{index:02}.png")
    as_jpeg(Image.fromarray(make_phantom(0, 7, kind="head_ct").pixels)).save(tmp_path / "60.png")
    images = read_images([str(tmp_path / f"{index:02}.png") for index in range(61)])
    found = near_pairs(images, np.arange(60), np.array([*range(30), 60]), np.ones(61, bool))
    assert [(pair.first, pair.second) for pair in found] == [(7, 60)]


def test_equal_files_share_one_place_and_broken_ones_are_noted(tmp_path, picture):
    picture(1).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes())
    (tmp_path / "c.png").write_bytes(b"no picture")
    names = [str(tmp_path / f"{name}.png") for name in "abcd"]
    images = read_images(names)
    assert images.content == {names[0]: 0, names[1]: 0}
    assert images.broken[names[2]].startswith("this is text, not a picture")
    assert images.broken[names[3]] == "cannot be read (No such file or directory)"


def test_no_picture_at_all_is_fine():
    images = read_images([])
    assert near_pairs(images, np.zeros(0, int), np.zeros(0, int)) == []
