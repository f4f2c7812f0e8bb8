"""The loss that joins pictures and texts, and what the student gives."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from training.student import Student, matching_loss, pairwise_loss


def unit(count, seed):
    return F.normalize(torch.randn(count, 8, generator=torch.Generator().manual_seed(seed)), dim=-1)


def test_without_equal_content_it_is_the_usual_contrastive_loss():
    one, other, scale = unit(5, 0), unit(5, 1), torch.tensor(7.0)
    logits, numbers = scale * one @ other.T, torch.arange(5)
    usual = (F.cross_entropy(logits, numbers) + F.cross_entropy(logits.T, numbers)) / 2
    assert matching_loss(one, other, torch.eye(5, dtype=torch.bool), scale).item() == pytest.approx(usual.item())


def test_equal_content_counts_as_a_match():
    one = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    everything = torch.ones(2, 2, dtype=torch.bool)
    # All four pairs are alike and all are wanted: each row is a fair choice of two.
    assert matching_loss(one, one, everything, torch.tensor(3.0)).item() == pytest.approx(math.log(2))


def test_each_pair_by_itself_is_siglips_loss():
    from open_clip.loss import SigLipLoss

    one, other, scale, bias = unit(6, 0), unit(6, 1), torch.tensor(9.0), torch.tensor(-4.0)
    theirs = SigLipLoss()(one, other, scale, bias)
    ours = pairwise_loss(one, other, torch.eye(6, dtype=torch.bool), scale, bias)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-5)


def test_equal_content_is_wanted_by_each_pair():
    one = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    everything = torch.ones(2, 2, dtype=torch.bool)
    found = pairwise_loss(one, one, everything, torch.tensor(3.0), torch.tensor(-1.0))
    assert found.item() == pytest.approx(2 * math.log(1 + math.exp(-2)))


def test_the_class_token_becomes_the_joint_embedding(encoder_folder):
    from assistant.model.openclip import open_openclip

    clip = open_openclip(encoder_folder)
    student = Student(clip, [2, 3], teacher_width=7).eval()
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        joint, patches, from_class, from_patches = student(images)
        assert torch.allclose(joint, clip.encode_image(images, normalize=True), atol=1e-6)
    assert patches.shape == (2, 16, 32)
    assert [tuple(one.shape) for one in from_class] == [tuple(one.shape) for one in from_patches] == [(2, 2), (2, 3)]
    assert Student(clip, [2], teacher_width=None).place_head is None
