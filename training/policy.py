"""GRPO on packs: answers are drawn by the engine, scored by rewards that can be checked, and learned from once.

Each step draws several answers to each question from the model as it is, and takes one step along the policy gradient;
as the answers are the model's own, no ratio and no clipping is needed. All answers to a question stand in one pack and
share the picture. Questions whose answers all score the same teach nothing and are left out of the step.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from assistant.config import GenerationConfig
from assistant.engine.features import PictureFeatures
from assistant.engine.generate import Generated, Generator
from assistant.engine.prompt import Prompt
from assistant.errors import TrainingError
from data_recipes.schema import Example, read_examples
from training.checks import check_ends, check_patients, check_pictures, check_rewards, check_room
from training.dataset import PictureGroup, Tokens, Turned, collate, make_pack
from training.feature_cache import PictureView
from training.grpo_settings import LEARNED, GrpoSettings
from training.loop import Loop
from training.packed import PackedModel, answer_numbers
from training.pictures import build_store
from training.policy_loss import Spread, advantages, token_weights
from training.precision import settle_bf16
from training.reward_model import Asked, RewardModel
from training.rewards import REWARDS
from training.run_folder import RunFolder
from training.team import Team, begin
from training.trainable import TrainedModel

logger = logging.getLogger(__name__)

ONE_SIDED = 0.95
"""Share of yes, or of no, among drawn answers that is warned of where the truth is mixed."""
LONGER = 1.5
"""Growth of the drawn answers' length that is warned of."""
# The engine's features carry the joint embedding for retrieval; to draw answers only patches are read.
_NO_JOINT = np.zeros(0, np.float32)


class PolicyTrainer:
    """One run of `grpo`."""

    def __init__(self, settings: GrpoSettings, folder: RunFolder, team: Team | None = None) -> None:
        self.settings, self.folder, self.team = settings, folder, team or Team()
        if self.team.sharded:
            raise TrainingError(
                "grpo draws answers, which end at different times in different processes, and "
                f"{self.team.sharding} lets none wait for the others. Launch with "
                "training/recipes/accelerate/gpus.yaml."
            )
        self.model = TrainedModel(
            settings.model, settings.train, settings.lora, self.team, last_layers=settings.last_layers
        )
        self.loaded = self.model.loaded
        self.tokens = Tokens(self.loaded.tokenizer, self.loaded.contract.image_tokens)
        self.examples: list[Example] = []
        self.images: list[tuple[Path, ...]] = []
        weights: list[Tensor] = []
        for part in settings.data:
            found = list(read_examples(part.path))
            check_rewards(part.path, found, settings.rewards)
            self.examples += found
            self.images += [tuple(one.image_paths(part.path.parent)) for one in found]
            weights.append(torch.full((len(found),), part.weight / len(found)))
        self.weights = torch.cat(weights)
        paths = sorted({path for images in self.images for path in images})
        check_pictures(paths)
        check_patients([part.path for part in settings.data], settings.held_out)
        turned = [self.tokens.turns(one)[-1] for one in self.examples]
        context = int(self.loaded.llava.config.get_text_config().max_position_embeddings)
        check_room(turned, settings.max_new_tokens, context)
        check_ends([PictureGroup((), turned)], self.loaded.contract.eos_token_ids)
        self.row = {path: number for number, path in enumerate(paths)}
        size = self.loaded.contract.picture_size
        with self.team.main_first():
            self.store = build_store(paths, size, settings.out / "cache") if paths else None
        bf16 = settle_bf16(settings.bf16, folder, self.team)
        self.packed = PackedModel(
            self.loaded, self.tokens.image_id, bf16=bf16, checkpoint=settings.checkpoint, rows=False
        )
        self.network = self.model.network
        # What is learned from must be what was drawn: no dropout in either.
        self.network.eval()
        self.view = PictureView(self.packed, settings.kept_features)
        self.seen: dict[tuple[int, ...], Tensor] = {}
        self.judge = RewardModel.open(settings.reward_model, device=self.team.device) if settings.reward_model else None
        self.first_length: float | None = None

    def features(self, number: int) -> list[Tensor]:
        """Return the features of an example's pictures, (P, D) each; the tower runs once a step for each picture."""
        rows = tuple(self.row[path] for path in self.images[number])
        if rows and rows not in self.seen and self.store is not None:
            self.seen[rows] = self.view.features(torch.from_numpy(self.store[list(rows)]))
        return list(self.seen[rows]) if rows else []

    def draw(self, numbers: Sequence[int], seed: int) -> tuple[list[Turned], list[list[Generated]]]:
        """Draw answers to some questions.

        Args:
            numbers: places in `examples`, B of them.
            seed: of the draw.
        Returns:
            The questions as tokens, and for each its K answers.
        """
        settings = self.settings
        turned = [self.tokens.turns(self.examples[number])[-1] for number in numbers]
        prompts = [
            Prompt("", one.prompt, tuple(PictureFeatures(patches, _NO_JOINT) for patches in self.features(number)))
            for one, number in zip(turned, numbers, strict=True)
        ]
        config = GenerationConfig(temperature=settings.temperature, batch_size=32)
        columns = []
        for place in range(settings.samples):
            generator = Generator(self.loaded, replace(config, seed=seed + place))
            columns.append(generator.generate(prompts, max_new_tokens=settings.max_new_tokens))
        return turned, [list(row) for row in zip(*columns, strict=True)]

    def score(self, numbers: Sequence[int], drawn: Sequence[Sequence[Generated]]) -> tuple[Tensor, dict[str, float]]:
        """Return the weighted rewards, (B, K), and the mean of each reward by itself."""
        total = torch.zeros(len(drawn), self.settings.samples)
        means = {}
        for name, weight in self.settings.rewards.items():
            scores = torch.tensor(
                self._learned(numbers, drawn)
                if name == LEARNED
                else [
                    [REWARDS[name].score(one.text, self.examples[number]) for one in row]
                    for number, row in zip(numbers, drawn, strict=True)
                ]
            )
            total += weight * scores
            means[name] = scores.mean().item()
        return total, means

    def _learned(self, numbers: Sequence[int], drawn: Sequence[Sequence[Generated]]) -> list[list[float]]:
        asked = [
            Asked(self.images[number], self.examples[number], tuple(one.text for one in row))
            for number, row in zip(numbers, drawn, strict=True)
        ]
        return cast("RewardModel", self.judge).chances(asked)

    def loss(
        self,
        numbers: Sequence[int],
        turned: Sequence[Turned],
        drawn: Sequence[Sequence[Generated]],
        gains: Tensor,
        step: Spread | None = None,
    ) -> Tensor:
        """Return the policy-gradient loss of a step.

        Args:
            numbers: places in `examples`, B of them.
            turned: the questions as tokens.
            drawn: K answers each.
            gains: their advantages, (B, K).
            step: of which these questions are a part, so that the parts sum to its loss; None if they are all of it.
        Returns:
            A scalar; zero, and without a gradient, if no question has answers of different worth.
        """
        step = step or self.spread(drawn, gains)
        packs, seen, kept = [], [], []
        for place, number in enumerate(numbers):
            if not gains[place].any():
                continue
            branches = [Turned(turned[place].prompt, self._answer(one)) for one in drawn[place]]
            packs.append(make_pack(branches, self.tokens.image_id, 1 << 30))
            seen += self.features(number)
            kept.append(gains[place])
        if not packs:
            return torch.zeros(())
        batch = collate(packs, int(self.tokens.tokenizer.pad_token_id or 0))
        logits = self.packed.answer_logits(batch, torch.stack(seen) if seen else torch.zeros(0, 0, 0))
        each = -F.cross_entropy(logits / self.settings.temperature, self.packed.targets(batch), reduction="none")
        places = answer_numbers(batch).to(each.device)
        weight = token_weights(places, self.settings.average, self.settings.max_new_tokens, step)
        gain = torch.stack(kept).flatten().to(each.device)[places]
        # Questions without spread count as questions: the mean is over the whole step.
        return -(weight * gain * each).sum() * step.kept / step.asked

    def spread(self, drawn: Sequence[Sequence[Generated]], gains: Tensor) -> Spread:
        """Count what the loss of each part needs to know of the whole step, over all processes."""
        kept = [place for place in range(len(drawn)) if gains[place].any()]
        answers = [self._answer(one) for place in kept for one in drawn[place]]
        found = torch.tensor([len(drawn), len(kept), len(answers), sum(map(len, answers))], dtype=torch.float64)
        return Spread(*(int(one) for one in self.team.sum(found).tolist()))

    def _answer(self, one: Generated) -> tuple[int, ...]:
        """Return a drawn answer's tokens, with the end token if it has ended."""
        return (*one.ids, int(self.loaded.contract.eos_token_ids[0])) if one.finished else tuple(one.ids)

    def step(self, loop: Loop) -> dict[str, float]:
        """Draw, score and learn once; returns what to report."""
        settings = self.settings
        self.seen.clear()
        chosen = torch.multinomial(self.weights, settings.prompts, replacement=True, generator=loop.generator).tolist()
        seed = int(torch.randint(1 << 30, (1,), generator=loop.generator))
        lengths = [len(self.examples[number].messages[0]["content"]) for number in chosen]
        shares = self.team.share(lengths, settings.accumulate)
        mine = [chosen[place] for share in shares for place in share]
        turned, drawn = self.draw(mine, seed)
        rewards, means = self.score(mine, drawn)
        gains = advantages(rewards, settings.baseline)
        step, total, start = self.spread(drawn, gains), 0.0, 0
        for share in shares:
            part = slice(start, start + len(share))
            start += len(share)
            loss = self.loss(mine[part], turned[part], drawn[part], gains[part], step)
            total += loss.item()
            if loss.requires_grad:
                loss.backward()
        if step.kept:
            loop.update()
        else:
            loop.step_number += 1
        said = [one for row in drawn for one in row]
        told = {
            "reward": rewards.mean().item(),
            **means,
            "with_spread": (rewards.std(dim=1) > 0).float().mean().item(),
            "length": sum(len(one.ids) for one in said) / len(said),
            "unfinished": sum(not one.finished for one in said) / len(said),
        }
        means = self.team.mean(told | self._yes_share(mine, drawn))
        return {**means, "loss": self.team.total(total)}

    def _yes_share(self, numbers: Sequence[int], drawn: Sequence[Sequence[Generated]]) -> dict[str, float]:
        """Return the share of yes among drawn yes-or-no answers, and among the truths of the same questions, or NaN."""

        def is_yes(text: str) -> float:
            return float(text.strip().lower().startswith("yes"))

        truths = {number: self.examples[number].messages[-1]["content"] for number in numbers}
        asked = [place for place, number in enumerate(numbers) if truths[number].strip(". ").lower() in ("yes", "no")]
        if not asked:
            return {"yes_said": math.nan, "yes_true": math.nan}
        said = [is_yes(one.text) for place in asked for one in drawn[place]]
        true = [is_yes(truths[numbers[place]]) for place in asked]
        return {"yes_said": sum(said) / len(said), "yes_true": sum(true) / len(true)}

    def run(self, resume: bool) -> Path:
        """Train and write the model."""
        settings = self.settings
        loop = Loop(self.network, settings.optimizer, steps=settings.steps, seed=settings.seed, team=self.team)
        restored = loop.restore(self.folder) if resume else None
        self.first_length = (restored or {}).get("first_length")
        told: dict[str, list[float]] = {}
        while loop.step_number < settings.steps:
            for name, value in self.step(loop).items():
                told.setdefault(name, []).append(value)
            if loop.step_number % settings.report_every == 0 or loop.step_number == settings.steps:
                means = {name: sum(values) / len(values) for name, values in told.items()}
                told = {}
                self.folder.log(loop.step_number, **means, gradient=loop.norm, lr=loop.learning_rate())
                self._watch(loop.step_number, means)
                loop.save(self.folder, first_length=self.first_length)
        self.view.report()
        return self.model.write(settings.out / "model")

    def _watch(self, step: int, means: dict[str, float]) -> None:
        """Warn of answers that are all yes or all no, and of growing length: they please a reward and are not right."""
        said, true = means.get("yes_said"), means.get("yes_true")
        if said is not None and true is not None and 0.2 < true < 0.8 and not 1 - ONE_SIDED < said < ONE_SIDED:
            logger.warning(
                "step %d: %.0f %% of the yes-or-no answers are yes, where %.0f %% should be; the model no longer "
                "looks. Lower the learning rate, or balance the questions.",
                step,
                100 * said,
                100 * true,
            )
        if self.first_length is None:
            self.first_length = means["length"]
        elif means["length"] > LONGER * max(1.0, self.first_length):
            logger.warning(
                "step %d: answers have grown from %.1f to %.1f tokens; add the reward brevity, or use average: dr_grpo",
                step,
                self.first_length,
                means["length"],
            )


def run_grpo(settings: GrpoSettings, resume: bool = False) -> Path:
    """Run `grpo` and return the folder of the model or adapter."""
    team = begin(settings.threads, settings.seed, settings.prompts, settings.accumulate)
    files = [part.path for part in settings.data]
    folder = RunFolder(settings.out, settings, inputs=files, resume=resume, writes=team.main)
    return PolicyTrainer(settings, folder, team).run(resume)
