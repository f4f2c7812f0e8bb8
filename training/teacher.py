"""A small convolutional network, trained on the categories alone, that the transformer encoder learns from.

A vision transformer needs far more pictures than a small hospital has; a convolutional network does not. The network
is trained first and thrown away after: only what it taught stays in the encoder.
Source: Touvron et al., Training data-efficient image transformers and distillation through attention, 2021.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from assistant.errors import TrainingError
from assistant.model.tensors import read_tensors
from training.attributes import AttributeHeads, attribute_loss
from training.batches import Batch, BatchMaker
from training.contrast_settings import TeacherSettings
from training.loop import Loop
from training.run_folder import RunFolder

logger = logging.getLogger(__name__)

Evaluate = Callable[[Callable[[Tensor], list[Tensor]]], dict[str, float]]


class Teacher(nn.Module):
    """A timm network with attribute heads and, for distillation of places, a grid of features."""

    def __init__(self, arch: str, sizes: list[int], weights: Path | None = None) -> None:
        import timm

        super().__init__()
        trunk: Any = timm.create_model(arch, pretrained=False, features_only=True)
        self.trunk = trunk
        if weights is not None:
            load_weights(trunk, arch, weights)
        channels: list[int] = trunk.feature_info.channels()
        self.grid_width = channels[-2]
        self.heads = AttributeHeads(channels[-1], sizes)
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return logits, one (B, categories) an attribute, and grid features (B, C, S/16, S/16)."""
        features: list[Tensor] = self.trunk(images.contiguous(memory_format=torch.channels_last))
        return self.heads(features[-1].mean(dim=(2, 3))), features[-2]


def load_weights(trunk: nn.Module, arch: str, path: Path) -> None:
    """Give a network weights from a file.

    Args:
        trunk: a timm network without its classifier.
        arch: its name, for what is said of a file that does not fit.
        path: safetensors file with timm's names; what belongs to the classifier is left out.
    Raises:
        ModelError: the file is broken.
        TrainingError: it has not all weights of the network, or some have another shape.
    """
    given, wanted = read_tensors(path), trunk.state_dict()
    counters = {name for name in wanted if name.endswith("num_batches_tracked")}
    wrong = sorted(
        name
        for name, one in wanted.items()
        if name not in counters and (name not in given or given[name].shape != one.shape)
    )
    if wrong:
        told = f"{tuple(given[wrong[0]].shape)}" if wrong[0] in given else "nothing"
        raise TrainingError(
            f"teacher.weights {path} does not fit teacher.arch {arch}: {len(wrong)} tensors differ, the first is "
            f"{wrong[0]}, {tuple(wanted[wrong[0]].shape)} in the network and {told} in the file. Name the network "
            "the file was made with, or leave teacher.weights out."
        )
    trunk.load_state_dict({name: given[name].float() for name in wanted.keys() - counters}, strict=False)


def mixed_loss(logits: list[Tensor], batch: Batch, targets: Tensor, weights: Tensor) -> Tensor:
    """Return the attribute loss of a batch whose real pictures may be mixed in pairs; a scalar."""
    own = attribute_loss(logits, targets[batch.index], weights)
    if batch.share >= 1.0:
        return own.mean()
    other = attribute_loss(logits, targets[batch.index[batch.partner]], weights)
    return (batch.share * own + (1 - batch.share) * other).mean()


def train_teacher(
    settings: TeacherSettings,
    maker: BatchMaker,
    weights: Tensor,
    folder: RunFolder,
    evaluate: Evaluate,
    *,
    seed: int,
    autocast: Callable[[], Any],
    resume: bool,
    report_every: int,
) -> Teacher:
    """Train the teacher, or go on where it stopped, and return it ready to be asked.

    Args:
        settings: arch and schedule.
        maker: draws batches.
        weights: (A,) of the attributes.
        folder: the teacher's own run folder.
        evaluate: gives the accuracies of a function from pictures to logits.
        seed: of weights and batches.
        autocast: makes the context of reduced precision.
        resume: go on from the folder's state.
        report_every: steps between two reports.
    Returns:
        The teacher with its averaged weights, frozen.
    """
    torch.manual_seed(seed)
    table = maker.data.table
    # What is restored below needs no other start.
    teacher = Teacher(settings.arch, table.sizes, None if resume else settings.weights)
    loop = Loop(teacher, settings.optimizer, steps=settings.steps, seed=seed, average=0.995)
    if resume:
        loop.restore(folder)
    teacher.train()
    while loop.step_number < settings.steps:
        batch = maker.draw(loop.generator)
        with autocast():
            logits, _ = teacher(batch.images)
        loss = mixed_loss(logits, batch, table.targets, weights)
        loop.update(loss)
        if loop.step_number % report_every == 0 or loop.step_number == settings.steps:
            kept = loop.use_average()
            teacher.eval()
            folder.log(loop.step_number, loss=loss.item(), **evaluate(lambda images: teacher(images)[0]))
            teacher.train()
            loop.put_back(kept)
            loop.save(folder)
    loop.use_average()
    teacher.eval()
    for parameter in teacher.parameters():
        parameter.requires_grad_(False)
    return teacher
