"""Leaving out what is there already: the same words, or nearly the same words that say the same.

Ids, hashes and signatures are kept in SQLite, on disk for a large build, so that memory does not grow with the corpus.
Near duplicates are sought by MinHash (Broder. On the resemblance and containment of documents. 1997) and then compared
word by word: two reports that differ in a number, a side or a "no" are never duplicates.
"""

from __future__ import annotations

import hashlib
import re
import sqlite3
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from retrieval.passage import Passage
from retrieval.reading import Faults, Tally

_NOT_A_WORD = re.compile(r"[\W_]+")
_FEWEST_WORDS = 24
_SHINGLE = 3
_BANDS, _ROWS = 6, 6
_MOST_CHANGED = 0.05
_TURNING = """
    no not nor without never none absent absence negative positive normal abnormal excluded present left right
    bilateral unilateral upper lower middle anterior posterior medial lateral proximal distal superior inferior mild
    moderate severe acute chronic benign malignant increased decreased larger smaller new old stable worse better male
    female man woman boy girl child adult infant before after type stage grade high low
"""
_MATTER = frozenset(_TURNING.split())
"""Words that turn a statement into another: texts that differ in one of them are both kept."""


class Seen:
    """What a build has taken in so far. Use as a context manager."""

    def __init__(self, path: Path | None, *, near: bool = True, mend: str = "give each its own.") -> None:
        """Open the memory.

        Args:
            path: a new file for it; None keeps it in memory.
            near: whether near duplicates are left out too.
            mend: what to do about an id that is taken.
        """
        self._near = near
        self._mend = mend
        self._documents = 0
        rng = np.random.default_rng(7)
        self._factors = rng.integers(1, 2**63, size=(_BANDS * _ROWS, 1), dtype=np.uint64) | np.uint64(1)
        self._base = sqlite3.connect(path if path is not None else ":memory:", isolation_level=None)
        self._base.executescript(
            "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-16384; BEGIN;"
            "CREATE TABLE IF NOT EXISTS ids (id TEXT PRIMARY KEY) WITHOUT ROWID;"
            "CREATE TABLE IF NOT EXISTS documents (id TEXT PRIMARY KEY, number INTEGER, met INTEGER) WITHOUT ROWID;"
            "CREATE TABLE IF NOT EXISTS texts (hash BLOB PRIMARY KEY) WITHOUT ROWID;"
            "CREATE TABLE IF NOT EXISTS bands (band BLOB, words TEXT, title TEXT);"
            "CREATE INDEX IF NOT EXISTS by_band ON bands (band);"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._base.close()

    def new(self, passages: Iterable[Passage], faults: Faults, tally: Tally) -> Iterator[Passage]:
        """Give on the passages that are new; the first of equal ones stays, cases with a picture all stay.

        Args:
            passages: read one by one.
            faults: an id that another passage has is added here.
            tally: duplicates are counted here.
        Yields:
            What is new.
        """
        for passage in passages:
            if not self.add_id(passage.id):
                faults.add(passage.source, "id", passage.id, f"another passage has it already; {self._mend}")
            elif passage.image is not None:
                yield passage
            else:
                words, title = _words(passage)
                if not self._add("texts", _hash(words, title)):
                    tally.duplicates += 1
                elif self._near and self._is_near(words, title):
                    tally.near_duplicates += 1
                else:
                    yield passage

    def add_id(self, name: str) -> bool:
        """Note an id; return whether it is new."""
        return self._add("ids", name)

    def know(self, passage: Passage, document: int, *, known: bool) -> None:
        """Note a record of the index that is being added to.

        Args:
            passage: the record.
            document: the number of its document.
            known: whether its id and words count as taken; not when the corpus is read again to update it.
        """
        self._base.execute("INSERT OR IGNORE INTO documents VALUES (?, ?, ?)", (passage.document, document, known))
        self._documents = max(self._documents, document + 1)
        if known:
            self.add_id(passage.id)
            if passage.image is None:
                words, title = _words(passage)
                self._add("texts", _hash(words, title))

    def document(self, name: str) -> tuple[int, bool]:
        """Return the number of a document, counted from 0, and whether it was met for the first time."""
        found = self._base.execute("SELECT number, met FROM documents WHERE id = ?", (name,)).fetchone()
        if found is None:
            self._base.execute("INSERT INTO documents VALUES (?, ?, 1)", (name, self._documents))
            self._documents += 1
            return self._documents - 1, True
        if not found[1]:
            self._base.execute("UPDATE documents SET met = 1 WHERE id = ?", (name,))
        return int(found[0]), not found[1]

    def _add(self, table: str, value: str | bytes) -> bool:
        return self._base.execute(f"INSERT OR IGNORE INTO {table} VALUES (?)", (value,)).rowcount == 1

    def _is_near(self, words: list[str], title: str) -> bool:
        if len(words) < _FEWEST_WORDS:
            return False
        bands = self._bands(words)
        # A title made of the first words of the text says no more than the text.
        title = "" if " ".join(words).startswith(title) else title
        marks = ",".join("?" * len(bands))
        found = self._base.execute(f"SELECT DISTINCT words, title FROM bands WHERE band IN ({marks})", bands)
        if any(other_title == title and _same(words, other.split()) for other, other_title in found):
            return True
        joined = " ".join(words)
        self._base.executemany("INSERT INTO bands VALUES (?, ?, ?)", [(band, joined, title) for band in bands])
        return False

    def _bands(self, words: list[str]) -> list[bytes]:
        """MinHash signature of the word triples, in bands: near texts share at least one band."""
        triples = [" ".join(words[start : start + _SHINGLE]).encode() for start in range(len(words) - _SHINGLE + 1)]
        hashes = np.fromiter((zlib.crc32(triple) for triple in triples), dtype=np.uint64, count=len(triples))
        least = ((hashes[None] * self._factors) >> np.uint64(32)).min(axis=1).astype(np.uint32)
        return [
            bytes([number]) + hashlib.blake2b(band.tobytes(), digest_size=8).digest()
            for number, band in enumerate(least.reshape(_BANDS, _ROWS))
        ]


def _words(passage: Passage) -> tuple[list[str], str]:
    """Return the bare words of the text, and those of the title."""
    words = _NOT_A_WORD.sub(" ", passage.text.casefold()).split()
    return words, _NOT_A_WORD.sub(" ", passage.title.casefold()).strip()


def _hash(words: list[str], title: str) -> bytes:
    return hashlib.sha256(f"{title}\n{' '.join(words)}".encode()).digest()[:16]


def _same(one: list[str], other: list[str]) -> bool:
    """Whether two texts differ in a few words only, and in none that matters."""
    changed = set(one) ^ set(other)
    if any(word in _MATTER or any(char.isdigit() for char in word) for word in changed):
        return False
    if abs(len(one) - len(other)) > _MOST_CHANGED * len(one) or len(changed) > 2 * _MOST_CHANGED * len(one):
        return False
    first, second = _counts(one), _counts(other)
    return not any(first[word] != second[word] for word in (set(first) | set(second)))


def _counts(words: list[str]) -> dict[str, int]:
    counts = dict.fromkeys(_MATTER, 0)
    for word in words:
        if word in counts:
            counts[word] += 1
    return counts
