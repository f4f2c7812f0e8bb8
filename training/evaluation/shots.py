"""Worked examples to put before a question: drawn by chance, or those that are most like it."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from assistant.conversation import Question
from assistant.errors import DataError
from assistant.imaging.picture import Picture
from assistant.questions import options_of
from assistant.words import content_words
from training.evaluation.answers import Asker
from training.evaluation.items import Item, make_item

POOL = 2000
"""At most so many examples are drawn on; their pictures are encoded once."""


class Shots:
    """Examples to choose from, none of a patient that is asked about.

    Args:
        asker: whose encoder compares pictures.
        pool: the examples.
        load: reads a picture.
        nearest: choose by likeness; else by chance.
        count: how many before each question.
    """

    def __init__(
        self, asker: Asker, pool: Sequence[Item], load: Callable[[Path], Picture], *, nearest: bool, count: int
    ) -> None:
        self._asker, self._count, self._nearest = asker, count, nearest
        self._pool = list(pool)
        self._words = [set(content_words(item.question)) for item in self._pool]
        self._kinds = [_kind(Question(item.question, (), (), item.choices)) for item in self._pool]
        self._vectors = self._embed(load) if nearest else None

    def _embed(self, load: Callable[[Path], Picture]) -> np.ndarray:
        known: dict[tuple[Path, ...], np.ndarray] = {}
        for item in self._pool:
            if item.images not in known:
                known[item.images] = self._asker.joint([load(path) for path in item.images])
        return np.stack([known[item.images] for item in self._pool])

    def choose(self, question: Question) -> list[Item]:
        """Return examples for a question, the most like it last, so that it stands nearest.

        Examples of its own kind (closed, or open) come first; others fill up.

        Args:
            question: with its pictures.

        Returns:
            At most `count`.
        """
        rank = self._ranks(question)
        kind = _kind(question)
        order = sorted(range(len(self._pool)), key=lambda place: (self._kinds[place] != kind, -rank[place]))
        return [self._pool[place] for place in reversed(order[: self._count])]

    def _ranks(self, question: Question) -> Sequence[float]:
        if self._vectors is None or not question.pictures:
            lot = random.Random(question.text)
            return [lot.random() for _ in self._pool]
        wanted = set(content_words(question.text))
        overlap = [len(words & wanted) / max(len(words | wanted), 1) for words in self._words]
        likeness = self._vectors @ self._asker.joint(question.pictures)
        return list(likeness + np.array(overlap))


def _kind(question: Question) -> str:
    return "closed" if options_of(question) else "open"


def read_pool(path: Path, asked: Sequence[Item]) -> list[Item]:
    """Read examples to put before questions, without those of patients or pictures that are asked about.

    Args:
        path: data file.
        asked: what the evaluation asks.

    Returns:
        At most `POOL` questions with a picture, always the same ones.

    Raises:
        DataError: none is left, or the file cannot be read.
    """
    from data_recipes.schema import read_examples

    groups = {item.group for item in asked}
    seen = {image for item in asked for image in item.images}
    items = [make_item(example, path.parent) for example in read_examples(path)]
    usable = [
        item
        for item in items
        if item.task == "vqa" and item.images and item.group not in groups and not seen & set(item.images)
    ]
    if not usable:
        raise DataError(
            f"{path} holds no question about a patient who is not asked about ({len(items)} examples in all). "
            "Give a training file: --examples TRAIN.jsonl"
        )
    random.Random(0).shuffle(usable)
    return usable[:POOL]


def with_examples(asker: Asker, question: Question, shots: Sequence[Item]) -> Question:
    """Return a question with worked examples before it, in words; as many of the last ones as the context holds."""
    kept = list(shots)
    while True:
        lines = [f"Question: {item.question} Answer: {item.truth}" for item in kept]
        text = "\n".join([*lines, f"Question: {question.text} Answer:"]) if kept else question.text
        put = Question(text, question.pictures, question.history, question.options)
        if not kept or asker.room(put) >= 0:
            return put
        kept.pop(0)
