"""`Passage`: what an index holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import Any

KINDS: tuple[str, ...] = ("passage", "figure", "case")
ANY_MODALITY = "any"

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
