"""Training on questions with two answers each, which share the picture and the question's turn in one pack."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

import torch
from torch import Tensor

from data_recipes.schema import Example, Preference, read_examples
from training.branches import Branches, check_pairs
from training.checks import check_patients, check_pictures
from training.dataset import PackedBatch, Tokens, collate, make_pack
from training.feature_cache import PictureView
from training.loop import Loop
from training.packed import PackedModel
from training.pair_settings import PairSettings
from training.pictures import build_store
from training.precision import settle_bf16
from training.run_folder import RunFolder
from training.team import Team, begin
from training.thin import join_products
from training.trainable import TrainedModel

S = TypeVar("S", bound=PairSettings)
Told = dict[str, tuple[float, float]]
"""Numbers to report by name, each as a sum and what it is to be divided by."""


class PairTrainer(ABC, Generic[S]):
    """One run: what two-answered questions are read from the data, and what is learned, are the stage's own."""

    def __init__(self, settings: S, folder: RunFolder, team: Team | None = None) -> None:
        self.settings, self.folder, self.team = settings, folder, team or Team()
        self.model = TrainedModel(
            settings.model, settings.train, settings.lora, self.team, last_layers=settings.last_layers
        )
        self.loaded = self.model.loaded
        self.tokens = Tokens(self.loaded.tokenizer, self.loaded.contract.image_tokens)
        self.pairs: list[Branches] = []
        weights: list[Tensor] = []
        for part in settings.data:
            found = self.read(part.path)
            self.pairs += found
            weights.append(torch.full((len(found),), part.weight / len(found)))
        self.weights = torch.cat(weights)
        # Behind those that are trained on, so that all are checked and packed alike.
        self.pairs += self.measured()
        paths = sorted({path for pair in self.pairs for path in pair.images})
        check_pictures(paths)
        trained = [part.path for part in settings.data]
        check_patients(trained, settings.held_out, read=self.patients, read_held_out=self.held_out_patients)
        context = int(self.loaded.llava.config.get_text_config().max_position_embeddings)
        check_pairs(self.pairs, self.tokens.image_id, settings.longest, context, self.loaded.contract.eos_token_ids)
        self.row = {path: number for number, path in enumerate(paths)}
        size = self.loaded.contract.picture_size
        with self.team.main_first():
            self.store = build_store(paths, size, settings.out / "cache") if paths else None
        bf16 = settle_bf16(settings.bf16, folder, self.team, exact=True)
        self.packed = PackedModel(
            self.loaded,
            self.tokens.image_id,
            bf16=bf16,
            checkpoint=settings.checkpoint,
            lean=self.team.sharding != "ZeRO-3",
        )
        self.view = PictureView(self.packed, settings.kept_features)
        self.network = self.model.network
        if not self.team.sharded:
            join_products(self.network, bf16=bf16)
        if settings.compile:
            self.packed.compile()

    @abstractmethod
    def read(self, path: Path) -> list[Branches]:
        """Read a data file, which must hold something."""

    @abstractmethod
    def patients(self, path: Path) -> Iterable[Example | Preference]:
        """Read the records of a data file, for their patients."""

    @abstractmethod
    def run(self, resume: bool) -> Path:
        """Train and write the model."""

    def held_out_patients(self, path: Path) -> Iterable[Example | Preference]:
        """Read the records of a file that is measured on, for their patients."""
        return read_examples(path)

    def measured(self) -> list[Branches]:
        """Return pairs that are measured on in the run itself, never trained on; none by default."""
        return []

    def batch(self, numbers: Sequence[int]) -> tuple[PackedBatch, Tensor]:
        """Return the packs of some pairs, and their pictures, float (N, 3, S, S), 0 to 1, or the pictures' features."""
        chosen = [self.pairs[number] for number in numbers]
        longest = self.settings.longest
        packs = [make_pack([one.first, one.second], self.tokens.image_id, longest) for one in chosen]
        rows = [self.row[path] for one in chosen for path in one.images]
        size = self.loaded.contract.picture_size
        images = self.view(torch.from_numpy(self.store[rows])) if rows and self.store is not None else None
        found = images if images is not None else torch.zeros(0, 3, size, size)
        return collate(packs, int(self.tokens.tokenizer.pad_token_id or 0)), found

    def parts(self, drawn: Sequence[int]) -> list[list[int]]:
        """Return this process's share of a step, in parts that are computed one after the other.

        Args:
            drawn: places in `pairs`, of all processes.
        Returns:
            Places in `pairs`.
        """
        pairs = [self.pairs[number] for number in drawn]
        lengths = [len(one.first.prompt) + len(one.first.answer) + len(one.second.answer) for one in pairs]
        shares = self.team.share(lengths, self.settings.accumulate)
        return [[drawn[place] for place in share] for share in shares]

    def learn(
        self, loop: Loop, parts: Sequence[Sequence[int]], loss: Callable[[Sequence[int]], tuple[Tensor, Told]]
    ) -> dict[str, float]:
        """Take one step; returns what to report, by name.

        Args:
            loop: of the run.
            parts: of this process's share.
            loss: of a part, so that the parts of all processes sum to the step's.
        Returns:
            Numbers by name.
        """
        sums: dict[str, list[float]] = {}
        for place, part in enumerate(parts, start=1):
            value, numbers = loss(part)
            for name, (amount, count) in numbers.items():
                before = sums.get(name, [0.0, 0.0])
                sums[name] = [before[0] + amount, before[1] + count]
            if place < len(parts):
                loop.backward(value)
        loop.update(value)
        found = self.team.sum(torch.tensor(list(sums.values()), dtype=torch.float64)).tolist()
        return {name: amount / count for name, (amount, count) in zip(sums, found, strict=True) if count}


def run_on_pairs(trainer: Callable[[S, RunFolder, Team], PairTrainer[S]], settings: S, resume: bool) -> Path:
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
