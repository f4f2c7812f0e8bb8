"""One training run of the BiomedCLIP-shaped encoder: teacher, student, their losses, and the folder it ends in."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from assistant.errors import TrainingError
from data_recipes.phantom_findings import MASK_CLASSES
from training.attributes import AttributeTable, accuracies, build_table, distillation_loss
from training.batches import Batch, BatchMaker
from training.contrast_settings import ContrastSettings
from training.encoder_data import EncoderData, gather_real, load_encoder_data
from training.encoder_init import make_encoder
from training.loop import Loop
from training.pictures import build_store, plain
from training.precision import settle_bf16
from training.run_folder import RunFolder
from training.student import Student, matching_loss, pairwise_loss
from training.teacher import Teacher, mixed_loss, train_teacher
from training.team import Team
from training.text_pairs import PairMaker, read_passages


class ContrastRun:
    """One training run of the encoder."""

    def __init__(self, settings: ContrastSettings, folder: RunFolder) -> None:
        self.settings, self.folder = settings, folder
        self.bf16 = settle_bf16(settings.bf16, folder, Team())
        passages = [list(read_passages(path)) for path in settings.passages]
        self.pairs = PairMaker(passages) if passages else None
        self.encoder_folder, self.clip, self.tokenizer, mean, std = make_encoder(settings, sum(passages, []))
        trunk = self.clip.visual.trunk
        self.size, self.grid = int(trunk.patch_embed.img_size[0]), int(trunk.patch_embed.grid_size[0])
        self.tokens = min(96, int(self.clip.text.transformer.config.max_position_embeddings))
        self.taught = (settings.teacher.image_size if settings.teacher else None) or self.size
        self.data: EncoderData = load_encoder_data(
            settings.data,
            settings.phantoms,
            side=settings.store_side,
            image_size=self.size,
            grid=self.grid,
            cache=settings.out / "cache",
            mirror=settings.mirror,
            turn=settings.turn,
        )
        self.make_batches = partial(
            BatchMaker, self.data, mean=mean, std=std, settings=settings.augment, mixing=settings.mixing
        )
        self.maker = self.make_batches(
            size=self.size,
            large=self.taught,
            batch_size=settings.batch_size,
            phantom_share=settings.phantoms.share if settings.phantoms.count else 0.0,
        )
        names = self.data.table.names
        self.weights = torch.tensor([settings.losses.attributes.get(name, 1.0) for name in names])
        self.evaluate = self._evaluator(self.size)

    def autocast(self) -> Any:
        """Return the context in which the networks compute."""
        return torch.autocast("cpu", torch.bfloat16, enabled=self.bf16)

    def _evaluator(self, size: int) -> Callable[[Callable[[Tensor], list[Tensor]]], dict[str, float]]:
        settings = self.settings
        if settings.dev is None:
            return lambda predict: {}
        paths, known = gather_real([settings.dev])
        store = build_store(paths, settings.store_side, settings.out / "cache")
        table: AttributeTable = build_table(known, like=self.data.table)

        def evaluate(predict: Callable[[Tensor], list[Tensor]]) -> dict[str, float]:
            rows = []
            with torch.inference_mode(), self.autocast():
                for start in range(0, len(store), 64):
                    pixels = torch.from_numpy(store[start : start + 64].copy())
                    rows.append(predict(self.maker.normalise(plain(pixels, size))))
            return accuracies([torch.cat(column).float() for column in zip(*rows, strict=True)], table)

        return evaluate

    def run(self, resume: bool) -> None:
        """Train teacher and encoder and write the encoder's folder."""
        settings = self.settings
        teacher = self._teacher(resume)
        student = Student(
            self.clip,
            self.data.table.sizes,
            teacher.grid_width if teacher else None,
            pair_bias=settings.matching == "sigmoid",
        )
        freeze(self.clip, settings.freeze, settings.freeze_layers)
        loop = Loop(student, settings.optimizer, steps=settings.steps, seed=settings.seed, average=settings.average)
        if resume:
            loop.restore(self.folder)
        student.train()
        while loop.step_number < settings.steps:
            parts = self.losses(student, teacher, loop.generator)
            loop.update(torch.stack(list(parts.values())).sum())
            if loop.step_number % settings.report_every == 0 or loop.step_number == settings.steps:
                self._report(student, loop, {name: one.item() for name, one in parts.items()})
        loop.use_average()
        self._write()

    def _teacher(self, resume: bool) -> Teacher | None:
        settings = self.settings
        if settings.teacher is None:
            return None
        again = resume and (settings.out / "teacher" / "run.json").exists()
        folder = RunFolder(settings.out / "teacher", settings.teacher, resume=again)
        return train_teacher(
            settings.teacher,
            self.make_batches(
                size=self.taught, batch_size=settings.teacher.batch_size or settings.batch_size, phantom_share=0.0
            ),
            self.weights,
            folder,
            self._evaluator(self.taught),
            seed=settings.seed,
            autocast=self.autocast,
            resume=again,
            report_every=settings.report_every,
        )

    def losses(self, student: Student, teacher: Teacher | None, generator: torch.Generator) -> dict[str, Tensor]:
        """Return the weighted losses of one batch."""
        weigh, table = self.settings.losses, self.data.table
        batch = self.maker.draw(generator)
        with self.autocast():
            joint, patches, class_logits, patch_logits = student(batch.images)
        known = table.targets[batch.index] >= 0
        parts = {
            "category": weigh.category
            * (
                mixed_loss(class_logits, batch, table.targets, self.weights)
                + mixed_loss(patch_logits, batch, table.targets, self.weights)
            )
        }
        if teacher is not None and student.place_head is not None:
            # The teacher has seen real pictures only; phantoms come with exact truth of their own.
            real = slice(0, batch.real)
            with torch.no_grad(), self.autocast():
                soft, places = teacher(batch.images[real] if batch.large is None else batch.large)
            both = [[one[real] for one in logits] for logits in (class_logits, patch_logits)]
            agree = [distillation_loss(logits, soft, known[real], self.weights).mean() for logits in both]
            parts["teacher"] = weigh.teacher * (agree[0] + agree[1])
            parts["places"] = weigh.places * self._places(student.place_head, patches[real], places)
        if batch.real < len(batch.index):
            parts["dense"] = weigh.dense * self._dense(student, patches, batch)
        parts |= self._texts(joint, batch, generator, student.pair_bias)
        return parts

    def _places(self, head: nn.Linear, patches: Tensor, places: Tensor) -> Tensor:
        wanted = F.interpolate(places.float(), size=(self.grid, self.grid), mode="bilinear").flatten(2).transpose(1, 2)
        found = head(patches.float())
        return (1 - F.cosine_similarity(found, wanted - wanted.mean(dim=(0, 1)), dim=-1)).mean()

    def _dense(self, student: Student, patches: Tensor, batch: Batch) -> Tensor:
        wanted = self.data.patch_classes[batch.index[batch.real :] - self.data.real].flatten(1)
        logits = student.dense_head(patches[batch.real :].float())
        # Findings cover few patches: without weights, "background" everywhere is a comfortable answer.
        weight = torch.ones(len(MASK_CLASSES)).index_fill(0, torch.tensor([0]), 0.3)
        return F.cross_entropy(logits.flatten(0, 1), wanted.flatten(), weight=weight)

    def _texts(self, joint: Tensor, batch: Batch, generator: torch.Generator, bias: Tensor | None) -> dict[str, Tensor]:
        weigh, scale = self.settings.losses, self.clip.logit_scale.exp().clamp(max=50)
        match = matching_loss if bias is None else partial(pairwise_loss, bias=bias)
        words = [self.data.captions[i] for i in batch.index.tolist()]
        unique = sorted(set(words))
        numbers = torch.tensor([unique.index(one) for one in words])
        with self.autocast():
            embedded = self.embed(unique)
        parts = {"caption": weigh.caption * match(joint, embedded[numbers], numbers[:, None] == numbers, scale)}
        if self.pairs is not None and weigh.text:
            first, second = self.pairs.draw(self.settings.batch_size // 2, generator)
            with self.autocast():
                one, other = self.embed(first), self.embed(second)
            names = torch.tensor([first.index(name) for name in first])
            parts["text"] = weigh.text * match(one, other, names[:, None] == names, scale)
        return parts

    def embed(self, texts: list[str]) -> Tensor:
        """Return unit embeddings of texts, (N, E)."""
        ids = self.tokenizer(texts, padding=True, truncation=True, max_length=self.tokens, return_tensors="pt")
        return F.normalize(self.clip.encode_text(ids["input_ids"]).float(), dim=-1)

    def _report(self, student: Student, loop: Loop, parts: dict[str, float]) -> None:
        kept = loop.use_average()
        student.eval()
        found = self.evaluate(lambda images: [a.float() + b.float() for a, b in zip(*student(images)[2:], strict=True)])
        student.train()
        loop.put_back(kept)
        self.folder.log(loop.step_number, lr=loop.learning_rate(), **parts, **{f"dev/{k}": v for k, v in found.items()})
        loop.save(self.folder)

    def _write(self) -> None:
        from safetensors.torch import save_file

        weights = {name: tensor.detach().contiguous().clone() for name, tensor in self.clip.state_dict().items()}
        partial = self.settings.out / "encoder.partial"
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(self.encoder_folder, partial)
        save_file(weights, partial / "open_clip_model.safetensors")
        shutil.rmtree(self.settings.out / "encoder", ignore_errors=True)
        partial.rename(self.settings.out / "encoder")


def freeze(clip: Any, towers: Collection[str], layers: int) -> None:
    """Keep parts of an encoder as they are.

    Args:
        clip: an open_clip model.
        towers: "image", "text", or both.
        layers: of the image tower, from the input on, with what lies before them.
    Raises:
        TrainingError: the tower has fewer layers.
    """
    trunk = clip.visual.trunk
    if layers > len(trunk.blocks):
        raise TrainingError(f"freeze_layers is {layers}, but the image tower has {len(trunk.blocks)} layers.")
    if "image" in towers:
        trunk.requires_grad_(False)
    if "text" in towers:
        clip.text.requires_grad_(False)
    if layers:
        trunk.patch_embed.requires_grad_(False)
        for name, one in trunk.named_parameters(recurse=False):
            one.requires_grad_(one.requires_grad and name not in ("cls_token", "pos_embed"))
        for block in trunk.blocks[:layers]:
            block.requires_grad_(False)


def run_contrast(settings: ContrastSettings, resume: bool = False) -> Path:
    """Run the stage and return the encoder's folder."""
    if settings.threads:
        torch.set_num_threads(settings.threads)
    torch.manual_seed(settings.seed)
    folder = RunFolder(settings.out, settings, inputs=[*settings.data, *settings.passages], resume=resume)
    ContrastRun(settings, folder).run(resume)
    return settings.out / "encoder"
