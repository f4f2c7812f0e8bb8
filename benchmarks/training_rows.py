"""Rows `sft_step` and `dpo_step`: a step of the product's own trainers beside a step as peers take it.

Both sides begin with the same weights and adapter, take the same steps on the same examples, and must report the same
loss within 1 % in each of them. Times are of the process, not of the clock, so that other work on the machine counts
little.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from benchmarks.suite import Measured, side_by_side
from benchmarks.training_parts import make_model, make_pairs, make_questions, texts_of
from benchmarks.training_peer import PeerStep, Sample
from training.adapter import LoraSettings
from training.dataset import Turned
from training.feature_cache import PictureView
from training.llava import LlavaTrainer
from training.loop import Loop
from training.preference import PreferenceTrainer
from training.preference_settings import DpoSettings
from training.recipe import OptimizerSettings
from training.run_folder import RunFolder
from training.settings import DataPart, LlavaSettings

LORA = LoraSettings(rank=16, alpha=32, dropout=0.0)
"""Without dropout, so that both sides compute the same."""
OPTIMIZER = OptimizerSettings(lr=2e-4, warmup_steps=60, weight_decay=0.0)
"""Of the shipped recipe for sft."""
SIDE = 224
"""Pixels a side."""
TURNS = 4
"""That count; one more comes before."""
WITHIN = 0.01
"""Share by which the losses may differ."""
MADE_OF = "ViT-B/16, 85M Llama of 32,000 words, LoRA rank 16 and connector, one thread"


def sft_step(device: str) -> list[Measured]:
    """Measure steps of 8 questions: four on each of 2 pictures, which share its tokens here, and one on each of 8.

    VQA-RAD asks 11 questions a picture, SLAKE 22; `questions` of a recipe is 6 where it says nothing.

    Args:
        device: "cpu"; on a GPU the peer's float32 would be no fair comparison.
    Returns:
        Two lines.
    """
    del device
    with _workplace() as (work, model, examples):
        return [_sft(work, model, examples, 2, 4), _sft(work, model, examples, 8, 1)]


def dpo_step(device: str) -> list[Measured]:
    """Measure steps of 4 pairs of reports.

    Args:
        device: "cpu"; on a GPU the peer's float32 would be no fair comparison.
    Returns:
        One line.
    """
    del device
    with _workplace() as (work, model, examples):
        return [_dpo(work, model, make_pairs(work / "pairs", examples), 4)]


@dataclass
class Losses:
    """What both sides reported, step by step."""

    theirs: list[float] = field(default_factory=list)
    ours: list[float] = field(default_factory=list)

    def measured(self, name: str, peer: str, times: tuple[float, float], wanted: float, note: str) -> Measured:
        """Return the line of a row."""
        apart = max(abs(a - b) / abs(a) for a, b in zip(self.theirs, self.ours, strict=True))
        gate = f"loss within 1 % in each of {len(self.ours)} steps: {100 * apart:.2f} %"
        return Measured(name, peer, *times, gate, apart <= WITHIN, wanted, note=f"{note}; {MADE_OF}")


@contextmanager
def _workplace() -> Iterator[tuple[Path, Path, Path]]:
    """Give a folder, a model and examples that are gone afterwards; one thread computes meanwhile."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with tempfile.TemporaryDirectory() as folder:
            work = Path(folder)
            examples = make_questions(work / "questions")
            yield work, make_model(work / "made", texts_of(examples)), examples
    finally:
        torch.set_num_threads(before)


def _sft(work: Path, model: Path, examples: Path, pictures: int, questions: int) -> Measured:
    """Measure steps of so many pictures with so many questions each."""
    settings = LlavaSettings(
        str(model),
        (DataPart(examples),),
        work / f"sft-{questions}",
        lora=LORA,
        optimizer=OPTIMIZER,
        pictures=pictures,
        questions=questions,
        longest=1024,
        length_power=1.0,  # the peer's loss: a mean over tokens
        augment=None,
        store_side=SIDE,
        steps=TURNS + 1,
    )
    torch.manual_seed(settings.seed)
    trainer = LlavaTrainer(settings, RunFolder(settings.out, settings))
    loop = Loop(trainer.network, OPTIMIZER, steps=settings.steps, seed=settings.seed)
    peer = PeerStep(str(model), settings.train, LORA, OPTIMIZER, steps=settings.steps, seed=settings.seed)
    material, losses = trainer.material, Losses()
    _fill(trainer.view, material.store)

    def ours() -> None:
        losses.ours.append(trainer.step(loop, material.draw(SIDE, loop.generator)))

    def theirs() -> None:
        # Equal seeds, so equal draws.
        chosen = material.choose(peer.loop.generator)
        samples = [_sample(material.store, material.row, group.images, one) for group, asked in chosen for one in asked]
        losses.theirs.append(peer.sft(samples))

    times = side_by_side(theirs, ours, repeats=TURNS, clock=time.process_time)
    name = "sft_step, one question a picture" if questions == 1 else "sft_step"
    told = f"{pictures * questions} questions on {pictures} pictures a step"
    return losses.measured(
        name, "LLaVA-Med's trainer: picture encoded in each step, all logits, fp32", times, 4.5, told
    )


def _dpo(work: Path, model: Path, pairs: Path, count: int) -> Measured:
    """Measure steps of so many pairs."""
    settings = DpoSettings(
        str(model),
        (DataPart(pairs),),
        work / "dpo",
        lora=LORA,
        optimizer=OPTIMIZER,
        pairs=count,
        longest=1024,
        steps=TURNS + 1,
    )
    torch.manual_seed(settings.seed)
    trainer = PreferenceTrainer(settings, RunFolder(settings.out, settings))
    loop = Loop(trainer.network, OPTIMIZER, steps=settings.steps, seed=settings.seed)
    peer = PeerStep(str(model), settings.train, LORA, OPTIMIZER, steps=settings.steps, seed=settings.seed)
    losses = Losses()
    reference = trainer.reference()  # which also fills the cache of features

    def draw(generator: torch.Generator) -> list[int]:
        numbers: list[int] = torch.multinomial(trainer.weights, count, replacement=True, generator=generator).tolist()
        return numbers

    def ours() -> None:
        losses.ours.append(trainer.step(loop, draw(loop.generator), reference)["loss"])

    def theirs() -> None:
        chosen = [trainer.pairs[number] for number in draw(peer.loop.generator)]
        better, worse = (
            [
                _sample(trainer.store, trainer.row, one.images, answer)
                for one, answer in zip(chosen, answers, strict=True)
            ]
            for answers in ([one.first for one in chosen], [one.second for one in chosen])
        )
        losses.theirs.append(peer.dpo(better, worse, settings.beta))

    times = side_by_side(theirs, ours, repeats=TURNS, clock=time.process_time)
    told = f"{count} pairs of reports a step"
    return losses.measured(
        "dpo_step", "trl's DPO: both answers with the picture, reference asked each step, fp32", times, 1.5, told
    )


def _sample(store: Any, row: dict[Path, int], images: tuple[Path, ...], turned: Turned) -> Sample:
    return Sample(torch.from_numpy(store[[row[path] for path in images]]), turned)


def _fill(view: PictureView, store: Any) -> None:
    """Put every picture's features into the cache, as they are from the second time on that a picture is drawn."""
    for start in range(0, len(store), 8):
        view(torch.from_numpy(store[start : start + 8].copy()))
