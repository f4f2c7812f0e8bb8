"""`Corpus`: corpora read as passages, checked, chunked and without duplicates."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from assistant.errors import RetrievalError
from retrieval.dedup import Seen
from retrieval.passage import CountTokens, Passage, count_words
from retrieval.reading import Faults, ReadOptions, Tally
from retrieval.sources import read_sources


@dataclass(frozen=True)
class Corpus:
    """All passages of one or more corpora, checked, chunked and without duplicates."""

    passages: tuple[Passage, ...]
    duplicates: int
    """How many chunks were left out because the same text was there already."""
    skipped: int
    """How many cases were left out because they belong to another split."""

    @property
    def content_hash(self) -> str:
        """16 hexadecimal digits that depend on every field of every passage."""
        digest = hashlib.sha256()
        for passage in self.passages:
            digest.update(json.dumps(passage.to_dict(), sort_keys=True, ensure_ascii=False).encode())
        return digest.hexdigest()[:16]


def read_corpora(
    sources: Sequence[str | Path], *, budget: int = 180, count_tokens: CountTokens = count_words, split: str = "train"
) -> Corpus:
    """Read, check, chunk and de-duplicate corpora that fit in memory.

    Args:
        sources: see `retrieval.sources`; the word "knowledge" is the cards that ship with the project.
        budget: the longest chunk, as `count_tokens` counts.
        count_tokens: length of a text; words by default.
        split: cases that name a split are kept only if they name this one; "all" keeps every case.
    Returns:
        The passages in the order of the sources.
    Raises:
        RetrievalError: a source is missing or empty, or a record breaks the format; every fault is named.
    """
    faults, tally = Faults(), Tally()
    options = ReadOptions(budget=budget, count_tokens=count_tokens, split=split)
    with Seen(None) as seen:
        kept = tuple(seen.new(read_sources(sources, options, faults, tally), faults, tally))
    faults.raise_if_any()
    if not kept:
        raise RetrievalError(f"The corpus is empty: {', '.join(map(str, sources)) or 'no source'} holds no passage.")
    return Corpus(kept, duplicates=tally.duplicates + tally.near_duplicates, skipped=tally.other_split)
