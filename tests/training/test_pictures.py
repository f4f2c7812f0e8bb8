"""Decoded once, then changed at random and always the same way from the same chance."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image

from training.augment_settings import AugmentSettings
from training.pictures import augment, build_store, plain, square_pixels

NONE = AugmentSettings(0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
STILL = {"mirror": torch.zeros(2, dtype=torch.bool), "turn": torch.zeros(2, dtype=torch.bool)}


@pytest.fixture
def pixels():
    return torch.randint(1, 255, (2, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))


def changed(pixels, settings=NONE, seed=0, size=16, **masks):
    values = {**STILL, "still": torch.zeros(2, dtype=torch.bool), **masks}
    return augment(pixels, size, settings, torch.Generator().manual_seed(seed), **values)


def test_pictures_are_padded_to_a_square_and_keep_their_middle(tmp_path):
    Image.new("RGB", (40, 20), (200, 100, 50)).save(tmp_path / "a.png")
    square = square_pixels(tmp_path / "a.png", 20)
    assert square.shape == (3, 20, 20)
    assert square[:, 10, 10].tolist() == [200, 100, 50]
    assert square[:, 1, 10].tolist() == [0, 0, 0]


def test_the_store_is_made_once_and_anew_when_a_picture_changes(tmp_path):
    path = tmp_path / "a.png"
    Image.new("L", (8, 8), 10).save(path)
    first = build_store([path], 8, tmp_path / "cache")
    (file,) = (tmp_path / "cache").iterdir()
    made = file.stat().st_mtime_ns
    assert np.array_equal(build_store([path], 8, tmp_path / "cache"), first)
    assert file.stat().st_mtime_ns == made
    Image.new("L", (9, 9), 90).save(path)
    assert build_store([path], 8, tmp_path / "cache")[0, 0, 4, 4] == 90
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_no_augmentation_changes_nothing(pixels):
    assert torch.allclose(changed(pixels), pixels.float() / 255, atol=2e-4)


def test_equal_chance_gives_equal_pictures(pixels):
    settings = AugmentSettings()
    assert torch.equal(changed(pixels, settings, seed=4), changed(pixels, settings, seed=4))
    assert not torch.equal(changed(pixels, settings, seed=4), changed(pixels, settings, seed=5))


def test_coarse_pictures_lose_what_is_small():
    board = (torch.arange(32)[:, None] + torch.arange(32)) % 2 * 200
    pixels = board.to(torch.uint8).expand(2, 3, 32, 32).contiguous()
    kept = changed(pixels, size=32)
    coarse = changed(pixels, dataclasses.replace(NONE, coarse=1.0), size=32)
    assert coarse.shape == kept.shape
    assert coarse.std() < 0.5 * kept.std()
    assert coarse.mean() == pytest.approx(kept.mean().item(), abs=0.02)


def test_only_what_may_be_mirrored_is(pixels):
    both = torch.ones(2, dtype=torch.bool)
    plainly, mirrored = changed(pixels), changed(pixels.flip(-1))
    seen = set()
    for seed in range(12):
        free = changed(pixels, seed=seed, mirror=both)
        seen |= {torch.allclose(free[0], mirrored[0], atol=1e-3)}
        assert torch.allclose(changed(pixels, seed=seed), plainly, atol=1e-3)
        assert torch.allclose(changed(pixels, seed=seed, mirror=both, still=both), plainly, atol=1e-3)
    assert seen == {True, False}


def test_a_still_picture_keeps_its_geometry(pixels):
    moving = AugmentSettings(45, 0.5, 0.3, 0.3, 0, 0, 0, 0, 0, 0)
    both = torch.ones(2, dtype=torch.bool)
    assert torch.allclose(changed(pixels, moving, still=both, turn=both), changed(pixels), atol=1e-3)
    assert not torch.allclose(changed(pixels, moving), changed(pixels), atol=1e-1)


def test_a_still_picture_is_not_covered():
    white = torch.full((2, 3, 32, 32), 255, dtype=torch.uint8)
    one = torch.tensor([True, False])
    covered = changed(white, AugmentSettings(0, 0, 0, 0, 0, 0, 0, 0, 0, 1.0), size=32, still=one) < 0.999
    assert not covered[0].any()
    assert covered[1].any()


def test_erasing_covers_a_square_with_one_grey():
    white = torch.full((2, 3, 32, 32), 255, dtype=torch.uint8)
    covered = changed(white, AugmentSettings(0, 0, 0, 0, 0, 0, 0, 0, 0, 1.0), size=32) < 0.999
    rows, columns = covered[0, 0].any(1), covered[0, 0].any(0)
    assert rows.sum() == columns.sum()
    assert 3 <= rows.sum() <= 10
    assert covered[0, 0].sum() == rows.sum() ** 2


def test_plain_only_resizes(pixels):
    assert torch.equal(plain(pixels, 16), pixels.float() / 255)
    small = plain(pixels, 8)
    assert small.shape == (2, 3, 8, 8)
    assert small.mean() == pytest.approx((pixels.float() / 255).mean().item(), abs=0.02)
