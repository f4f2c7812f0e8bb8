"""A training step as peers take it, written from how their programs are described.

LLaVA-Med trains by LLaVA's own trainer (microsoft/LLaVA-Med, llava/train): a sequence holds one question, its picture
goes through the tower in each step anew, the batch is padded to its longest as it comes, and every place of it goes
through the vocabulary. Preference tuning follows trl's `DPOTrainer` for models that see: the picture stands in the
batch twice, once with each answer, and the reference is asked in each step. Both compute in float32, as those programs
do on a CPU. Weights, adapter, examples, loss and update are the same as on our side. Pictures are decoded beforehand,
which their loaders do in each step.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from training.adapter import LoraSettings
from training.dataset import IGNORED, Turned
from training.loop import Loop
from training.pictures import plain
from training.recipe import OptimizerSettings
from training.trainable import TrainedModel


@dataclass(frozen=True)
class Sample:
    """Pictures, uint8 (N, 3, S, S), with a question and its answer."""

    pixels: Tensor
    turned: Turned


class PeerStep:
    """A model of its own, on the same weights, and the loop that updates it.

    Args:
        model: folder.
        train: parts that train.
        lora: the adapter.
        optimizer: learning rate and schedule.
        steps: of the schedule.
        seed: of the adapter's first weights.
    """

    def __init__(
        self,
        model: str,
        train: tuple[str, ...],
        lora: LoraSettings | None,
        optimizer: OptimizerSettings,
        *,
        steps: int,
        seed: int = 0,
    ) -> None:
        torch.manual_seed(seed)
        self.model = TrainedModel(model, train, lora)
        self.network, self.loaded = self.model.network, self.model.loaded
        self.loop = Loop(self.network, optimizer, steps=steps, seed=seed)
        processor = self.loaded.processor.image_processor
        self.mean = torch.tensor(processor.image_mean).view(1, 3, 1, 1)
        self.std = torch.tensor(processor.image_std).view(1, 3, 1, 1)

    def _inputs(self, samples: Sequence[Sample]) -> dict[str, Tensor]:
        """Pad to the longest on the right; the loss is on answers alone."""
        rows = [torch.tensor((*one.turned.prompt, *one.turned.answer)) for one in samples]
        labels = [row.clone() for row in rows]
        for row, one in zip(labels, samples, strict=True):
            row[: len(one.turned.prompt)] = IGNORED
        length, pad = max(map(len, rows)), int(self.loaded.tokenizer.pad_token_id or 0)
        size = int(self.loaded.contract.image_size)
        pixels = (plain(torch.cat([one.pixels for one in samples]), size) - self.mean) / self.std

        def padded(given: Sequence[Tensor], value: int) -> Tensor:
            return torch.stack([F.pad(row, (0, length - len(row)), value=value) for row in given])

        return {
            "input_ids": padded(rows, pad),
            "labels": padded(labels, IGNORED),
            "attention_mask": padded([torch.ones_like(row) for row in rows], 0),
            "pixel_values": pixels,
        }

    def sft(self, samples: Sequence[Sample]) -> float:
        """Take one step on questions with their answers; returns its loss, a mean over the answers' tokens."""
        loss: Tensor = self.network(**self._inputs(samples), use_cache=False).loss
        self.loop.update(loss)
        return loss.item()

    def _sums(self, inputs: dict[str, Tensor]) -> Tensor:
        """Return the summed log-probability of each answer, (B,)."""
        labels = inputs["labels"]
        given = {name: one for name, one in inputs.items() if name != "labels"}
        logits: Tensor = self.network(**given, use_cache=False).logits[:, :-1]
        wanted = labels[:, 1:] != IGNORED
        each = logits.log_softmax(-1).gather(-1, labels[:, 1:].clamp(min=0)[..., None])[..., 0]
        return (each * wanted).sum(-1)

    def dpo(self, better: Sequence[Sample], worse: Sequence[Sample], beta: float) -> float:
        """Take one step on pairs of answers, B each; returns its loss."""
        inputs = self._inputs([*better, *worse])
        disabled = getattr(self.network, "disable_adapter", nullcontext)
        with torch.no_grad(), disabled():
            reference = self._sums(inputs)
        change = self._sums(inputs) - reference
        first, second = change.split(len(better))
        loss = -F.logsigmoid(beta * (first - second)).mean()
        self.loop.update(loss)
        return loss.item()
