"""What the text tower learns from: questions with their passages and hard negatives, pictures with their texts."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from assistant.errors import DataError
from assistant.words import content_words, tokens
from retrieval.corpus import read_corpora

logger = logging.getLogger(__name__)

_LOOKED_AT = 20
_FIELDS = ("question", "title", "text")


@dataclass(frozen=True)
class Questions:
    """N questions, and the passage that answers each."""

    asked: tuple[str, ...]
    passages: tuple[str, ...]
    """Title and text, as an index embeds them."""

    def __len__(self) -> int:
        return len(self.asked)


@dataclass(frozen=True)
class Pictured:
    """N pictures and what is written of each."""

    paths: tuple[Path, ...]
    texts: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.paths)


def read_questions(paths: Sequence[Path]) -> Questions:
    """Read questions and their passages.

    Args:
        paths: JSONL with `question`, `text` and mostly `title`; lines that lack the first two are left out.
    Returns:
        All of them, each pair once.
    Raises:
        DataError: a line is no JSON object, or a file holds no question.
    """
    pairs: dict[tuple[str, str], None] = {}
    for path in paths:
        before = len(pairs)
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                try:
                    record = json.loads(line)
                    asked, title, text = (" ".join(str(record.get(name) or "").split()) for name in _FIELDS)
                except (ValueError, AttributeError) as error:
                    raise DataError(f"{path}, line {number}: {error}; each line is one JSON object.") from error
                if asked and text:
                    pairs[asked, f"{title}. {text}" if title else text] = None
        if len(pairs) == before:
            raise DataError(f"{path} holds no line with `question` and `text`, so nothing can be learned from it.")
    return Questions(tuple(asked for asked, _ in pairs), tuple(passage for _, passage in pairs))


def read_pictures(corpora: Sequence[Path], split: str) -> Pictured:
    """Read pictures and their texts from corpora of figures or cases.

    Args:
        corpora: as `retrieval.build` takes them.
        split: of cases that name one.
    Returns:
        What has a picture.
    Raises:
        DataError: nothing has one.
    """
    if not corpora:
        return Pictured((), ())
    found = [one for one in read_corpora(corpora, split=split).passages if one.image is not None]
    if not found:
        raise DataError(f"{', '.join(map(str, corpora))} holds no picture of split {split!r}.")
    return Pictured(tuple(Path(str(one.image)) for one in found), tuple(one.text for one in found))


def hard_negatives(questions: Questions, count: int, *, least_gap: float) -> list[list[int]]:
    """Find passages that hold a question's words and do not answer it.

    Args:
        questions: with their passages.
        count: how many for each.
        least_gap: a negative scores at most this share of the right passage, for what is nearer may answer too
            (after NV-Retriever, Moreira et al. 2024).
    Returns:
        Places of passages, at most `count` a question, the best first.
    """
    if not count or not len(questions):
        return [[] for _ in questions.asked]
    import bm25s

    logging.getLogger("bm25s").setLevel(logging.WARNING)
    index = bm25s.BM25()
    index.index([tokens(one) for one in questions.passages], show_progress=False)
    found: list[list[int]] = []
    for place, asked in enumerate(questions.asked):
        words = [word for word in content_words(asked) if word in index.vocab_dict]
        scores = np.asarray(index.get_scores(words)) if words else np.zeros(len(questions))
        limit = least_gap * scores[place]
        best = np.argsort(-scores, kind="stable")[: count + _LOOKED_AT]
        same = questions.passages[place]
        right = [int(row) for row in best if 0 < scores[row] <= limit and questions.passages[row] != same]
        found.append(right[:count])
    logger.info("hard negatives: %.2f a question", sum(map(len, found)) / len(found))
    return found
