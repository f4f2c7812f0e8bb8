"""Preference tuning on packs: a better and a worse answer, judged by any of the losses of `preference_loss`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from assistant.errors import TrainingError
from data_recipes.schema import Example, Preference, read_preferences
from training.branches import Branches, read_pairs
from training.pair_difference import own_tokens
from training.pairs import Told, run_on_pairs
from training.preference_loss import LOSSES, PairScores
from training.preference_settings import DpoSettings
from training.reference import ReferenceTrainer, Step
from training.run_folder import RunFolder
from training.team import Team


class PreferenceTrainer(ReferenceTrainer[DpoSettings]):
    """One run of `dpo`."""

    def __init__(self, settings: DpoSettings, folder: RunFolder, team: Team | None = None) -> None:
        if team is not None and team.size > 1 and (sorting := settings.sorting):
            raise TrainingError(
                f"{sorting[0]} sorts the pairs of a whole step, which {team.size} processes share out; choose another "
                "loss, or run it in one process."
            )
        super().__init__(settings, folder, team)

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
            reference: their log-probabilities, (B, 4), weighed as the policy's are.
            step: of which these pairs are a part, so that the parts sum to its mean; None if they are all of it.
        Returns:
            A scalar, and as sums with what they are to be divided by: loss, accuracy (share of pairs whose better
            answer gained), margin, and chosen_change (nats a token that the better answers gained over the reference).
        """
        settings, step = self.settings, step or self.prepare([numbers], numbers, reference)
        policy, lengths = self.log_probabilities(*self.batch(numbers))
        fixed = reference.to(policy.device)
        scores = self._scores(policy[:, :2], fixed[:, :2], lengths.to(policy))
        # Weights decide what tells two answers apart; to be learned, the better one counts as a whole.
        better = policy[:, 2].sum() / step.first_tokens
        loss = self._judge(scores, step, better)
        if settings.sft_weight:
            loss = loss - settings.sft_weight * better
        count = float(len(numbers))
        return loss, {
            "loss": (loss.item(), count / step.pairs),
            "accuracy": ((scores.margin > 0).float().sum().item(), count),
            "margin": (scores.margin.sum().item(), count),
            "chosen_change": ((policy[:, 2] - fixed[:, 2]).sum().item(), lengths[:, 0].sum().item()),
        }

    def token_weights(self, numbers: Tensor, lengths: Tensor, targets: Tensor) -> Tensor | None:
        """Return how much each token counts by `ld_alpha` or `shared_weight`.

        Args:
            numbers: (T,) which answer each token belongs to.
            lengths: of the answers, in tokens.
            targets: (T,) the tokens themselves.
        Returns:
            (T,), or None where all count alike.
        """
        if self.settings.shared_weight < 1:
            answers = [tuple(one.tolist()) for one in targets.cpu().split(lengths.tolist())]
            own = [side for two in zip(answers[::2], answers[1::2], strict=True) for side in own_tokens(*two)]
            flat = torch.tensor([one for side in own for one in side], device=numbers.device)
            return torch.where(flat, 1.0, self.settings.shared_weight)
        if self.settings.ld_alpha == 1:
            return None
        place = torch.arange(len(numbers), device=numbers.device) - (lengths.cumsum(0) - lengths)[numbers]
        shorter = lengths.view(-1, 2).amin(dim=1).repeat_interleave(2)
        return torch.where(place < shorter[numbers], 1.0, self.settings.ld_alpha)

    def _scores(self, policy: Tensor, fixed: Tensor, tokens: Tensor) -> PairScores:
        """Return what the losses read, of sums (B, 2) and numbers of tokens (B, 2)."""
        settings = self.settings
        scale = tokens if settings.per_token else torch.ones_like(policy)
        # The reward that a pair implies is the log ratio's plus the price of the length that it pays.
        paid = settings.length_penalty / settings.beta * tokens
        first, second = policy / scale, fixed / scale - paid
        return PairScores(*first.T, *second.T, *tokens.T)

    def _judge(self, scores: PairScores, step: Step, better: Tensor) -> Tensor:
        """Return the losses of the recipe by their weights; `better` is the step's mean a token of better answers."""
        settings = self.settings
        loss = torch.zeros((), device=scores.chosen.device)
        for name, weight in {settings.loss: 1.0, **settings.add_losses}.items():
            if name == "sft":
                # A mean over the tokens of the whole step, of which these pairs may be a part.
                loss = loss - weight * better
            else:
                each = LOSSES[name](scores, settings.beta, settings.label_smoothing)
                loss = loss + weight * each.sum() / step.pairs
        return loss


def run_dpo(settings: DpoSettings, resume: bool = False) -> Path:
    """Run `dpo` and return the folder of the model or adapter."""
    return run_on_pairs(PreferenceTrainer, settings, resume)
