"""Trains connector and language model on examples; `align` and `sft` are this loop with other things frozen."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from assistant.errors import DataError
from data_recipes.schema import read_examples
from training.checks import check_ends, check_lengths, check_patients, check_pictures
from training.dataset import (
    PackedBatch,
    PictureGroup,
    Tokens,
    Turned,
    choose_questions,
    collate,
    group_by_pictures,
    make_pack,
    picture_weights,
)
from training.feature_cache import PictureView
from training.loop import Loop, packed_loop
from training.packed import PackedModel, answer_numbers
from training.pictures import augment, build_store
from training.precision import settle_bf16
from training.run_folder import RunFolder
from training.settings import LlavaSettings
from training.team import Team, begin
from training.thin import join_products
from training.trainable import TrainedModel
from training.whiten import whiten_connector

logger = logging.getLogger(__name__)


class Material:
    """The examples of a run, ready to be drawn: groups of questions by picture, and the pictures decoded."""

    def __init__(self, settings: LlavaSettings, tokens: Tokens, view: PictureView) -> None:
        self.settings, self.tokens, self.view = settings, tokens, view
        self.groups: list[PictureGroup] = []
        weights: list[Tensor] = []
        for part in settings.data:
            groups = group_by_pictures(((part.path.parent, one) for one in read_examples(part.path)), tokens)
            if not groups:
                raise DataError(f"{part.path} holds no examples; build it again or take it out of `data:`.")
            self.groups += groups
            weights.append(part.weight * picture_weights(groups, part.balance))
        self.weights = torch.cat(weights)
        self.paths = sorted({path for group in self.groups for path in group.images})
        check_pictures(self.paths)
        check_patients([part.path for part in settings.data], settings.held_out)
        self.row = {path: number for number, path in enumerate(self.paths)}
        tiled = view.packed.loaded.contract.tiles > 1
        self.side = max(settings.store_side, view.size) if tiled else settings.store_side
        self.store = build_store(self.paths, self.side, settings.out / "cache") if self.paths else None
        logger.info("%d picture groups, %d questions", len(self.groups), sum(len(g.questions) for g in self.groups))

    def choose(self, generator: torch.Generator) -> list[tuple[PictureGroup, list[Turned]]]:
        """Draw a step's pictures, each with the questions that are asked about it."""
        chosen = torch.multinomial(self.weights, self.settings.pictures, replacement=True, generator=generator)
        groups = [self.groups[number] for number in chosen.tolist()]
        return [(one, choose_questions(one.questions, self.settings.questions, generator)) for one in groups]

    def draw(self, size: int, generator: torch.Generator, team: Team | None = None) -> list[tuple[PackedBatch, Tensor]]:
        """Draw a step's pictures and questions.

        Args:
            size: pixels a side.
            generator: source of chance.
            team: whose steps they are; None for one process that takes all.
        Returns:
            For each part of this process's share its packs, and its pictures in the order of their tokens: float
            (N, 3, size, size), 0 to 1, or their features.
        """
        chosen = self.choose(generator)
        groups = [group for group, _ in chosen]
        packs = [make_pack(asked, self.tokens.image_id, self.settings.longest) for _, asked in chosen]
        changed = self._augmented(groups, size, generator) if self.settings.augmented else None
        pad = int(self.tokens.tokenizer.pad_token_id or 0)
        parts = []
        for places in (team or Team()).share([len(one.ids) for one in packs], self.settings.accumulate):
            seen = changed or {place: self._pixels([groups[place]]) for place in places}
            pictures = torch.cat([seen[place] for place in places])
            if changed is None:
                pictures = self.view(pictures)
            parts.append((collate([packs[place] for place in places], pad), pictures))
        return parts

    def _pixels(self, groups: Sequence[PictureGroup]) -> Tensor:
        """Return the decoded pictures of some groups, uint8 (N, 3, S, S)."""
        rows = [self.row[path] for group in groups for path in group.images]
        if not rows or self.store is None:
            return torch.zeros(0, 3, self.side, self.side, dtype=torch.uint8)
        return torch.from_numpy(self.store[rows])

    def _augmented(self, groups: Sequence[PictureGroup], size: int, generator: torch.Generator) -> dict[int, Tensor]:
        """Return for each place the group's pictures, each changed at random: float (N, 3, size, size)."""
        pixels, seen = self._pixels(groups), [len(group.images) for group in groups]
        if not len(pixels) or self.settings.augment is None:
            return dict.fromkeys(range(len(groups)), torch.zeros(0, 3, size, size))

        def each(flags: Sequence[bool]) -> Tensor:
            return torch.tensor([flag for flag, count in zip(flags, seen, strict=True) for _ in range(count)])

        images = augment(
            pixels,
            size,
            self.settings.augment,
            generator,
            mirror=each([group.region in self.settings.mirror and not group.sided for group in groups]),
            turn=torch.zeros(len(pixels), dtype=torch.bool),
            still=each([group.drawn for group in groups]),
        )
        return dict(enumerate(images.split(seen)))


class LlavaTrainer:
    """One run: what is trained, how the loss is made, and what is written."""

    def __init__(self, settings: LlavaSettings, folder: RunFolder, team: Team | None = None) -> None:
        self.settings, self.folder, self.team = settings, folder, team or Team()
        self.model = TrainedModel(
            settings.model, settings.train, settings.lora, self.team, last_layers=settings.last_layers
        )
        self.loaded = self.model.loaded
        self.tokens = Tokens(self.loaded.tokenizer, self.loaded.contract.image_tokens)
        bf16 = settle_bf16(settings.bf16, folder, self.team)
        self.packed = PackedModel(
            self.loaded,
            self.tokens.image_id,
            bf16=bf16,
            dropout=settings.dropout,
            checkpoint=settings.checkpoint,
            lean=self.team.sharding != "ZeRO-3",
        )
        self.view = PictureView(self.packed, settings.kept_features)
        with self.team.main_first():
            self.material = Material(settings, self.tokens, self.view)
        context = int(self.loaded.llava.config.get_text_config().max_position_embeddings)
        check_lengths(self.material.groups, settings.longest, context)
        check_ends(self.material.groups, self.loaded.contract.eos_token_ids)
        self.network = self.model.network
        if not self.team.sharded:
            join_products(self.network, bf16=bf16)
        if settings.compile:
            self.packed.compile()

    def loss(self, batch: PackedBatch, images: Tensor, whole: float | None = None) -> Tensor:
        """Return the mean loss over the answers' tokens, each answer weighted by its length.

        Args:
            batch: packs.
            images: their pictures.
            whole: what the weights of all the step's tokens come to, where this is a part of it.
        Returns:
            A scalar; the parts of a step sum to its loss.
        """
        each = F.cross_entropy(self.packed.answer_logits(batch, images), self.packed.targets(batch), reduction="none")
        weight = self._weights(batch).to(each.device)
        return (each * weight).sum() / (weight.sum() if whole is None else whole)

    def _weights(self, batch: PackedBatch) -> Tensor:
        return answer_weights(answer_numbers(batch), self.settings.length_power)

    def step(self, loop: Loop, parts: Sequence[tuple[PackedBatch, Tensor]]) -> float:
        """Take one step on a step's parts; returns its loss."""
        whole = self.team.total(sum(self._weights(batch).sum().item() for batch, _ in parts))
        total = 0.0
        for number, (batch, images) in enumerate(parts, start=1):
            loss = self.loss(batch, images, whole)
            total += loss.item()
            if number < len(parts):
                loop.backward(loss)
        loop.update(loss)
        return self.team.total(total)

    def run(self, resume: bool) -> Path:
        """Train and write the model."""
        settings = self.settings
        if settings.whiten and not (resume and self.folder.has_state()):
            self._whiten()
        loop = packed_loop(self.network, settings, self.team)
        self.team.part_chances(settings.seed)
        if resume:
            loop.restore(self.folder)
        size, total, count = self.loaded.contract.picture_size, 0.0, 0
        while loop.step_number < settings.steps:
            total += self.step(loop, self.material.draw(size, loop.generator, self.team))
            count += 1
            if loop.step_number % settings.report_every == 0 or loop.step_number == settings.steps:
                self.folder.log(loop.step_number, loss=total / count, gradient=loop.norm, lr=loop.learning_rate())
                total, count = 0.0, 0
                loop.save(self.folder)
        self.view.report()
        loop.use_average()
        return self.model.write(settings.out / "model")

    def _whiten(self, batches: int = 8) -> None:
        """Fit the untrained connector to the features of some training pictures."""
        generator = torch.Generator().manual_seed(self.settings.seed)
        drawn = (self.material.draw(self.loaded.contract.picture_size, generator) for _ in range(batches))
        seen = (images for parts in drawn for _, images in parts if len(images))
        features = torch.cat([self.packed.features(images).float() for images in seen])
        whiten_connector(self.loaded.llava.model.multi_modal_projector, features, seed=self.settings.seed)


def answer_weights(numbers: Tensor, power: float) -> Tensor:
    """Return one weight a supervised token, so that an answer of n tokens weighs n ** power in all.

    Args:
        numbers: (T,) which answer each token belongs to, from 0.
        power: see `LlavaSettings.length_power`.
    Returns:
        (T,).
    """
    lengths = torch.bincount(numbers).float()
    return lengths[numbers] ** (power - 1)


def run_stage(settings: LlavaSettings, resume: bool = False) -> Path:
    """Run `align` or `sft` and return the folder of the model or adapter."""
    team = begin(settings.threads, settings.seed, settings.pictures, settings.accumulate)
    files = [part.path for part in settings.data]
    folder = RunFolder(settings.out, settings, inputs=files, resume=resume, writes=team.main)
    return LlavaTrainer(settings, folder, team).run(resume)
