"""Trains the BiomedCLIP-shaped encoder: pictures with captions, categories, drawn truth, and pairs of texts."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from assistant.errors import ConfigError
from data_recipes.phantom import MASK_CLASSES
from training.attributes import AttributeHeads, AttributeTable, accuracies, build_table, distillation_loss
from training.augment_settings import AugmentSettings
from training.batches import Batch, BatchMaker
from training.encoder_data import EncoderData, PhantomSettings, gather_real, load_encoder_data
from training.encoder_init import EncoderShape, make_encoder
from training.loop import Loop
from training.pictures import build_store, plain
from training.recipe import OptimizerSettings, stage_main
from training.run_folder import RunFolder
from training.teacher import Teacher, TeacherSettings, mixed_loss, train_teacher
from training.text_pairs import PairMaker, read_passages

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LossWeights:
    """How much each thing counts; `losses:` in a recipe."""

    caption: float = 0.5
    """Pictures and captions find each other (contrastive)."""
    text: float = 0.25
    """Texts that belong together find each other."""
    category: float = 0.5
    """Known categories, read off the class token and off the mean of the patches."""
    teacher: float = 1.0
    """Agreement with the teacher's categories."""
    places: float = 1.0
    """Agreement of each patch with the teacher's features at its place."""
    dense: float = 1.0
    """What each patch of a phantom shows."""
    attributes: dict[str, float] = field(default_factory=dict)
    """Weight of single attributes, 1 where not named."""


@dataclass(frozen=True)
class ContrastSettings:
    """Settings of `python -m training.contrast`."""

    data: tuple[Path, ...]
    """JSONL data files for training."""
    out: Path
    """Run folder; the encoder is written to `out/encoder`, an open_clip folder."""
    encoder: Path | None = None
    """An open_clip folder to go on from; without it a new one of `shape` is made."""
    dev: Path | None = None
    """JSONL data file whose categories are predicted at every report."""
    passages: tuple[Path, ...] = ()
    """JSONL passages or folders of Markdown cards, for the text tower and its vocabulary."""
    shape: EncoderShape = field(default_factory=EncoderShape)
    """Shape of a new encoder."""
    phantoms: PhantomSettings = field(default_factory=PhantomSettings)
    """Drawn pictures."""
    teacher: TeacherSettings | None = field(default_factory=TeacherSettings)
    """Convolutional teacher, null for none."""
    losses: LossWeights = field(default_factory=LossWeights)
    """Weights of the losses."""
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    """Augmentation."""
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)
    """Learning rate and schedule."""
    mirror: tuple[str, ...] = ("brain", "breast", "skin", "peripheral blood")
    """Regions whose pictures may be mirrored."""
    turn: tuple[str, ...] = ("skin", "peripheral blood")
    """Regions whose pictures have no up or down."""
    steps: int = 3000
    """Updates."""
    batch_size: int = 64
    """Pictures a step."""
    mixing: float = 0.5
    """Chance that the real pictures of a batch are mixed in pairs."""
    store_side: int = 160
    """Pixels a side at which pictures are kept decoded."""
    average: float = 0.998
    """Decay of the averaged weights, which are the ones kept."""
    bf16: bool = True
    """Compute in bfloat16 where the machine is quick at it."""
    threads: int = 0
    """CPU threads, 0 for torch's own choice."""
    report_every: int = 200
    """Steps between two reports; the state is saved then, too."""
    seed: int = 0
    """Start of every random choice."""

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch_size < 2:
            raise ConfigError(f"steps is {self.steps}, batch_size {self.batch_size}; use at least 1 and 2.")


class Student(nn.Module):
    """The encoder with the heads that teach it; the heads are thrown away."""

    def __init__(self, clip: Any, sizes: list[int], teacher_width: int | None) -> None:
        super().__init__()
        self.clip = clip
        width = clip.visual.trunk.embed_dim
        self.class_heads = AttributeHeads(width, sizes)
        self.patch_heads = AttributeHeads(width, sizes)
        self.dense_head = nn.Linear(width, len(MASK_CLASSES))
        self.place_head = nn.Linear(width, teacher_width) if teacher_width else None

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, list[Tensor], list[Tensor]]:
        """Return joint embeddings (B, E), patches (B, P, D), logits from the class token and from the patches."""
        tokens = self.clip.visual.trunk.forward_features(images)
        joint = F.normalize(self.clip.visual.head(tokens[:, 0]).float(), dim=-1)
        patches = tokens[:, 1:]
        return joint, patches, self.class_heads(tokens[:, 0]), self.patch_heads(patches.mean(dim=1))


def matching_loss(one: Tensor, other: Tensor, same: Tensor, scale: Tensor) -> Tensor:
    """Return the symmetric contrastive loss in which every pair of equal content counts as a match.

    Args:
        one: (B, E) unit vectors.
        other: (B, E) unit vectors.
        same: bool (B, B), which pairs mean the same.
        scale: inverse temperature.
    """
    logits = scale * one @ other.T
    wanted = same.float()
    rows = -(logits.log_softmax(1) * wanted / wanted.sum(1, keepdim=True)).sum(1).mean()
    columns = -(logits.log_softmax(0) * wanted / wanted.sum(0, keepdim=True)).sum(0).mean()
    return (rows + columns) / 2


class ContrastRun:
    """One training run of the encoder."""

    def __init__(self, settings: ContrastSettings, folder: RunFolder) -> None:
        self.settings, self.folder = settings, folder
        passages = [list(read_passages(path)) for path in settings.passages]
        self.pairs = PairMaker(passages) if passages else None
        self.encoder_folder, self.clip, self.tokenizer, mean, std = make_encoder(settings, sum(passages, []))
        trunk = self.clip.visual.trunk
        self.size, self.grid = int(trunk.patch_embed.img_size[0]), int(trunk.patch_embed.grid_size[0])
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
            BatchMaker,
            self.data,
            size=self.size,
            mean=mean,
            std=std,
            settings=settings.augment,
            batch_size=settings.batch_size,
            mixing=settings.mixing,
        )
        self.maker = self.make_batches(phantom_share=settings.phantoms.share if settings.phantoms.count else 0.0)
        names = self.data.table.names
        self.weights = torch.tensor([settings.losses.attributes.get(name, 1.0) for name in names])
        self.evaluate = self._evaluator()

    def autocast(self) -> Any:
        """Return the context in which the networks compute."""
        return torch.autocast("cpu", torch.bfloat16, enabled=self.settings.bf16)

    def _evaluator(self) -> Callable[[Callable[[Tensor], list[Tensor]]], dict[str, float]]:
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
                    rows.append(predict(self.maker.normalise(plain(pixels, self.size))))
            return accuracies([torch.cat(column).float() for column in zip(*rows, strict=True)], table)

        return evaluate

    def run(self, resume: bool) -> None:
        """Train teacher and encoder and write the encoder's folder."""
        settings = self.settings
        teacher = self._teacher(resume)
        student = Student(self.clip, self.data.table.sizes, teacher.grid_width if teacher else None)
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
            self.make_batches(phantom_share=0.0),
            self.weights,
            folder,
            self.evaluate,
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
            * (mixed_loss(class_logits, batch, table.targets, self.weights) + mixed_loss(patch_logits, batch, table.targets, self.weights))
        }
        if teacher is not None and student.place_head is not None:
            # The teacher has seen real pictures only; phantoms come with exact truth of their own.
            real = slice(0, batch.real)
            with torch.no_grad(), self.autocast():
                soft, places = teacher(batch.images[real])
            both = [[one[real] for one in logits] for logits in (class_logits, patch_logits)]
            agree = [distillation_loss(logits, soft, known[real], self.weights).mean() for logits in both]
            parts["teacher"] = weigh.teacher * (agree[0] + agree[1])
            parts["places"] = weigh.places * self._places(student.place_head, patches[real], places)
        if batch.real < len(batch.index):
            parts["dense"] = weigh.dense * self._dense(student, patches, batch)
        parts |= self._texts(joint, batch, generator)
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

    def _texts(self, joint: Tensor, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        weigh, scale = self.settings.losses, self.clip.logit_scale.exp().clamp(max=50)
        words = [self.data.captions[i] for i in batch.index.tolist()]
        unique = sorted(set(words))
        numbers = torch.tensor([unique.index(one) for one in words])
        with self.autocast():
            embedded = self.embed(unique)
        parts = {"caption": weigh.caption * matching_loss(joint, embedded[numbers], numbers[:, None] == numbers, scale)}
        if self.pairs is not None and weigh.text:
            first, second = self.pairs.draw(self.settings.batch_size // 2, generator)
            with self.autocast():
                one, other = self.embed(first), self.embed(second)
            names = torch.tensor([first.index(name) for name in first])
            parts["text"] = weigh.text * matching_loss(one, other, names[:, None] == names, scale)
        return parts

    def embed(self, texts: list[str]) -> Tensor:
        """Return unit embeddings of texts, (N, E)."""
        ids = self.tokenizer(texts, padding=True, truncation=True, max_length=96, return_tensors="pt")["input_ids"]
        return F.normalize(self.clip.encode_text(ids).float(), dim=-1)

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


def describe(settings: ContrastSettings) -> str:
    """Say what a run would do."""
    return (
        f"encoder: {settings.steps} steps of {settings.batch_size} pictures from {len(settings.data)} file(s) and "
        f"{settings.phantoms.count} phantoms, teacher: {settings.teacher.arch if settings.teacher else 'none'}, "
        f"to {settings.out / 'encoder'}"
    )


def run(settings: ContrastSettings, resume: bool = False) -> Path:
    """Run the stage and return the encoder's folder."""
    if settings.threads:
        torch.set_num_threads(settings.threads)
    torch.manual_seed(settings.seed)
    folder = RunFolder(settings.out, settings, inputs=[*settings.data, *settings.passages], resume=resume)
    ContrastRun(settings, folder).run(resume)
    return settings.out / "encoder"


def main(argv: list[str] | None = None) -> int:
    """Command line of the stage."""
    return stage_main("contrast", ContrastSettings, describe, lambda s, r: (run(s, r), None)[1], argv)


if __name__ == "__main__":
    raise SystemExit(main())
