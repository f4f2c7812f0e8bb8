"""Trains a reward model on pairs: the better answer's number is to lie above the worse one's.

Source: Bradley and Terry 1952; for language models Stiennon et al., Learning to summarize from human feedback, 2020.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from assistant.errors import TrainingError
from data_recipes.schema import Example, Preference, read_preferences
from training.branches import Branches, read_pairs
from training.loop import Loop, packed_loop
from training.pairs import PairTrainer, Told, run_on_pairs
from training.reward_accuracy import pair_accuracy, render_accuracy
from training.reward_model import RewardCard, RewardHead, save_reward, width_of
from training.reward_settings import RewardSettings
from training.run_folder import RunFolder
from training.team import Team

logger = logging.getLogger(__name__)

CENTRED = 512
"""Most training pairs whose rewards are averaged for `RewardCard.centre`."""


def bradley_terry(rewards: Tensor, *, margin: float = 0.0, centre: float = 0.0, smoothing: float = 0.0) -> Tensor:
    """Return the loss of each pair.

    Args:
        rewards: (B, 2) of better and worse answers.
        margin: see `RewardSettings.margin`.
        centre: see `RewardSettings.centre`.
        smoothing: share of pairs that may be the wrong way round.
    Returns:
        (B,).
    """
    ahead = rewards[:, 0] - rewards[:, 1] - margin
    loss = -F.logsigmoid(ahead) * (1 - smoothing) - F.logsigmoid(-ahead) * smoothing
    return loss + centre * rewards.sum(dim=1) ** 2


class RewardTrainer(PairTrainer[RewardSettings]):
    """One run of `reward`."""

    def __init__(self, settings: RewardSettings, folder: RunFolder, team: Team | None = None) -> None:
        if team is not None and team.sharded:
            raise TrainingError(
                f"reward measures on held-out pairs with whole weights, which {team.sharding} spreads out. Launch "
                "with training/recipes/accelerate/gpus.yaml."
            )
        super().__init__(settings, folder, team)
        self.head = RewardHead(width_of(self.loaded)).to(self.loaded.device)
        # No word is predicted, so the way into the vocabulary learns nothing.
        self.loaded.llava.lm_head.requires_grad_(False)
        if not settings.train:
            # An adapter that is gone on with would train by itself.
            self.network.requires_grad_(False)
        self.both = nn.ModuleDict({"network": self.network, "reward_head": self.head})

    def read(self, path: Path) -> list[Branches]:
        """Read a file of preferences."""
        return read_pairs(path, self.tokens)

    def patients(self, path: Path) -> Iterable[Example | Preference]:
        """Read the preferences again."""
        return read_preferences(path)

    def held_out_patients(self, path: Path) -> Iterable[Example | Preference]:
        """Read preferences that are measured on."""
        return read_preferences(path)

    def measured(self) -> list[Branches]:
        """Read all that `held_out` names."""
        return [pair for path in self.settings.held_out for pair in self.read(path)]

    def rewards(self, numbers: Sequence[int]) -> Tensor:
        """Return the rewards of some pairs' answers, (B, 2), better and worse."""
        found: Tensor = self.head(self.packed.answer_states(*self.batch(numbers)))
        return found.view(-1, 2)

    @torch.no_grad()
    def rewards_of_all(self, numbers: Sequence[int]) -> Tensor:
        """Return the rewards of any number of pairs, (N, 2), without dropout and with no gradient."""
        self._mode(training=False)
        size = self.settings.pairs
        parts = [self.rewards(numbers[start : start + size]).cpu() for start in range(0, len(numbers), size)]
        self._mode(training=True)
        return torch.cat(parts) if parts else torch.zeros(0, 2)

    def accuracy(self) -> dict[str, Any]:
        """Measure on the held-out pairs; empty if there are none."""
        numbers = range(len(self.weights), len(self.pairs))
        pairs = [self.pairs[number] for number in numbers]
        if not pairs:
            return {}
        tokens = torch.tensor([[len(one.first.answer), len(one.second.answer)] for one in pairs])
        rewards = self.rewards_of_all(numbers)
        return pair_accuracy(
            rewards.numpy(), tokens.numpy(), [one.reason for one in pairs], [one.group for one in pairs]
        )

    def loss(self, numbers: Sequence[int], whole: int | None = None) -> tuple[Tensor, Told]:
        """Return the loss of some pairs, and what to report.

        Args:
            numbers: places in `pairs`, B of them.
            whole: pairs of the step that these are a part of; None if they are all of it.
        Returns:
            A scalar, and as sums with what they are to be divided by: loss, accuracy, margin (difference of the two
            rewards), mean (of all rewards).
        """
        settings = self.settings
        rewards = self.rewards(numbers)
        loss = bradley_terry(
            rewards, margin=settings.margin, centre=settings.centre, smoothing=settings.label_smoothing
        ).sum() / (whole or len(numbers))
        ahead = (rewards[:, 0] - rewards[:, 1]).detach()
        count = float(len(numbers))
        return loss, {
            "loss": (loss.item(), count / (whole or count)),
            "accuracy": ((ahead > 0).sum().item(), count),
            "margin": (ahead.sum().item(), count),
            "mean": (rewards.sum().item(), 2 * count),
        }

    def run(self, resume: bool) -> Path:
        """Train and write the model."""
        settings = self.settings
        loop = packed_loop(self.both, settings, self.team)
        if resume:
            loop.restore(self.folder)
        self._mode(training=True)
        told: dict[str, list[float]] = {}
        while loop.step_number < settings.steps:
            drawn = torch.multinomial(self.weights, settings.pairs, replacement=True, generator=loop.generator)
            parts = self.parts(drawn.tolist())
            for name, value in self.learn(loop, parts, lambda part: self.loss(part, settings.pairs)).items():
                told.setdefault(name, []).append(value)
            if loop.step_number % settings.report_every == 0 or loop.step_number == settings.steps:
                means = {name: sum(values) / len(values) for name, values in told.items()}
                told = {}
                measured = self._held_out(loop)
                self.folder.log(loop.step_number, **means, **measured, gradient=loop.norm, lr=loop.learning_rate())
                loop.save(self.folder)
        self.view.report()
        loop.use_average()
        if self.team.main:
            self.write(settings.out / "model")
        self.team.wait()
        return settings.out / "model"

    def write(self, out: Path) -> Path:
        """Measure, and write the reward model; returns its folder."""
        found = self.accuracy()
        if found:
            logger.info("on held-out pairs:\n%s", render_accuracy(found))
        generator = torch.Generator().manual_seed(self.settings.seed)
        sample = torch.randperm(len(self.weights), generator=generator)[:CENTRED].tolist()
        rewards = self.rewards_of_all(sample)
        card = RewardCard(
            width=width_of(self.loaded),
            centre=rewards.mean().item(),
            spread=rewards.std().item(),
            pairs=len(self.weights),
            model="",
            held_out=found,
        )
        return save_reward(self.model, self.head, out, card, whole=bool(self.settings.train))

    def _held_out(self, loop: Loop) -> dict[str, float]:
        kept = loop.use_average()
        found = self.accuracy()
        loop.put_back(kept)
        return {"held_out": found["accuracy"]["value"]} if found else {}

    def _mode(self, *, training: bool) -> None:
        """Switch LoRA's dropout on or off; the image tower has none of it."""
        self.network.train(training)
        self.loaded.llava.model.vision_tower.eval()


def run_reward(settings: RewardSettings, resume: bool = False) -> Path:
    """Run `reward` and return the folder of the reward model."""
    return run_on_pairs(RewardTrainer, settings, resume)
