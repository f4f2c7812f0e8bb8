"""The loss of GRPO and its kin: what an answer is worth beside the others, and what each of its tokens weighs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


def advantages(rewards: Tensor, baseline: str) -> Tensor:
    """Measure rewards against those of the same question's other answers.

    Args:
        rewards: (B, K).
        baseline: see `GrpoSettings.baseline`.
    Returns:
        (B, K); zero where all of a question's rewards are equal.
    Source: Shao et al. 2024 (group), Liu et al. 2025 (mean), Ahmadian et al. 2024 (rloo).
    """
    centred = rewards - rewards.mean(dim=1, keepdim=True)
    if baseline == "rloo":
        count = rewards.shape[1]
        return centred * count / (count - 1)
    if baseline == "group":
        return centred / (rewards.std(dim=1, keepdim=True) + 1e-4)
    return centred


@dataclass(frozen=True)
class Spread:
    """What the parts of a step share, counted over all processes."""

    asked: int
    """Questions."""
    kept: int
    """Those whose answers differ in worth."""
    answers: int
    """Answers to these."""
    tokens: int
    """Tokens of these answers."""


def token_weights(numbers: Tensor, average: str, longest: int, step: Spread) -> Tensor:
    """Return the weight of each drawn token, so that the step's loss is the mean that `average` names.

    Args:
        numbers: (T,) which answer each token belongs to.
        average: see `GrpoSettings.average`.
        longest: most tokens of an answer.
        step: that these tokens are a part of.
    Returns:
        (T,).
    """
    lengths = torch.bincount(numbers).float()
    if average == "grpo":
        return 1 / (lengths[numbers] * step.answers)
    whole = step.tokens if average == "dapo" else step.answers * longest
    return torch.full((len(numbers),), 1 / whole, device=numbers.device)
