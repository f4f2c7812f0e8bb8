"""Losses of preference tuning, from log-probabilities of the better and the worse answer under policy and reference."""

from __future__ import annotations

import math
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
    chosen_tokens: Tensor
    """Number of tokens of the better answer, (B,)."""
    rejected_tokens: Tensor
    """Number of tokens of the worse answer, (B,)."""

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

DISCOPOP_TAU = 0.05
"""How sharply `discopop` turns from one loss to the other; the paper's value."""


def sigmoid(scores: PairScores, beta: float, smoothing: float) -> Tensor:
    """DPO (Rafailov et al. 2023); with smoothing, the conservative form that expects so many wrong labels."""
    return _smoothed(beta * scores.margin, smoothing)


def robust(scores: PairScores, beta: float, smoothing: float) -> Tensor:
    """Unbiased under a share of flipped labels (Chowdhury et al. 2024); smoothing is that share, below 0.5."""
    logits = beta * scores.margin
    kept, flipped = -F.logsigmoid(logits) * (1 - smoothing), -F.logsigmoid(-logits) * smoothing
    return (kept - flipped) / (1 - 2 * smoothing)


def exo_pair(scores: PairScores, beta: float, smoothing: float) -> Tensor:
    """EXO for pairs (Ji et al. 2024): reverse divergence from labels softened by smoothing, which is above 0."""
    logits = beta * scores.margin
    better, worse = F.logsigmoid(logits), F.logsigmoid(-logits)
    return better.exp() * (better - math.log1p(-smoothing)) + worse.exp() * (worse - math.log(smoothing))


def sigmoid_norm(scores: PairScores, beta: float, smoothing: float) -> Tensor:
    """DPO on mean log-probabilities a token, so that length by itself gains nothing (Meng et al. 2024)."""
    del smoothing
    mean = scores.chosen_ratio / scores.chosen_tokens - scores.rejected_ratio / scores.rejected_tokens
    return -F.logsigmoid(beta * mean)


def hinge(scores: PairScores, beta: float, smoothing: float) -> Tensor:
    """SLiC (Zhao et al. 2023): no loss beyond a margin of 1 / beta."""
    del smoothing
    return torch.relu(1 - beta * scores.margin)


def ipo(scores: PairScores, beta: float, smoothing: float) -> Tensor:
    """IPO (Azar et al. 2023): the margin is drawn to 1 / (2 beta), and not beyond."""
    del smoothing
    return (scores.margin - 1 / (2 * beta)) ** 2


def discopop(scores: PairScores, beta: float, smoothing: float) -> Tensor:
    """DiscoPOP (Lu et al. 2024): between a logistic and an exponential loss, by the margin's own size."""
    del smoothing
    logits = beta * scores.margin
    share = torch.sigmoid(logits / DISCOPOP_TAU)
    return -F.logsigmoid(logits) * (1 - share) + torch.exp(-logits) * share


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


def bco_pair(scores: PairScores, beta: float, smoothing: float) -> Tensor:
    """BCO on pairs (Jung et al. 2024): each answer is classified by itself as wanted or not."""
    del smoothing
    return -F.logsigmoid(beta * scores.chosen_ratio) - F.logsigmoid(-beta * scores.rejected_ratio)


def aot(scores: PairScores, beta: float, smoothing: float) -> Tensor:
    """AOT (Melnyk et al. 2024): preferences of policy and reference, each sorted over the step, then compared."""
    own, fixed = scores.chosen - scores.rejected, scores.reference_chosen - scores.reference_rejected
    return _smoothed(beta * (own.sort().values - fixed.sort().values), smoothing)


def aot_unpaired(scores: PairScores, beta: float, smoothing: float) -> Tensor:
    """AOT for answers that need not belong together: better and worse ones sorted over the step, then compared."""
    return _smoothed(beta * (scores.chosen_ratio.sort().values - scores.rejected_ratio.sort().values), smoothing)


def sft(scores: PairScores, beta: float, smoothing: float) -> Tensor:
    """Plain loss a token on the better answers; the worse ones are not looked at."""
    del beta, smoothing
    return -(scores.chosen.sum() / scores.chosen_tokens.sum()).expand(len(scores.chosen))


def _smoothed(logits: Tensor, smoothing: float) -> Tensor:
    return -F.logsigmoid(logits) * (1 - smoothing) - F.logsigmoid(-logits) * smoothing


LOSSES: dict[str, Loss] = {
    "sigmoid": sigmoid,
    "robust": robust,
    "hinge": hinge,
    "ipo": ipo,
    "apo_zero": apo_zero,
    "apo_down": apo_down,
    "sppo_hard": sppo_hard,
    "nca_pair": nca_pair,
    "exo_pair": exo_pair,
    "bco_pair": bco_pair,
    "aot": aot,
    "aot_unpaired": aot_unpaired,
    "discopop": discopop,
    "sft": sft,
    "sigmoid_norm": sigmoid_norm,
}
"""Name in a recipe, as trl names it, to the loss of each pair: (B,)."""
