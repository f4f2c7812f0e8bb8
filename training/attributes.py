"""What is known of each training picture as categories, with heads and a loss that learn from whatever is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

UNKNOWN = -1


@dataclass(frozen=True)
class AttributeTable:
    """Categories of many pictures.

    `names` are the attributes ("modality", "brain finding", …), `values[a]` the categories of attribute a, and
    `targets` int64 (N, A) holds the index of each picture's category, or `UNKNOWN`.
    """

    names: tuple[str, ...]
    values: tuple[tuple[str, ...], ...]
    targets: Tensor

    @property
    def sizes(self) -> list[int]:
        """Number of categories of each attribute."""
        return [len(one) for one in self.values]


def flat_attributes(truth: Mapping[str, Any]) -> dict[str, str]:
    """Return the attributes in an example's truth: its text values, and yes or no for each possible phantom finding."""
    return {key: value for key, value in truth.items() if isinstance(value, str)}


def build_table(known: Sequence[Mapping[str, str]], *, like: AttributeTable | None = None) -> AttributeTable:
    """Gather categories into targets.

    Args:
        known: one mapping a picture, attribute to category.
        like: keep this table's attributes and categories; others become `UNKNOWN`. For a second split.
    Returns:
        One row a picture. Attributes with a single category teach nothing and are left out.
    """
    if like is not None:
        names, values = like.names, like.values
    else:
        seen: dict[str, set[str]] = {}
        for one in known:
            for name, value in one.items():
                seen.setdefault(name, set()).add(value)
        useful = {name: tuple(sorted(found)) for name, found in seen.items() if len(found) > 1}
        names, values = tuple(sorted(useful)), tuple(useful[name] for name in sorted(useful))
    targets = torch.full((len(known), len(names)), UNKNOWN, dtype=torch.long)
    index = [{value: number for number, value in enumerate(one)} for one in values]
    for row, one in enumerate(known):
        for column, name in enumerate(names):
            targets[row, column] = index[column].get(one.get(name, ""), UNKNOWN)
    return AttributeTable(names, values, targets)


class AttributeHeads(nn.Module):
    """One linear layer whose outputs are split into the attributes' logits."""

    def __init__(self, width: int, sizes: Sequence[int]) -> None:
        super().__init__()
        self.sizes = list(sizes)
        self.linear = nn.Linear(width, sum(sizes))

    def forward(self, features: Tensor) -> list[Tensor]:
        """Turn features (B, width) into one logit tensor (B, categories) an attribute."""
        return list(self.linear(features).split(self.sizes, dim=-1))


def attribute_loss(logits: Sequence[Tensor], targets: Tensor, weights: Tensor, *, smoothing: float = 0.1) -> Tensor:
    """Return the weighted cross-entropy over the attributes known of each picture, (B,).

    Args:
        logits: one (B, categories) tensor an attribute.
        targets: int64 (B, A), `UNKNOWN` where not known.
        weights: (A,) weight of each attribute.
        smoothing: label smoothing.
    Returns:
        (B,), zero where nothing is known.
    """
    total = torch.zeros(len(targets), device=targets.device)
    for column, one in enumerate(logits):
        known = targets[:, column] != UNKNOWN
        loss = F.cross_entropy(
            one.float(), targets[:, column].clamp(min=0), reduction="none", label_smoothing=smoothing
        )
        total = total + weights[column] * loss * known
    return total


def distillation_loss(student: Sequence[Tensor], teacher: Sequence[Tensor], known: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted divergence of the student's categories from the teacher's soft ones, (B,).

    Only attributes that are known of a picture count: a teacher's guess on a foreign picture is noise.
    Source: Hinton et al., Distilling the Knowledge in a Neural Network, 2015 (temperature 1).
    """
    total = torch.zeros(len(known), device=known.device)
    for column, (one, other) in enumerate(zip(student, teacher, strict=True)):
        divergence = F.kl_div(
            one.float().log_softmax(-1), other.float().log_softmax(-1), reduction="none", log_target=True
        ).sum(-1)
        total = total + weights[column] * divergence * known[:, column]
    return total


def accuracies(logits: Sequence[Tensor], table: AttributeTable) -> dict[str, float]:
    """Return the accuracy of each attribute over the pictures where it is known."""
    found = {}
    for column, name in enumerate(table.names):
        known = table.targets[:, column] != UNKNOWN
        if known.any():
            right = logits[column][known].argmax(-1) == table.targets[known, column]
            found[name] = right.float().mean().item()
    return found
