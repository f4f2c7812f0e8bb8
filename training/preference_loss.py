"""Losses of preference tuning, from log-probabilities of the better and the worse answer under policy and reference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class PairScores:
    """Summed log-probabilities of B pairs of answers, float (B,) each, in nats."""

    chosen: Tensor
    """Policy, better answer."""
    rejected: Tensor
    """Policy, worse answer."""
    reference_chosen: Tensor
    """Reference, better answer."""
    reference_rejected: Tensor
    """Reference, worse answer."""

    @property
    def chosen_ratio(self) -> Tensor:
        """Log policy / reference of the better answers."""
        return self.chosen - self.reference_chosen

    @property
    def rejected_ratio(self) -> Tensor:
        """Log policy / reference of the worse answers."""
        return self.rejected - self.reference_rejected

    @property
    def margin(self) -> Tensor:
        """By how much the policy prefers the better answer more than the reference does."""
        return self.chosen_ratio - self.rejected_ratio


Loss = Callable[[PairScores, float, float], Tensor]


def sigmoid(scores: PairScores, beta: float, smoothing: float) -> Tensor:
    """DPO (Rafailov et al. 2023); with smoothing, the conservative form that expects so many wrong labels."""
    logits = beta * scores.margin
    return -F.logsigmoid(logits) * (1 - smoothing) - F.logsigmoid(-logits) * smoothing


def robust(scores: PairScores, beta: float, smoothing: float) -> Tensor:
    """Unbiased under a share of flipped labels (Chowdhury et al. 2024); smoothing is that share, below 0.5."""
    logits = beta * scores.margin
    kept, flipped = -F.logsigmoid(logits) * (1 - smoothing), -F.logsigmoid(-logits) * smoothing
    return (kept - flipped) / (1 - 2 * smoothing)


def hinge(scores: PairScores, beta: float, smoothing: float) -> Tensor:
    """SLiC (Zhao et al. 2023): no loss beyond a margin of 1 / beta."""
    del smoothing
    return torch.relu(1 - beta * scores.margin)


def ipo(scores: PairScores, beta: float, smoothing: float) -> Tensor:
    """IPO (Azar et al. 2023): the margin is drawn to 1 / (2 beta), and not beyond."""
    del smoothing
    return (scores.margin - 1 / (2 * beta)) ** 2


def apo_zero(scores: PairScores, beta: float, smoothing: float) -> Tensor:
    """APO-zero (D'Oosterlinck et al. 2024): better answers up, worse ones down, each by itself."""
    del smoothing
    return 1 - torch.sigmoid(beta * scores.chosen_ratio) + torch.sigmoid(beta * scores.rejected_ratio)


def apo_down(scores: PairScores, beta: float, smoothing: float) -> Tensor:
    """APO-down (D'Oosterlinck et al. 2024): for better answers that are worse than the model's own."""
    del smoothing
    return torch.sigmoid(beta * scores.chosen_ratio) + 1 - torch.sigmoid(beta * scores.margin)


def sppo_hard(scores: PairScores, beta: float, smoothing: float) -> Tensor:
    """SPPO with hard labels (Wu et al. 2024)."""
    del smoothing
    return (scores.chosen_ratio - 0.5 / beta) ** 2 + (scores.rejected_ratio + 0.5 / beta) ** 2


def nca_pair(scores: PairScores, beta: float, smoothing: float) -> Tensor:
    """NCA for pairs (Chen et al. 2024): keeps the better answer's probability from falling."""
    del smoothing
    better, worse = beta * scores.chosen_ratio, beta * scores.rejected_ratio
    return -F.logsigmoid(better) - 0.5 * F.logsigmoid(-better) - 0.5 * F.logsigmoid(-worse)


LOSSES: dict[str, Loss] = {
    "sigmoid": sigmoid,
    "robust": robust,
    "hinge": hinge,
    "ipo": ipo,
    "apo_zero": apo_zero,
    "apo_down": apo_down,
    "sppo_hard": sppo_hard,
    "nca_pair": nca_pair,
}
"""Name in a recipe, as trl names it, to the loss of each pair: (B,)."""
