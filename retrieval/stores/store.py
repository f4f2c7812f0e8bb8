"""What a database must offer to be searched like an index folder: `Store`, and the records that go into one."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, fields
from typing import Any, Literal, Protocol

import numpy as np

from assistant.errors import RetrievalError
from retrieval.passage import Passage

Space = Literal["text", "image"]

STORE_FORMAT = 1


@dataclass(frozen=True)
class Stored:
    """One record as a database keeps it. E is the width of the vectors."""

    key: int
    """Whole number, rising in the order of the corpus and never used twice."""
    passage: Passage
    text: np.ndarray
    """(E,) float32, unit length: of heading and text."""
    title: np.ndarray | None = None
    """(E,) of the document's title; a document's first record has it."""
    image: np.ndarray | None = None
    """(E,) of the record's picture."""
    jpeg: bytes | None = None
    """The reduced picture itself."""


@dataclass(frozen=True)
class Head:
    """What a store says of itself; JSON in the database."""

    encoder: str
    """Fingerprint of the encoder whose vectors these are."""
    model: str
    dimension: int
    sources: tuple[str, ...]
    weights: dict[str, float]
    version: str
    """Changes with every change of content."""
    next_key: int = 0
    records: int = 0
    words: int = 0
    """Words of all records together, as the lexical search counts them."""
    fusion: str = "rank"
    search: dict[str, float] = field(default_factory=dict)
    domain: dict[str, Any] = field(default_factory=dict)
    complete: bool = True
    """False while it is being filled for the first time; such a store is not searched."""
    format: int = STORE_FORMAT

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that change with content, settings or encoder."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:16]

    def to_json(self) -> str:
        """Return it as JSON."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str, where: str) -> Head:
        """Read back what `to_json` gave.

        Args:
            text: JSON.
            where: what is being read, for messages.
        Returns:
            The head.
        Raises:
            RetrievalError: it is not of that form, or of another format version.
        """
        try:
            values = json.loads(text)
            known = {one.name for one in fields(cls)}
            if not isinstance(values, dict) or values.get("format") != STORE_FORMAT or set(values) - known:
                raise ValueError(f"it is of format {values.get('format') if isinstance(values, dict) else '?'}")
            return cls(**{**values, "sources": tuple(values["sources"])})
        except (ValueError, TypeError, KeyError) as error:
            raise RetrievalError(
                f"The head of {where} cannot be read ({error}); this version reads format {STORE_FORMAT}. "
                "Fill it again: python -m retrieval.migrate INDEX TARGET"
            ) from error


@dataclass(frozen=True)
class Postings:
    """Where some words stand. M entries."""

    words: tuple[str, ...]
    word: np.ndarray
    """(M,) int, a place in `words`."""
    key: np.ndarray
    """(M,) int64, the record."""
    times: np.ndarray
    """(M,) how often the record has the word."""
    length: np.ndarray
    """(M,) how many words the record has in all."""


class Store(Protocol):
    """A database that holds an index. Every change is whole or not at all, also when the process is killed."""

    @property
    def name(self) -> str:
        """How a person names it, without a password."""
        ...

    def head(self) -> Head:
        """Return what the store holds now."""
        ...

    def background(self) -> bytes:
        """Return the `background.npz` that tells chance from likeness."""
        ...

    def snapshot(self) -> AbstractContextManager[None]:
        """Let all reads inside see one state, whatever is written meanwhile."""
        ...

    def near(
        self, space: Space, vector: np.ndarray, count: int, without: str | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return (M,) cosines and keys of the nearest vectors, best first; keys of "text" are key * ROLES + role.

        Args:
            space: which vectors.
            vector: (E,) unit length.
            count: the most to return.
            without: a patient key whose records are passed over inside the search.
        Returns:
            The cosines and the keys.
        """
        ...

    def words_with(self, prefixes: Collection[str]) -> list[str]:
        """Return every word of the vocabulary that begins with one of some prefixes."""
        ...

    def postings(self, words: Sequence[str]) -> Postings:
        """Return where some words stand."""
        ...

    def records(self, keys: Collection[int]) -> dict[int, Passage]:
        """Return the records of some keys."""
        ...

    def chunks(self, document: str) -> list[tuple[int, Passage]]:
        """Return all records of one document, in order."""
        ...

    def picture(self, name: str) -> bytes | None:
        """Return the JPEG that `Evidence.image` names, if there is one."""
        ...

    def create(self, head: Head, background: bytes) -> None:
        """Make an empty store; what is complete and stands there already is a RetrievalError."""
        ...

    def put_head(self, head: Head) -> None:
        """Change what the store says of itself."""
        ...

    def add(self, records: Sequence[Stored]) -> Head:
        """Add records, all or none."""
        ...

    def keys_of(self, ids: Collection[str], patient: str | None) -> list[int]:
        """Return the keys of documents or chunks by id, and of a patient's cases."""
        ...

    def delete(self, keys: Sequence[int]) -> Head:
        """Take records out, all or none."""
        ...

    def optimise(self, exact_limit: int) -> None:
        """Make searches fast after many changes: an approximate vector index above `exact_limit` vectors."""
        ...

    def export(self, batch: int = 256) -> Iterator[list[Stored]]:
        """Yield all records with their vectors, in order."""
        ...

    def close(self) -> None:
        """Let go of the connection."""
        ...


def word_counts(passage: Passage) -> Mapping[str, int]:
    """Return how often a record has each word under which it is found."""
    from collections import Counter

    from retrieval.lexical import record_words

    return Counter(record_words(passage))
