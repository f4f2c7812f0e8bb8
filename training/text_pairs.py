"""Pairs of texts that mean the same, for the text tower: a title and a sentence of it, a finding and its card."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from assistant.errors import DataError

logger = logging.getLogger(__name__)

_SENTENCES = re.compile(r"(?<=[.!?])\s+")


def read_passages(file: Path) -> Iterator[tuple[str, str]]:
    """Yield (title, text) from a JSON Lines file with those keys, or from a folder of Markdown cards.

    Args:
        file: the file or folder. Records without a title or a text are left out.
    Yields:
        One pair a record; of a card, one for each of its names.
    Raises:
        DataError: a line is no JSON.
    """
    if file.is_dir():
        yield from _read_cards(file)
        return
    skipped = 0
    with file.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                record = json.loads(line)
            except json.JSONDecodeError as error:
                raise DataError(f"{file}, line {number}: {error}; each line is one JSON object.") from error
            title, text = str(record.get("title") or "").strip(), str(record.get("text") or "").strip()
            if title and text:
                yield title, text
            else:
                skipped += 1
    if skipped:
        logger.warning("left out %d passages without a title or a text", skipped)


def _read_cards(folder: Path) -> Iterator[tuple[str, str]]:
    import yaml

    for path in sorted(folder.glob("*.md")):
        parts = path.read_text(encoding="utf-8").split("---\n", 2)
        if len(parts) != 3:
            continue
        head, body = yaml.safe_load(parts[1]), re.sub(r"^#+ .*$", "", parts[2], flags=re.MULTILINE)
        short = f"{head['modality']} of the {head['anatomy']}: {head['finding']}"
        names = [head["title"], *(head.get("synonyms") or []), short]
        for name in names:
            yield str(name), body


class PairMaker:
    """Draws pairs of texts.

    Args:
        sources: (title, text) pairs of each source. A source's share grows with the root of its size, so that a small
            one that matters is not drowned.
        words: most words of a text.
    """

    def __init__(self, sources: Sequence[Sequence[tuple[str, str]]], *, words: int = 40) -> None:
        passages = [pair for source in sources for pair in source]
        if not passages:
            raise DataError("there are no passages to learn text pairs from; name some under `passages:`.")
        self.titles = [title for title, _ in passages]
        split = (_SENTENCES.split(" ".join(text.split())) for _, text in passages)
        self.sentences = [[one for one in sentences if one] for sentences in split]
        self.weights = torch.cat([torch.full((len(one),), len(one) ** -0.5) for one in sources if one])
        self.words = words

    def draw(self, count: int, generator: torch.Generator) -> tuple[list[str], list[str]]:
        """Return `count` queries and as many texts that answer them, row by row.

        Half of the queries are titles, half are the sentence before the text, so that the tower learns both to find
        a subject and to join what belongs together.
        """
        first, second = [], []
        few = count > len(self.weights)
        for index in torch.multinomial(self.weights, count, replacement=few, generator=generator).tolist():
            sentences = self.sentences[index]
            start = int(torch.randint(len(sentences), (1,), generator=generator))
            text = " ".join(" ".join(sentences[start : start + 3]).split()[: self.words])
            before = sentences[start - 1] if start and torch.rand(1, generator=generator) < 0.5 else self.titles[index]
            first.append(" ".join(before.split()[: self.words]))
            second.append(text)
        return first, second
