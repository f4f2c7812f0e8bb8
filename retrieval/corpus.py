"""Corpora → `Passage` records: folders of Markdown cards, JSONL passages, JSONL cases.

Every fault of every file is gathered and named with its file, line, field and value, and what to do; nothing that is
broken is left out in silence.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Callable, Iterable, Sequence
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
_NOT_A_WORD = re.compile(r"[\W_]+")

CountTokens = Callable[[str], int]


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
    """What is wrong with a corpus, gathered while it is read."""

    found: list[str] = field(default_factory=list)

    def add(self, place: str, name: str, value: object, mend: str) -> None:
        """Note one fault: where, in which field, the value seen, what to do."""
        shown = repr(value)
        self.found.append(f"{place}: {name} is {shown if len(shown) <= 60 else shown[:57] + '...'}; {mend}")

    def raise_if_any(self) -> None:
        """Raise one RetrievalError that lists all faults.

        Raises:
            RetrievalError: at least one fault was noted.
        """
        if not self.found:
            return
        shown = self.found[:_MOST_FAULTS_SHOWN]
        more = len(self.found) - len(shown)
        tail = f"\n  … and {more} more" if more else ""
        raise RetrievalError(
            f"The corpus has {len(self.found)} fault(s); mend them and run again:\n  " + "\n  ".join(shown) + tail
        )


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


def count_words(text: str) -> int:
    """Count words as white space divides them: the default measure of a chunk's length."""
    return len(text.split())


def read_corpora(
    sources: Sequence[str | Path], *, budget: int = 180, count_tokens: CountTokens = count_words, split: str = "train"
) -> Corpus:
    """Read, check, chunk and de-duplicate corpora.

    Args:
        sources: each a folder of Markdown cards, one card, a JSONL file of passages or cases, or the word "knowledge"
            for the cards that ship with the project.
        budget: the longest chunk, as `count_tokens` counts.
        count_tokens: length of a text; words by default.
        split: cases that name a split are kept only if they name this one; "all" keeps every case.
    Returns:
        The passages in the order of the sources.
    Raises:
        RetrievalError: a source is missing or empty, or a record breaks the format; every fault is named.
    """
    from retrieval.cards import read_cards
    from retrieval.records import read_jsonl

    faults = Faults()
    passages: list[Passage] = []
    skipped = 0
    for source in sources:
        path = knowledge_folder() if str(source) == KNOWLEDGE else Path(source)
        if path.is_dir() or path.suffix == ".md":
            passages.extend(read_cards(path, faults, budget=budget, count_tokens=count_tokens))
        elif path.suffix == ".jsonl" and path.is_file():
            found, left_out = read_jsonl(path, faults, budget=budget, count_tokens=count_tokens, split=split)
            passages.extend(found)
            skipped += left_out
        else:
            raise RetrievalError(
                f"{source} is no corpus: it takes a folder of .md cards, a .jsonl file that exists, "
                f'or the word "{KNOWLEDGE}" for the cards that ship with the project.'
            )
    _check_ids(passages, faults)
    faults.raise_if_any()
    if not passages:
        raise RetrievalError(f"The corpus is empty: {', '.join(map(str, sources)) or 'no source'} holds no passage.")
    kept = without_duplicates(passages)
    return Corpus(kept, duplicates=len(passages) - len(kept), skipped=skipped)


def knowledge_folder() -> Path:
    """Return the folder of the knowledge cards that ship with the project."""
    return Path(__file__).parent / "knowledge"


def without_duplicates(passages: Iterable[Passage]) -> tuple[Passage, ...]:
    """Keep the first of all passages whose title and text are the same words; cases with a picture are all kept."""
    seen: set[bytes] = set()
    kept: list[Passage] = []
    for passage in passages:
        if passage.image is None:
            words = _NOT_A_WORD.sub(" ", f"{passage.title}\n{passage.text}".casefold()).strip()
            key = hashlib.sha256(words.encode()).digest()
            if key in seen:
                continue
            seen.add(key)
        kept.append(passage)
    return tuple(kept)


def check_modality(value: object, place: str, faults: Faults) -> str | None:
    """Return the modality by its name in `MODALITIES`, None for "any"; note a fault for an unknown name."""
    from assistant.vocabulary import canonical_modality

    if value is None or value == ANY_MODALITY:
        return None
    name = canonical_modality(value) if isinstance(value, str) else None
    if name is None:
        faults.add(place, "modality", value, f"use one of {', '.join(MODALITIES)}, or {ANY_MODALITY}.")
    return name


def _check_ids(passages: Sequence[Passage], faults: Faults) -> None:
    seen: set[str] = set()
    for passage in passages:
        if passage.id in seen:
            faults.add(passage.source, "id", passage.id, "another passage has it already; give each its own.")
        seen.add(passage.id)
