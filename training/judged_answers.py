"""KTO on packs: answers judged one by one, against the reference and against how far the model has moved at large.

How far it has moved is estimated, as its authors do (Ethayarajh et al. 2024), on answers to other questions.
Each question keeps one such answer for the whole run, so that the reference's log-probability of it is known as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from data_recipes.judged import read_judged
from data_recipes.schema import Example, Preference
from training.branches import Branches, check_both_kinds, read_judged_pairs
from training.kto_settings import KtoSettings
from training.pairs import Told, run_on_pairs
from training.reference import ReferenceTrainer, Step
from training.run_folder import RunFolder
from training.team import Team


def kto_loss(ratios: Tensor, moved: Tensor, good: Tensor, beta: float, weights: tuple[float, float]) -> Tensor:
    """Judge answers by their gain over the reference beyond that of answers at large.

    Args:
        ratios: (B,) log policy / reference of the judged answers.
        moved: scalar, the same of answers to other questions, at least 0; no gradient flows through it.
        good: (B,) bool, which answers are wanted.
        beta: see `ReferenceSettings.beta`.
        weights: of wanted and of unwanted answers.
    Returns:
        (B,).
    Source: Ethayarajh et al., KTO: Model Alignment as Prospect Theoretic Optimization, 2024.
    """
    gain = beta * (ratios - moved)
    return torch.where(good, weights[0] * (1 - torch.sigmoid(gain)), weights[1] * (1 - torch.sigmoid(-gain)))


class JudgedTrainer(ReferenceTrainer[KtoSettings]):
    """One run of `kto`; the second answer of each pair is another question's."""

    def __init__(self, settings: KtoSettings, folder: RunFolder, team: Team | None = None) -> None:
        self.good: list[bool] = []
        super().__init__(settings, folder, team)
        check_both_kinds(self.good)

    def read(self, path: Path) -> list[Branches]:
        """Read a file of judged answers or of preferences."""
        found, good = read_judged_pairs(path, self.tokens)
        self.good += good
        return found

    def patients(self, path: Path) -> Iterable[Example | Preference]:
        """Read the examples again."""
        return (one.example for one in read_judged(path))

    def prepare(self, parts: Sequence[Sequence[int]], drawn: Sequence[int], reference: Tensor) -> Step:
        """Find out how far answers at large have moved over the whole step; one part alone tells it as it goes."""
        step = super().prepare(parts, drawn, reference)
        if len(parts) == 1 and self.team.size == 1:
            return step
        total = 0.0
        with torch.no_grad():
            for part in parts:
                policy, _ = self.log_probabilities(*self.batch(part))
                total += (policy[:, 1].cpu() - reference[list(part), 1]).sum().item()
        return replace(step, moved=torch.tensor(self.team.total(total) / len(drawn)).clamp(min=0))

    def loss(self, numbers: Sequence[int], reference: Tensor, step: Step | None = None) -> tuple[Tensor, Told]:
        """Return the loss of some answers, and what to report.

        Args:
            numbers: places in `pairs`, B of them.
            reference: log-probabilities of the judged answer and of the other question's, (B, 2).
            step: of which these answers are a part, so that the parts sum to its mean; None if they are all of it.
        Returns:
            A scalar, and as sums with what they are to be divided by: loss, moved (nats that answers at large have
            gained), good_ratio and bad_ratio (nats that judged ones have), and chosen_change (nats a token for wanted
            ones).
        """
        settings, step = self.settings, step or super().prepare([numbers], numbers, reference)
        policy, lengths = self.log_probabilities(*self.batch(numbers))
        ratios = policy - reference.to(policy.device)
        good = torch.tensor([self.good[number] for number in numbers], device=policy.device)
        moved = ratios[:, 1].detach().mean().clamp(min=0) if step.moved is None else step.moved.to(ratios)
        weights = (settings.good_weight, settings.bad_weight)
        loss = kto_loss(ratios[:, 0], moved, good, settings.beta, weights).sum() / step.pairs
        count, wanted = float(len(numbers)), good.sum().item()
        return loss, {
            "loss": (loss.item(), count / step.pairs),
            "moved": (moved.item() * count, count),
            "good_ratio": (ratios[good, 0].sum().item(), wanted),
            "chosen_change": (ratios[good, 0].sum().item(), lengths[good, 0].sum().item()),
            "bad_ratio": (ratios[~good, 0].sum().item(), count - wanted),
        }


def run_kto(settings: KtoSettings, resume: bool = False) -> Path:
    """Run `kto` and return the folder of the model or adapter."""
    return run_on_pairs(JudgedTrainer, settings, resume)
