"""Tuning against the model as it was: two answers to a question share the picture and the question's turn.

The reference is the model at the start. Its log-probabilities are computed once, on the pictures as they are, and kept
in the run folder; so no second model is held in memory, and a resumed run goes on from the same numbers.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F

from data_recipes.schema import Example, Preference
from training.branches import Branches, check_pairs
from training.checks import check_patients, check_pictures
from training.dataset import PackedBatch, Tokens, collate, make_pack
from training.feature_cache import PictureView
from training.loop import Loop
from training.packed import PackedModel, answer_numbers
from training.pictures import build_store
from training.reference_settings import ReferenceSettings
from training.run_folder import RunFolder
from training.team import Team, begin
from training.trainable import TrainedModel

logger = logging.getLogger(__name__)

REFERENCE = "reference.safetensors"
S = TypeVar("S", bound=ReferenceSettings)
Told = dict[str, tuple[float, float]]


@dataclass(frozen=True)
class Step:
    """What the parts of a step share."""

    pairs: int
    """Questions of the step, in all processes."""
    first_tokens: int
    """Tokens of their first answers."""
    moved: Tensor | None = None
    """For KTO: how far answers at large have moved, a scalar."""


class ReferenceTrainer(ABC, Generic[S]):
    """One run: what two-answered questions are read from the data, and the loss, are the stage's own."""

    def __init__(self, settings: S, folder: RunFolder, team: Team | None = None) -> None:
        self.settings, self.folder, self.team = settings, folder, team or Team()
        self.model = TrainedModel(settings.model, settings.train, settings.lora, self.team)
        self.loaded = self.model.loaded
        self.tokens = Tokens(self.loaded.tokenizer, self.loaded.contract.image_tokens)
        self.pairs: list[Branches] = []
        weights: list[Tensor] = []
        for part in settings.data:
            found = self.read(part.path)
            self.pairs += found
            weights.append(torch.full((len(found),), part.weight / len(found)))
        self.weights = torch.cat(weights)
        paths = sorted({path for pair in self.pairs for path in pair.images})
        check_pictures(paths)
        check_patients([part.path for part in settings.data], settings.held_out, read=self.patients)
        context = int(self.loaded.llava.config.get_text_config().max_position_embeddings)
        check_pairs(self.pairs, self.tokens.image_id, settings.longest, context, self.loaded.contract.eos_token_ids)
        self.row = {path: number for number, path in enumerate(paths)}
        size = self.loaded.contract.image_size
        with self.team.main_first():
            self.store = build_store(paths, size, settings.out / "cache") if paths else None
        self.packed = PackedModel(self.loaded, self.tokens.image_id, bf16=settings.bf16, checkpoint=settings.checkpoint)
        self.view = PictureView(self.packed, settings.feature_cache)
        self.network = self.model.network
        # LoRA's own dropout would blur the comparison with the reference.
        self.network.eval()
        if settings.compile:
            self.packed.compile()

    @abstractmethod
    def read(self, path: Path) -> list[Branches]:
        """Read a data file, which must hold something."""

    @abstractmethod
    def patients(self, path: Path) -> Iterable[Example | Preference]:
        """Read the records of a data file, for their patients."""

    @abstractmethod
    def loss(self, numbers: Sequence[int], reference: Tensor, step: Step | None = None) -> tuple[Tensor, Told]:
        """Return the loss of some pairs, and what to report.

        Args:
            numbers: places in `pairs`, B of them.
            reference: their log-probabilities, (B, 2).
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
            reference: log-probabilities of all pairs, (number of pairs, 2).
        Returns:
            Known before the first part.
        """
        del parts, reference
        return Step(len(drawn), sum(len(self.pairs[number].first.answer) for number in drawn))

    def batch(self, numbers: Sequence[int]) -> tuple[PackedBatch, Tensor]:
        """Return the packs of some pairs, and their pictures, float (N, 3, S, S), 0 to 1, or the pictures' features."""
        chosen = [self.pairs[number] for number in numbers]
        longest = self.settings.longest
        packs = [make_pack([one.first, one.second], self.tokens.image_id, longest) for one in chosen]
        rows = [self.row[path] for one in chosen for path in one.images]
        size = self.loaded.contract.image_size
        images = self.view(torch.from_numpy(self.store[rows])) if rows and self.store is not None else None
        found = images if images is not None else torch.zeros(0, 3, size, size)
        return collate(packs, int(self.tokens.tokenizer.pad_token_id or 0)), found

    def log_probabilities(self, batch: PackedBatch, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the summed log-probability of each answer and its number of tokens, both (B, 2): first, second."""
        logits, targets = self.packed.answer_logits(batch, images), self.packed.targets(batch)
        each = -F.cross_entropy(logits, targets, reduction="none")
        numbers = answer_numbers(batch).to(each.device)
        count = 2 * len(batch.ids)
        sums = torch.zeros(count, device=each.device).index_add(0, numbers, each)
        return sums.view(-1, 2), torch.bincount(numbers, minlength=count).view(-1, 2)

    def reference(self) -> Tensor:
        """Return the reference's log-probabilities of all pairs, (number of pairs, 2), from the run folder if there."""
        from safetensors.torch import load_file, save_file

        path = self.folder.path / REFERENCE
        if path.exists():
            return load_file(path)["log_probabilities"]
        result = torch.zeros(len(self.pairs), 2)
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
        share = float((result[:, 0] > result[:, 1]).float().mean())
        logger.info("reference: %d questions; it holds the first answer likelier in %.1f %%", len(result), 100 * share)
        return result

    def run(self, resume: bool) -> Path:
        """Train and write the model."""
        settings = self.settings
        reference = self.reference()
        loop = Loop(
            self.network,
            settings.optimizer,
            steps=settings.steps,
            seed=settings.seed,
            average=settings.average,
            team=self.team,
        )
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
        pairs = [self.pairs[number] for number in drawn]
        lengths = [len(one.first.prompt) + len(one.first.answer) + len(one.second.answer) for one in pairs]
        shares = self.team.share(lengths, self.settings.accumulate)
        parts = [[drawn[place] for place in share] for share in shares]
        step = self.prepare(parts, drawn, reference)
        sums: dict[str, list[float]] = {}
        for place, part in enumerate(parts, start=1):
            loss, numbers = self.loss(part, reference[part], step)
            for name, (amount, count) in numbers.items():
                before = sums.get(name, [0.0, 0.0])
                sums[name] = [before[0] + amount, before[1] + count]
            if place < len(parts):
                loss.backward()
        loop.update(loss)
        found = self.team.sum(torch.tensor(list(sums.values()), dtype=torch.float64)).tolist()
        return {name: amount / count for name, (amount, count) in zip(sums, found, strict=True) if count}

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


def run_against_reference(
    trainer: Callable[[S, RunFolder, Team], ReferenceTrainer[S]], settings: S, resume: bool
) -> Path:
    """Run a stage and return the folder of the model or adapter.

    Args:
        trainer: the stage's own.
        settings: of the run.
        resume: go on from the run folder.
    Returns:
        The folder.
    """
    team = begin(settings.threads, settings.seed, settings.pairs, settings.accumulate)
    files = [part.path for part in settings.data]
    folder = RunFolder(settings.out, settings, inputs=files, resume=resume, writes=team.main)
    return trainer(settings, folder, team).run(resume)
