"""Preference tuning on packs: both answers to a question share the picture and the question's turn of the reference.

The reference is the model as it was at the start. Its log-probabilities are computed once, on the pictures as they are,
and kept in the run folder; so no second model is held in memory, and a resumed run goes on from the same numbers.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from assistant.errors import DataError
from assistant.model.load import load_model
from data_recipes.schema import Example, Preference, read_preferences
from training.checks import check_ends, check_lengths, check_patients, check_pictures
from training.dataset import PackedBatch, PictureGroup, Tokens, Turned, collate, make_pack
from training.loop import Loop
from training.packed import PackedModel, answer_numbers
from training.pictures import build_store, plain
from training.preference_loss import LOSSES, PairScores
from training.preference_settings import DpoSettings
from training.run_folder import RunFolder
from training.trainable import held_in, set_trainable, write_result

logger = logging.getLogger(__name__)

REFERENCE = "reference.safetensors"


@dataclass(frozen=True)
class Pair:
    """One preference as tokens."""

    images: tuple[Path, ...]
    chosen: Turned
    rejected: Turned


def read_pairs(path: Path, tokens: Tokens) -> list[Pair]:
    """Read a file of preferences into tokens.

    Args:
        path: JSONL file.
        tokens: of the model.
    Returns:
        One a line.
    Raises:
        DataError: the file holds none.
    """
    pairs = []
    for one in read_preferences(path):
        chosen, rejected = (_answered(one, answer, tokens) for answer in (one.chosen, one.rejected))
        pairs.append(Pair(tuple(path.parent / name for name in one.images), chosen, rejected))
    if not pairs:
        raise DataError(f"{path} holds no preferences; build it again or take it out of `data:`.")
    return pairs


def _answered(one: Preference, answer: str, tokens: Tokens) -> Turned:
    messages = [*one.messages, {"role": "assistant", "content": answer}]
    example = Example(one.id, one.images, messages, "chat", "open", source=one.source, licence=one.licence)
    return tokens.turns(example)[-1]


class PreferenceTrainer:
    """One run of `dpo`."""

    def __init__(self, settings: DpoSettings, folder: RunFolder) -> None:
        self.settings, self.folder = settings, folder
        self.loaded = load_model(settings.model, quantization=held_in(settings.lora))
        self.tokens = Tokens(self.loaded.tokenizer, self.loaded.contract.image_tokens)
        self.pairs: list[Pair] = []
        weights: list[Tensor] = []
        for part in settings.data:
            found = read_pairs(part.path, self.tokens)
            self.pairs += found
            weights.append(torch.full((len(found),), part.weight / len(found)))
        self.weights = torch.cat(weights)
        paths = sorted({path for pair in self.pairs for path in pair.images})
        self._check(paths)
        self.row = {path: number for number, path in enumerate(paths)}
        size = self.loaded.contract.image_size
        self.store = build_store(paths, size, settings.out / "cache") if paths else None
        self.packed = PackedModel(self.loaded, self.tokens.image_id, bf16=settings.bf16)
        self.network = set_trainable(self.loaded.llava, settings.train, settings.lora)
        # LoRA's own dropout would blur the comparison with the reference.
        self.network.eval()
        if settings.compile:
            self.packed.compile()

    def _check(self, paths: Sequence[Path]) -> None:
        settings = self.settings
        check_pictures(paths)
        check_patients([part.path for part in settings.data], settings.held_out, read=read_preferences)
        groups = [PictureGroup(pair.images, [pair.chosen, pair.rejected]) for pair in self.pairs]
        context = int(self.loaded.llava.config.get_text_config().max_position_embeddings)
        check_lengths(groups, min(settings.longest, context), context)
        check_ends(groups, self.loaded.contract.eos_token_ids)
        over = sum(
            len(make_pack([pair.chosen, pair.rejected], self.tokens.image_id, 1 << 30).ids) > settings.longest
            for pair in self.pairs
        )
        if over:
            raise DataError(
                f"{over} of {len(self.pairs)} pairs take more than `longest` {settings.longest} tokens with both "
                "answers. Raise it, or shorten the texts."
            )

    def batch(self, numbers: Sequence[int]) -> tuple[PackedBatch, Tensor]:
        """Return the packs of some pairs and their pictures, float (N, 3, S, S), 0 to 1."""
        chosen = [self.pairs[number] for number in numbers]
        longest = self.settings.longest
        packs = [make_pack([one.chosen, one.rejected], self.tokens.image_id, longest) for one in chosen]
        rows = [self.row[path] for one in chosen for path in one.images]
        size = self.loaded.contract.image_size
        images = plain(torch.from_numpy(self.store[rows]), size) if rows and self.store is not None else None
        found = images if images is not None else torch.zeros(0, 3, size, size)
        return collate(packs, int(self.tokens.tokenizer.pad_token_id or 0)), found

    def log_probabilities(self, batch: PackedBatch, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the summed log-probability of each answer and its number of tokens, both (B, 2): chosen, rejected."""
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
        found = []
        with torch.no_grad():
            for start in range(0, len(self.pairs), self.settings.pairs):
                numbers = range(start, min(start + self.settings.pairs, len(self.pairs)))
                found.append(self.log_probabilities(*self.batch(numbers))[0].cpu())
        result = torch.cat(found)
        partial = path.with_suffix(".partial")
        save_file({"log_probabilities": result}, partial)
        partial.rename(path)
        logger.info("reference: %d pairs, of which it prefers the better in %.1f %%", len(result), _share(result) * 100)
        return result

    def run(self, resume: bool) -> Path:
        """Train and write the model."""
        settings = self.settings
        reference = self.reference()
        loop = Loop(
            self.network, settings.optimizer, steps=settings.steps, seed=settings.seed, average=settings.average
        )
        if resume:
            loop.restore(self.folder)
        sums: dict[str, float] = {}
        count = 0
        while loop.step_number < settings.steps:
            drawn = torch.multinomial(self.weights, settings.pairs, replacement=True, generator=loop.generator)
            loss, numbers = self.loss(drawn.tolist(), reference[drawn])
            loop.update(loss)
            sums = {name: sums.get(name, 0.0) + value for name, value in numbers.items()}
            count += 1
            if loop.step_number % settings.report_every == 0 or loop.step_number == settings.steps:
                means = {name: value / count for name, value in sums.items()}
                self.folder.log(loop.step_number, **means, lr=loop.learning_rate())
                sums, count = {}, 0
                loop.save(self.folder)
                if self._over_optimised(loop.step_number, means["chosen_change"]):
                    break
        loop.use_average()
        return write_result(self.loaded, self.network, settings.lora, settings.out / "model")

    def loss(self, numbers: Sequence[int], reference: Tensor) -> tuple[Tensor, dict[str, float]]:
        """Return the mean loss of some pairs, and what to report.

        Args:
            numbers: places in `pairs`, B of them.
            reference: their log-probabilities, (B, 2).
        Returns:
            A scalar, and: loss, accuracy (share of pairs whose better answer gained), margin, and chosen_change (nats a
            token that the better answers gained over the reference).
        """
        settings = self.settings
        policy, lengths = self.log_probabilities(*self.batch(numbers))
        fixed = reference.to(policy.device)
        scale = lengths.float() if settings.per_token else torch.ones_like(policy)
        first, second = policy / scale, fixed / scale
        scores = PairScores(first[:, 0], first[:, 1], second[:, 0], second[:, 1])
        loss = LOSSES[settings.loss](scores, settings.beta, settings.label_smoothing).mean()
        if settings.sft_weight:
            loss = loss - settings.sft_weight * (policy[:, 0].sum() / lengths[:, 0].sum())
        change = (policy[:, 0] - fixed[:, 0]).sum() / lengths[:, 0].sum()
        return loss, {
            "loss": loss.item(),
            "accuracy": (scores.margin > 0).float().mean().item(),
            "margin": scores.margin.mean().item(),
            "chosen_change": change.item(),
        }

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


def _share(pairs: Tensor) -> float:
    return float((pairs[:, 0] > pairs[:, 1]).float().mean())


def run_dpo(settings: DpoSettings, resume: bool = False) -> Path:
    """Run `dpo` and return the folder of the model or adapter."""
    if settings.threads:
        torch.set_num_threads(settings.threads)
    torch.manual_seed(settings.seed)
    folder = RunFolder(settings.out, settings, inputs=[part.path for part in settings.data], resume=resume)
    return PreferenceTrainer(settings, folder).run(resume)
