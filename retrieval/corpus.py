"""`Passage`, what an index holds, and corpora read as passages.

Every fault of every file is gathered and named with its file, line, field and value, and what to do; nothing that is
broken is left out in silence.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from assistant.errors import RetrievalError
from assistant.vocabulary import MODALITIES

logger = logging.getLogger(__name__)

KINDS: tuple[str, ...] = ("passage", "figure", "case")
ANY_MODALITY = "any"
KNOWLEDGE = "knowledge"
_MOST_FAULTS_SHOWN = 20
_DATE = re.compile(r"(\d{4})(?:-(\d{2})(?:-(\d{2}))?)?\Z")

CountTokens = Callable[[str], int]


def count_words(text: str) -> int:
    """Count words as white space divides them: the default measure of a chunk's length."""
    return len(text.split())


@dataclass(frozen=True)
class Passage:
    """One retrievable piece: a chunk of text, a figure with its caption, or a case with its picture."""

    id: str
    kind: str
    """One of `KINDS`."""
    title: str
    text: str
    source: str
    licence: str
    modality: str | None = None
    """A name of `vocabulary.MODALITIES`; None if it holds for any."""
    anatomy: str | None = None
    finding: str | None = None
    """What the whole piece is about, in lower case; "normal" for normal anatomy."""
    keywords: tuple[str, ...] = ()
    """Other names of the same thing: searched, not shown."""
    section: str | None = None
    """The heading that this chunk stood under; None for the first chunk of a document."""
    image: str | None = None
    """Path of its picture: as found in the corpus, and once indexed relative to the index folder."""
    patient_key: str | None = None
    """One-way hash, so that a patient's own cases can be left out."""
    references: tuple[str, ...] = ()
    parent: str | None = None
    """Id of the document that this chunk belongs to; None if it is the whole."""
    date: str | None = None
    """When it was published or the study was made: `2021`, `2021-03` or `2021-03-09`."""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"Passage.kind is {self.kind!r}; it takes one of {', '.join(KINDS)}.")

    @property
    def document(self) -> str:
        """Id of the document it belongs to: its parent's, or its own."""
        return self.parent or self.id

    @property
    def heading(self) -> str:
        """The title as a reader sees it, with the section of a later chunk."""
        return f"{self.title} ({self.section.lower()})" if self.section else self.title

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types, without the fields that are empty."""
        values = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}
        return {name: value for name, value in values.items() if value not in (None, [])}

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Passage:
        """Read back what `to_dict` gave; unknown keys raise a TypeError."""
        lists = {item.name for item in fields(cls) if item.name in ("keywords", "references")}
        values: dict[str, Any] = {name: tuple(value) if name in lists else value for name, value in record.items()}
        return cls(**values)


@dataclass
class Faults:
    """What is wrong with a corpus, gathered while it is read. The first `kept` are worded, the others counted."""

    found: list[str] = field(default_factory=list)
    count: int = 0
    kept: int = _MOST_FAULTS_SHOWN

    def add(self, place: str, name: str, value: object, mend: str) -> None:
        """Note one fault: where, in which field, the value seen, what to do."""
        self.count += 1
        if len(self.found) < self.kept:
            shown = repr(value)
            self.found.append(f"{place}: {name} is {shown if len(shown) <= 60 else shown[:57] + '...'}; {mend}")

    def raise_if_any(self) -> None:
        """Raise one RetrievalError that lists the faults.

        Raises:
            RetrievalError: at least one fault was noted.
        """
        if not self.count:
            return
        more = self.count - len(self.found)
        tail = f"\n  … and {more} more" if more else ""
        raise RetrievalError(
            f"The corpus has {self.count} fault(s); mend them and run again:\n  " + "\n  ".join(self.found) + tail
        )


@dataclass
class Tally:
    """What was left out while a corpus was read, by reason; no fault, but said."""

    other_split: int = 0
    """Cases that belong to another split."""
    duplicates: int = 0
    """Pieces whose words were there already."""
    near_duplicates: int = 0
    """Pieces that differ from an earlier one by a few words that change nothing."""
    empty: int = 0
    """Records without text where their format allows it: an answer withheld, an article without an abstract."""


@dataclass(frozen=True)
class ReadOptions:
    """How corpora are read."""

    budget: int = 180
    """The longest chunk, as `count_tokens` counts."""
    count_tokens: CountTokens = count_words
    """Length of a text: words, or tokens of the encoder."""
    with_title: bool = False
    """Whether the title counts too: what is embedded is the title and the chunk."""
    split: str = "train"
    """Cases that name another split are left out; "all" keeps every one."""
    licence: str | None = None
    """Of records that name none, such as those of a PDF."""
    source: str | None = None
    """Of records that name none."""

    def room(self, title: str) -> int:
        """Return how long the text of a chunk under this title may be, at least half of the budget."""
        taken = self.count_tokens(f"{title}. ") if self.with_title else 0
        return max(self.budget - taken, (self.budget + 1) // 2)


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
    from retrieval.dedup import Seen
    from retrieval.sources import read_sources

    faults, tally = Faults(), Tally()
    options = ReadOptions(budget=budget, count_tokens=count_tokens, split=split)
    with Seen(None) as seen:
        kept = tuple(seen.new(read_sources(sources, options, faults, tally), faults, tally))
    faults.raise_if_any()
    if not kept:
        raise RetrievalError(f"The corpus is empty: {', '.join(map(str, sources)) or 'no source'} holds no passage.")
    return Corpus(kept, duplicates=tally.duplicates + tally.near_duplicates, skipped=tally.other_split)


def knowledge_folder() -> Path:
    """Return the folder of the knowledge cards that ship with the project."""
    return Path(__file__).parent / "knowledge"


def check_modality(value: object, place: str, faults: Faults) -> str | None:
    """Return the modality by its name in `MODALITIES`, None for "any"; note a fault for an unknown name."""
    from assistant.vocabulary import canonical_modality

    if value is None or value == ANY_MODALITY:
        return None
    name = canonical_modality(value) if isinstance(value, str) else None
    if name is None:
        faults.add(place, "modality", value, f"use one of {', '.join(MODALITIES)}, or {ANY_MODALITY}.")
    return name


def check_date(value: object, place: str, faults: Faults) -> str | None:
    """Return a date as `2021`, `2021-03` or `2021-03-09`; note a fault for anything else."""
    if value in (None, ""):
        return None
    match = _DATE.match(str(value))
    if match:
        try:
            datetime.date(int(match[1]), int(match[2] or 1), int(match[3] or 1))
        except ValueError:
            match = None
    if not match:
        faults.add(place, "date", value, "write it as 2021, 2021-03 or 2021-03-09.")
        return None
    return str(value)
