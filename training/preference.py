"""Preference tuning on packs: a better and a worse answer, judged by any of the losses of `preference_loss`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from data_recipes.schema import Example, Preference, read_preferences
from training.branches import Branches, read_pairs
from training.preference_loss import LOSSES, PairScores
from training.preference_settings import DpoSettings
from training.reference import ReferenceTrainer, Step, Told, run_against_reference


class PreferenceTrainer(ReferenceTrainer[DpoSettings]):
    """One run of `dpo`."""

    def read(self, path: Path) -> list[Branches]:
        """Read a file of preferences."""
        return read_pairs(path, self.tokens)

    def patients(self, path: Path) -> Iterable[Example | Preference]:
        """Read the preferences again."""
        return read_preferences(path)

    def loss(self, numbers: Sequence[int], reference: Tensor, step: Step | None = None) -> tuple[Tensor, Told]:
        """Return the loss of some pairs, and what to report.

        Args:
            numbers: places in `pairs`, B of them.
            reference: their log-probabilities, (B, 2).
            step: of which these pairs are a part, so that the parts sum to its mean; None if they are all of it.
        Returns:
            A scalar, and as sums with what they are to be divided by: loss, accuracy (share of pairs whose better
            answer gained), margin, and chosen_change (nats a token that the better answers gained over the reference).
        """
        settings, step = self.settings, step or self.prepare([numbers], numbers, reference)
        policy, lengths = self.log_probabilities(*self.batch(numbers))
        fixed = reference.to(policy.device)
        scale = lengths.float() if settings.per_token else torch.ones_like(policy)
        first, second = policy / scale, fixed / scale
        scores = PairScores(first[:, 0], first[:, 1], second[:, 0], second[:, 1])
        loss = LOSSES[settings.loss](scores, settings.beta, settings.label_smoothing).sum() / step.pairs
        if settings.sft_weight:
            loss = loss - settings.sft_weight * (policy[:, 0].sum() / step.first_tokens)
        count = float(len(numbers))
        return loss, {
            "loss": (loss.item(), count / step.pairs),
            "accuracy": ((scores.margin > 0).float().sum().item(), count),
            "margin": (scores.margin.sum().item(), count),
            "chosen_change": ((policy[:, 0] - fixed[:, 0]).sum().item(), lengths[:, 0].sum().item()),
        }


def run_dpo(settings: DpoSettings, resume: bool = False) -> Path:
    """Run `dpo` and return the folder of the model or adapter."""
    return run_against_reference(PreferenceTrainer, settings, resume)
