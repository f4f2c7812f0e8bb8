"""The encoder while it learns: with heads that are thrown away after, and the loss that joins pictures and texts."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from data_recipes.phantom import MASK_CLASSES
from training.attributes import AttributeHeads


class Student(nn.Module):
    """The encoder with the heads that teach it; the heads are thrown away."""

    def __init__(self, clip: Any, sizes: list[int], teacher_width: int | None) -> None:
        super().__init__()
        self.clip = clip
        width = clip.visual.trunk.embed_dim
        self.class_heads = AttributeHeads(width, sizes)
        self.patch_heads = AttributeHeads(width, sizes)
        self.dense_head = nn.Linear(width, len(MASK_CLASSES))
        self.place_head = nn.Linear(width, teacher_width) if teacher_width else None

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
