"""What the encoder learns from: pictures, categories, captions, and what each patch of a phantom shows."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from assistant.errors import ConfigError, DataError
from data_recipes.phantom_findings import MASK_CLASSES
from training.contrast_settings import PhantomSettings
from training.encoder_data import (
    caption_from,
    draw_phantoms,
    gather_real,
    load_encoder_data,
    patch_classes,
    rarity,
)


def test_attributes_read_as_a_caption():
    known = {"region": "brain", "modality": "MRI", "site": "A", "brain finding": "glioma"}
    assert caption_from(known) == "MRI of the brain, brain finding: glioma, site: A"
    assert caption_from({}) == "image of the body"


def test_each_picture_comes_once_with_all_that_is_known(small_data):
    paths, known = gather_real([small_data])
    assert len(paths) == len(set(paths)) == 6
    assert known[0] == {"modality": "MRI", "region": "brain", "brain finding": "glioma"}


def test_files_without_pictures_are_refused(tmp_path):
    (tmp_path / "a.jsonl").write_text("")
    with pytest.raises(DataError, match=r"a\.jsonl name no pictures; build them with"):
        gather_real([tmp_path / "a.jsonl"])


def test_a_patch_shows_its_largest_finding():
    masks = np.zeros((1, 8, 8), np.uint8)
    masks[0, :4, :2] = 2  # half of the first patch
    masks[0, :4, 2:3] = 1  # a quarter of it
    masks[0, 0, 4] = 3  # a sixteenth of the second
    assert patch_classes(masks, 2).tolist() == [[[2, 0], [0, 0]]]
    assert patch_classes(masks, 2, least=0.05).tolist() == [[[2, 3], [0, 0]]]


def test_rare_captions_are_drawn_more_often():
    weights = rarity(["a", "a", "a", "a", "b"])
    assert weights.mean().item() == pytest.approx(1)
    assert (weights[4] / weights[0]).item() == pytest.approx(2)


def test_phantoms_are_drawn_once(tmp_path):
    settings = PhantomSettings(count=3, seed=5)
    pixels, masks, truths, captions = draw_phantoms(settings, 64, tmp_path)
    assert (pixels.shape, masks.shape, len(truths), len(captions)) == ((3, 3, 64, 64), (3, 64, 64), 3, 3)
    assert masks.max() < len(MASK_CLASSES)
    dates = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    again = draw_phantoms(settings, 64, tmp_path)
    assert np.array_equal(again[0], pixels)
    assert again[2] == truths
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == dates


def test_phantoms_too_small_to_draw_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"at the encoder's size, 32 pixels, and take 64 at least\. Raise shape"):
        draw_phantoms(PhantomSettings(count=3), 32, tmp_path)


@pytest.mark.parametrize("count", [0, 4])
def test_everything_comes_together(small_data, tmp_path, count):
    data = load_encoder_data(
        [small_data],
        PhantomSettings(count=count),
        side=72,
        image_size=64,
        grid=4,
        cache=tmp_path,
        mirror=["brain"],
        turn=["chest"],
    )
    assert data.real == 6
    assert len(data.captions) == len(data.mirror) == len(data.turn) == len(data.table.targets) == 6 + count
    assert data.mirror.tolist() == [True, False] * 3 + [False] * count
    assert data.turn.tolist() == [False, True] * 3 + [False] * count
    assert data.patch_classes.shape == (count, 4, 4)
    assert data.real_batch(torch.tensor([5, 0])).shape == (2, 3, 72, 72)
    if count:
        assert data.phantom_batch(torch.tensor([6, 9])).shape == (2, 3, 64, 64)


def test_a_batch_of_phantoms_only_is_refused():
    with pytest.raises(ConfigError, match=r"phantoms\.share is 1\.0; it is a share of the batch"):
        PhantomSettings(share=1.0)
