"""Tuning against the model as it was.

The reference is the model at the start. Its log-probabilities are computed once, on the pictures as they are, and kept
in the run folder; so no second model is held in memory, and a resumed run goes on from the same numbers.
"""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F

from training.dataset import PackedBatch
from training.loop import Loop, packed_loop
from training.packed import answer_numbers
from training.pairs import PairTrainer, Told
from training.reference_settings import ReferenceSettings
from training.run_folder import RunFolder
from training.team import Team

logger = logging.getLogger(__name__)

REFERENCE = "reference.safetensors"
S = TypeVar("S", bound=ReferenceSettings)


@dataclass(frozen=True)
class Step:
    """What the parts of a step share."""

    pairs: int
    """Questions of the step, in all processes."""
    first_tokens: int
    """Tokens of their first answers."""
    moved: Tensor | None = None
    """For KTO: how far answers at large have moved, a scalar."""


class ReferenceTrainer(PairTrainer[S]):
    """One run: the loss is the stage's own."""

    def __init__(self, settings: S, folder: RunFolder, team: Team | None = None) -> None:
        super().__init__(settings, folder, team)
        # LoRA's own dropout would blur the comparison with the reference.
        self.network.eval()

    @abstractmethod
    def loss(self, numbers: Sequence[int], reference: Tensor, step: Step | None = None) -> tuple[Tensor, Told]:
        """Return the loss of some pairs, and what to report.

        Args:
            numbers: places in `pairs`, B of them.
            reference: their log-probabilities, (B, 4).
            step: of which these pairs are a part, so that the parts sum to its mean; None if they are all of it.
        Returns:
            A scalar, and numbers by name, each as a sum and what it is to be divided by, with chosen_change among them:
            the nats a token that wanted answers gained over the reference.
        """

    def prepare(self, parts: Sequence[Sequence[int]], drawn: Sequence[int], reference: Tensor) -> Step:
        """Find out what the loss of each part needs to know of the whole step.

        Args:
            parts: of this process's share, places in `pairs`.
            drawn: the whole step, of all processes.
            reference: log-probabilities of all pairs, (number of pairs, 4).
        Returns:
            Known before the first part.
        """
        del parts, reference
        return Step(len(drawn), sum(len(self.pairs[number].first.answer) for number in drawn))

    def log_probabilities(self, batch: PackedBatch, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the log-probability of each answer, summed with `token_weights` and without, and its number of tokens.

        Args:
            batch: packs of two answers each, B of them.
            images: their pictures.
        Returns:
            Sums, (B, 4): first and second answer as their tokens are weighed, then both with 1 for each token. Numbers
            of tokens, (B, 2).
        """
        logits, targets = self.packed.answer_logits(batch, images), self.packed.targets(batch)
        each = -F.cross_entropy(logits, targets, reduction="none")
        numbers = answer_numbers(batch).to(each.device)
        count = 2 * len(batch.ids)
        lengths = torch.bincount(numbers, minlength=count)
        weights = self.token_weights(numbers, lengths, targets)
        plain = torch.zeros(count, device=each.device).index_add(0, numbers, each)
        sums = plain if weights is None else torch.zeros_like(plain).index_add(0, numbers, weights * each)
        return torch.cat([sums.view(-1, 2), plain.view(-1, 2)], dim=1), lengths.view(-1, 2)

    def token_weights(self, numbers: Tensor, lengths: Tensor, targets: Tensor) -> Tensor | None:
        """Return how much each token counts, where they do not count alike.

        Args:
            numbers: (T,) which answer each token belongs to, two answers a question, one behind the other.
            lengths: of the answers, in tokens.
            targets: (T,) the tokens themselves.
        Returns:
            (T,), or None for 1 each.
        """
        del numbers, lengths, targets
        return None

    def reference(self) -> Tensor:
        """Return the reference's log-probabilities of all pairs, (number of pairs, 4), from the run folder if there."""
        from safetensors.torch import load_file, save_file

        path = self.folder.path / REFERENCE
        result = torch.zeros(len(self.pairs), 4)
        # Earlier versions kept two columns. A resumed run has its first weights here still, so they are found anew.
        if path.exists() and (kept := load_file(path)["log_probabilities"]).shape == result.shape:
            return kept
        starts = list(range(0, len(self.pairs), self.settings.pairs))
        with torch.no_grad():
            # Every process takes as many turns, for where weights are shared out all must take part.
            for turn in range(0, len(starts), self.team.size):
                mine = turn + self.team.rank
                start = starts[min(mine, len(starts) - 1)]
                numbers = range(start, min(start + self.settings.pairs, len(self.pairs)))
                found = self.log_probabilities(*self.batch(numbers))[0].cpu()
                if mine < len(starts):
                    result[list(numbers)] = found
        result = self.team.sum(result)
        if not self.team.main:
            return result
        partial = path.with_suffix(".partial")
        save_file({"log_probabilities": result}, partial)
        partial.rename(path)
        share = float((result[:, 2] > result[:, 3]).float().mean())
        logger.info("reference: %d questions; it holds the first answer likelier in %.1f %%", len(result), 100 * share)
        return result

    def run(self, resume: bool) -> Path:
        """Train and write the model."""
        settings = self.settings
        reference = self.reference()
        loop = packed_loop(self.network, settings, self.team)
        if resume:
            loop.restore(self.folder)
        told: dict[str, list[float]] = {}
        while loop.step_number < settings.steps:
            drawn = torch.multinomial(self.weights, settings.pairs, replacement=True, generator=loop.generator)
            for name, value in self.step(loop, drawn.tolist(), reference).items():
                told.setdefault(name, []).append(value)
            if loop.step_number % settings.report_every == 0 or loop.step_number == settings.steps:
                means = {name: sum(values) / len(values) for name, values in told.items()}
                told = {}
                self.folder.log(loop.step_number, **means, gradient=loop.norm, lr=loop.learning_rate())
                loop.save(self.folder)
                if self._over_optimised(loop.step_number, means.get("chosen_change", 0.0)):
                    break
        self.view.report()
        loop.use_average()
        return self.model.write(settings.out / "model")

    def step(self, loop: Loop, drawn: Sequence[int], reference: Tensor) -> dict[str, float]:
        """Take one step; returns what to report.

        Args:
            loop: of the run.
            drawn: places in `pairs`, of all processes.
            reference: log-probabilities of all pairs.
        Returns:
            Numbers by name.
        """
        parts = self.parts(drawn)
        step = self.prepare(parts, drawn, reference)
        return self.learn(loop, parts, lambda part: self.loss(part, reference[list(part)], step))

    def _over_optimised(self, step: int, change: float) -> bool:
        """Warn, and at the limit say that the run must stop."""
        limit = -self.settings.stop_below
        if change < limit:
            logger.warning(
                "stopped at step %d: better answers lost %.2f nats a token, more than `stop_below`. The weights are "
                "written as they are now; for better ones raise beta or sft_weight, or lower the learning rate.",
                step,
                -change,
            )
            return True
        if change < limit / 2:
            logger.warning("step %d: better answers have lost %.2f nats a token against the reference", step, -change)
        return False
