"""Batches for the encoder, and the loss of mixed pictures."""

from __future__ import annotations

import pytest
import torch

from training.attributes import attribute_loss
from training.augment_settings import AugmentSettings
from training.batches import Batch, BatchMaker
from training.contrast_settings import PhantomSettings
from training.encoder_data import load_encoder_data
from training.pictures import resized
from training.teacher import mixed_loss

NONE = AugmentSettings(0, 0, 0, 0, 0, 0, 0, 0, 0, 0)


@pytest.fixture
def make(small_data, tmp_path):
    """Return a function that makes a maker over 6 pictures and 4 phantoms."""
    data = load_encoder_data(
        [small_data],
        PhantomSettings(count=4),
        side=64,
        image_size=64,
        grid=4,
        cache=tmp_path,
        mirror=[],
        turn=[],
    )

    def maker(**changes) -> BatchMaker:
        values = {"settings": NONE, "batch_size": 8, "phantom_share": 0.25, "mixing": 0.0, **changes}
        return BatchMaker(data, size=64, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25), **values)

    return maker


def draw(maker, seed=0):
    return maker.draw(torch.Generator().manual_seed(seed))


def test_real_pictures_come_first_and_phantoms_after(make):
    maker = make()
    batch = draw(maker)
    assert (batch.images.shape, batch.real, batch.share) == ((8, 3, 64, 64), 6, 1.0)
    assert (batch.index[:6] < 6).all()
    assert (batch.index[6:] >= 6).all()
    shown = maker.data.phantom_batch(batch.index[6:]).float() / 255
    assert torch.allclose(batch.images[6:] * 0.25 + 0.5, shown, atol=1e-3)


def test_a_teacher_is_shown_the_same_pictures_larger(make):
    batch = draw(make(large=128, mixing=1.0))
    assert (batch.large.shape, batch.images.shape) == ((6, 3, 128, 128), (8, 3, 64, 64))
    assert torch.allclose(resized(batch.large, 64), batch.images[:6], atol=1e-5)
    assert draw(make(large=64)).large is None


def test_without_phantoms_all_are_real(make):
    batch = draw(make(phantom_share=0.0))
    assert batch.real == len(batch.index) == 8


def test_pictures_are_mixed_with_their_partner(make):
    maker = make(mixing=1.0)
    batch = draw(maker)
    assert 0 <= batch.share < 1
    real = slice(0, batch.real)
    shown = maker.data.real_batch(batch.index[real]).float() / 255
    mixed = batch.share * shown + (1 - batch.share) * shown[batch.partner[real]]
    assert torch.allclose(batch.images[real] * 0.25 + 0.5, mixed, atol=1e-3)
    assert batch.partner[batch.real :].tolist() == [6, 7]


def test_equal_chance_gives_equal_batches(make):
    maker = make(mixing=0.5, settings=AugmentSettings())
    one, other = draw(maker, 3), draw(maker, 3)
    assert torch.equal(one.images, other.images)
    assert not torch.equal(one.images, draw(maker, 4).images)


def test_a_mixed_picture_is_both_of_its_parts():
    logits = [torch.tensor([[2.0, 0.0], [0.0, 1.0]])]
    targets, weights = torch.tensor([[0], [1]]), torch.ones(1)
    index, partner = torch.tensor([0, 1]), torch.tensor([1, 0])
    batch = Batch(torch.zeros(2, 3, 4, 4), index, partner, 0.25, 2)
    own, other = attribute_loss(logits, targets, weights), attribute_loss(logits, targets[partner], weights)
    assert torch.allclose(mixed_loss(logits, batch, targets, weights), (0.25 * own + 0.75 * other).mean())
    whole = Batch(torch.zeros(2, 3, 4, 4), index, index, 1.0, 2)
    assert torch.allclose(mixed_loss(logits, whole, targets, weights), own.mean())
