"""The encoder while it learns: with heads that are thrown away after, and the loss that joins pictures and texts."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from data_recipes.phantom_findings import MASK_CLASSES
from training.attributes import AttributeHeads


class Student(nn.Module):
    """The encoder with the heads that teach it; the heads are thrown away."""

    def __init__(self, clip: Any, sizes: list[int], teacher_width: int | None, *, pair_bias: bool = False) -> None:
        super().__init__()
        self.clip = clip
        width = clip.visual.trunk.embed_dim
        self.class_heads = AttributeHeads(width, sizes)
        self.patch_heads = AttributeHeads(width, sizes)
        self.dense_head = nn.Linear(width, len(MASK_CLASSES))
        self.place_head = nn.Linear(width, teacher_width) if teacher_width else None
        # SigLIP's own start: most pairs do not match. Cosine similarities need no bias afterwards, so it is not kept.
        self.pair_bias = nn.Parameter(torch.tensor(-10.0)) if pair_bias else None

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, list[Tensor], list[Tensor]]:
        """Return joint embeddings (B, E), patches (B, P, D), logits from the class token and from the patches."""
        tokens = self.clip.visual.trunk.forward_features(images)
        joint = F.normalize(self.clip.visual.head(tokens[:, 0]).float(), dim=-1)
        patches = tokens[:, 1:]
        return joint, patches, self.class_heads(tokens[:, 0]), self.patch_heads(patches.mean(dim=1))


def matching_loss(one: Tensor, other: Tensor, same: Tensor, scale: Tensor) -> Tensor:
    """Return the symmetric contrastive loss in which every pair of equal content counts as a match.

    Args:
        one: (B, E) unit vectors.
        other: (B, E) unit vectors.
        same: bool (B, B), which pairs mean the same.
        scale: inverse temperature.
    Returns:
        A scalar.
    """
    logits = scale * one @ other.T
    wanted = same.float()
    rows = -(logits.log_softmax(1) * wanted / wanted.sum(1, keepdim=True)).sum(1).mean()
    columns = -(logits.log_softmax(0) * wanted / wanted.sum(0, keepdim=True)).sum(0).mean()
    return (rows + columns) / 2


def pairwise_loss(one: Tensor, other: Tensor, same: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    """Return the loss in which every pair is judged by itself: does this text belong to this picture?

    Args:
        one: (B, E) unit vectors.
        other: (B, E) unit vectors.
        same: bool (B, B), which pairs mean the same.
        scale: inverse temperature.
        bias: added to all logits.
    Returns:
        A scalar: the sum over a picture's pairs, averaged over pictures.
    Source: Zhai et al., Sigmoid Loss for Language Image Pre-Training, 2023.
    """
    logits = scale * one @ other.T + bias
    signs = torch.where(same, 1.0, -1.0)
    return -F.logsigmoid(signs * logits).sum(1).mean()
