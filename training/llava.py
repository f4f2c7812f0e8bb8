"""Trains connector and language model on examples; `align` and `sft` are this loop with other things frozen."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from assistant.engine.features import selected
from assistant.errors import DataError
from assistant.model.load import load_model
from assistant.model.loaded import LoadedModel
from assistant.model.save import save_adapter, save_model
from data_recipes.schema import read_examples
from training.adapter import add_lora
from training.checks import check_ends, check_lengths, check_patients, check_pictures
from training.dataset import (
    IGNORED,
    PackedBatch,
    PictureGroup,
    Tokens,
    choose_questions,
    collate,
    group_by_pictures,
    make_pack,
    picture_weights,
)
from training.loop import Loop
from training.pictures import augment, build_store
from training.run_folder import RunFolder
from training.settings import LlavaSettings
from training.whiten import whiten_connector

if TYPE_CHECKING:
    from peft import PeftModel

logger = logging.getLogger(__name__)


class Material:
    """The examples of a run, ready to be drawn: groups of questions by picture, and the pictures decoded."""

    def __init__(self, settings: LlavaSettings, tokens: Tokens) -> None:
        self.settings, self.tokens = settings, tokens
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
        self.store = build_store(self.paths, settings.store_side, settings.out / "cache") if self.paths else None
        logger.info("%d picture groups, %d questions", len(self.groups), sum(len(g.questions) for g in self.groups))

    def draw(self, size: int, generator: torch.Generator) -> tuple[PackedBatch, Tensor]:
        """Return a batch of packs and its pictures, float (N, 3, size, size), 0 to 1, in the order of their tokens."""
        chosen = torch.multinomial(self.weights, self.settings.pictures, replacement=True, generator=generator)
        packs, rows, mirror, drawn = [], [], [], []
        for number in chosen.tolist():
            group = self.groups[number]
            questions = choose_questions(group.questions, self.settings.questions, generator)
            packs.append(make_pack(questions, self.tokens.image_id, self.settings.longest))
            rows += [self.row[path] for path in group.images]
            mirror += [group.region in self.settings.mirror and not group.sided] * len(group.images)
            drawn += [group.drawn] * len(group.images)
        batch = collate(packs, int(self.tokens.tokenizer.pad_token_id or 0))
        if not rows or self.store is None:
            return batch, torch.zeros(0, 3, size, size)
        images = augment(
            torch.from_numpy(self.store[rows]),
            size,
            self.settings.augment,
            generator,
            mirror=torch.tensor(mirror),
            turn=torch.zeros(len(rows), dtype=torch.bool),
            still=torch.tensor(drawn),
        )
        return batch, images


class LlavaTrainer:
    """One run: what is trained, how the loss is made, and what is written."""

    def __init__(self, settings: LlavaSettings, folder: RunFolder) -> None:
        self.settings, self.folder = settings, folder
        # Not asked for is none at all: the contract's own quantization is for answering, and could not be saved.
        quantization: Literal["nf4", "int8", "none"] = (settings.lora and settings.lora.quantization) or "none"
        self.loaded: LoadedModel = load_model(settings.model, quantization=quantization)
        self.tokens = Tokens(self.loaded.tokenizer, self.loaded.contract.image_tokens)
        self.material = Material(settings, self.tokens)
        context = int(self.loaded.llava.config.get_text_config().max_position_embeddings)
        check_lengths(self.material.groups, settings.longest, context)
        check_ends(self.material.groups, self.loaded.contract.eos_token_ids)
        processor = self.loaded.processor.image_processor
        self.mean = torch.tensor(processor.image_mean).view(1, 3, 1, 1)
        self.std = torch.tensor(processor.image_std).view(1, 3, 1, 1)
        self.network: nn.Module = self._trainable()
        if settings.compile:
            self._compile()

    def _trainable(self) -> nn.Module:
        """Switch on what is trained and return the module that holds it."""
        settings, llava = self.settings, self.loaded.llava
        llava.train()
        llava.model.vision_tower.eval()
        if "connector" in settings.train:
            llava.model.multi_modal_projector.requires_grad_(True)
        if settings.lora is not None:
            return add_lora(llava, settings.lora, connector="connector" in settings.train)
        if "language_model" in settings.train:
            llava.model.language_model.requires_grad_(True)
            llava.lm_head.requires_grad_(True)
        return llava

    def _compile(self) -> None:
        """Compile the language model's layers; on a CPU also attend by plain products, which then fuse with the mask.

        Layers are compiled in place, so names of weights and what is written stay the same.
        """
        model = self.loaded.llava.model.language_model
        if torch.device(self.loaded.device).type == "cpu":
            model.config._attn_implementation = "eager"
        for layer in model.layers:
            layer.compile(dynamic=True)

    def features(self, images: Tensor) -> Tensor:
        """Return what the connector reads of the frozen tower, (N, P, D)."""
        llava = self.loaded.llava
        with torch.no_grad():
            pixels = ((images - self.mean) / self.std).to(self.loaded.device)
            output = llava.model.vision_tower(pixels, output_hidden_states=True)
        return selected(output.hidden_states, llava.config)

    def loss(self, batch: PackedBatch, images: Tensor) -> Tensor:
        """Return the mean loss over the answers' tokens, each answer weighted by its length; a scalar."""
        llava, device = self.loaded.llava, self.loaded.device
        with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=self.settings.bf16):
            embeds = llava.get_input_embeddings()(batch.ids.to(device))
            if len(images):
                seen = llava.model.multi_modal_projector(self.features(images)).flatten(0, 1)
                seen = F.dropout(seen, self.settings.dropout)
                places = (batch.ids == self.tokens.image_id).to(device)
                embeds = embeds.masked_scatter(places[..., None], seen.to(embeds.dtype))
            mask = torch.zeros(batch.mask.shape, dtype=embeds.dtype, device=device)
            mask = mask.masked_fill(~batch.mask.to(device), torch.finfo(embeds.dtype).min)
            hidden = llava.model.language_model(
                inputs_embeds=embeds, attention_mask=mask, position_ids=batch.positions.to(device), use_cache=False
            ).last_hidden_state
            # Only answers have a loss, so only their places go through the vocabulary.
            wanted = batch.labels[:, 1:] != IGNORED
            logits = llava.lm_head(hidden[:, :-1][wanted.to(device)])
        targets = batch.labels[:, 1:][wanted].to(device)
        each = F.cross_entropy(logits.float(), targets, reduction="none")
        weight = answer_weights(batch.labels[:, 1:], wanted, self.settings.length_power).to(device)
        return (each * weight).sum() / weight.sum()

    def run(self, resume: bool) -> Path:
        """Train and write the model."""
        settings = self.settings
        loop = Loop(
            self.network, settings.optimizer, steps=settings.steps, seed=settings.seed, average=settings.average
        )
        restored = loop.restore(self.folder) if resume else None
        if settings.whiten and restored is None:
            self._whiten()
        size, total, count = self.loaded.contract.image_size, 0.0, 0
        while loop.step_number < settings.steps:
            loss = self.loss(*self.material.draw(size, loop.generator))
            loop.update(loss)
            total, count = total + loss.item(), count + 1
            if loop.step_number % settings.report_every == 0 or loop.step_number == settings.steps:
                self.folder.log(loop.step_number, loss=total / count, lr=loop.learning_rate())
                total, count = 0.0, 0
                loop.save(self.folder)
        loop.use_average()
        return self._write()

    def _whiten(self, batches: int = 8) -> None:
        """Fit the untrained connector to the features of some training pictures."""
        generator = torch.Generator().manual_seed(self.settings.seed)
        drawn = (self.material.draw(self.loaded.contract.image_size, generator)[1] for _ in range(batches))
        features = torch.cat([self.features(images).float() for images in drawn if len(images)])
        whiten_connector(self.loaded.llava.model.multi_modal_projector, features, seed=self.settings.seed)

    def _write(self) -> Path:
        out = self.settings.out / "model"
        self.loaded.llava.eval()
        if self.settings.lora is not None:
            return save_adapter(cast("PeftModel", self.network), self.loaded, out)
        return save_model(self.loaded, out)


def answer_weights(labels: Tensor, wanted: Tensor, power: float) -> Tensor:
    """Return one weight a supervised token, so that an answer of n tokens weighs n ** power in all.

    Args:
        labels: (B, L), `IGNORED` outside answers; answers are runs of other values.
        wanted: bool (B, L), labels != IGNORED.
        power: see `LlavaSettings.length_power`.
    Returns:
        (number of wanted,) in row order.
    """
    starts = wanted & ~F.pad(wanted, (1, 0))[:, :-1]
    number = starts.flatten().cumsum(0).view(labels.shape)[wanted] - 1
    lengths = torch.bincount(number).float()
    return lengths[number] ** (power - 1)


def run_stage(settings: LlavaSettings, resume: bool = False) -> Path:
    """Run `align` or `sft` and return the folder of the model or adapter."""
    if settings.threads:
        torch.set_num_threads(settings.threads)
    torch.manual_seed(settings.seed)
    folder = RunFolder(settings.out, settings, inputs=[part.path for part in settings.data], resume=resume)
    return LlavaTrainer(settings, folder).run(resume)
