"""What a search may be narrowed by: one fixed-width row a record, and filters worked out on whole columns."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np

from assistant.errors import RetrievalError
from retrieval.passage import ANY_MODALITY, KINDS, Passage

NAMES_FILE = "names.json"
ROW = np.dtype(
    [
        ("key", "<i8"),
        ("offset", "<i8"),
        ("document", "<i8"),
        ("patient", "<i8"),
        ("digest", "<i8"),
        ("date", "<i4"),
        ("modality", "<i4"),
        ("anatomy", "<i4"),
        ("licence", "<i4"),
        ("kind", "<i4"),
    ]
)
"""One record: its key, where its line begins, its document, and what it can be filtered by; 0 stands for "none".
`digest` is of the record as it stood in the corpus, so that an update knows what has changed."""
_NAMED = ("modality", "anatomy", "licence")


@dataclass(frozen=True)
class Filters:
    """Which records a search may return; what is left empty allows all."""

    kinds: tuple[str, ...] = ()
    """Of `KINDS`."""
    modalities: tuple[str, ...] = ()
    """A record without a modality holds for any, and passes."""
    anatomies: tuple[str, ...] = ()
    """As modalities."""
    licences: tuple[str, ...] = ()
    """Names or patterns such as `CC-BY*`, in any case."""
    since: str | None = None
    """First date, `2021`, `2021-03` or `2021-03-09`. A record without a date does not pass."""
    until: str | None = None
    """Last date, of the same forms; `2021` takes in the whole year."""
    exclude_patient: str | None = None
    """A patient key whose own cases are left out."""

    def __post_init__(self) -> None:
        for name in self.kinds:
            if name not in KINDS:
                raise RetrievalError(f"There is no kind {name!r}; use {', '.join(KINDS)}.")
        for name in ("since", "until"):
            value = getattr(self, name)
            if value is not None and not date_number(value):
                raise RetrievalError(f"{name} is {value!r}; write it as 2021, 2021-03 or 2021-03-09.")

    @property
    def empty(self) -> bool:
        """Whether every record passes."""
        return not any(getattr(self, item.name) for item in fields(self))


@dataclass
class Names:
    """The words behind the numbers of a row; number 0 is "none", the first name is 1."""

    modality: list[str] = field(default_factory=list)
    anatomy: list[str] = field(default_factory=list)
    licence: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._numbers = {name: {word: n for n, word in enumerate(getattr(self, name), start=1)} for name in _NAMED}

    @classmethod
    def read(cls, folder: Path) -> Names:
        """Read `NAMES_FILE` of an index folder."""
        values = json.loads((folder / NAMES_FILE).read_text(encoding="utf-8"))
        return cls(**{name: list(values[name]) for name in _NAMED})

    def write(self, folder: Path) -> None:
        """Write `NAMES_FILE`."""
        text = json.dumps({name: getattr(self, name) for name in _NAMED}, indent=1, ensure_ascii=False)
        (folder / NAMES_FILE).write_text(text + "\n", encoding="utf-8")

    def row(self, passage: Passage, key: int, offset: int, document: int, digest: int) -> tuple[int, ...]:
        """Return the row of a record, giving new words new numbers."""
        numbers = [self._number(name, getattr(passage, name)) for name in _NAMED]
        patient = patient_number(passage.patient_key)
        date = date_number(passage.date)
        return (key, offset, document, patient, digest, date, *numbers, KINDS.index(passage.kind) + 1)

    def _number(self, name: str, word: str | None) -> int:
        if not word or word == ANY_MODALITY:
            return 0
        numbers = self._numbers[name]
        if word not in numbers:
            getattr(self, name).append(word)
            numbers[word] = len(numbers) + 1
        return numbers[word]

    def mask(self, rows: np.ndarray, filters: Filters) -> np.ndarray | None:
        """Work out which records pass.

        Args:
            rows: (N,) of `ROW`.
            filters: what is asked for.
        Returns:
            (N,) bool, or None where all pass.
        Raises:
            RetrievalError: a modality, anatomy or licence that no record has.
        """
        if filters.empty:
            return None
        passes = np.ones(len(rows), dtype=bool)
        for name, wanted in (
            ("modality", filters.modalities),
            ("anatomy", filters.anatomies),
            ("licence", filters.licences),
        ):
            if wanted:
                numbers = self._matching(name, wanted)
                passes &= np.isin(rows[name], numbers if name == "licence" else [0, *numbers])
        if filters.kinds:
            passes &= np.isin(rows["kind"], [KINDS.index(kind) + 1 for kind in filters.kinds])
        if filters.since or filters.until:
            first, last = date_number(filters.since), _last_day(filters.until)
            passes &= (rows["date"] > 0) & (rows["date"] >= first) & (rows["date"] <= last)
        if filters.exclude_patient:
            passes &= rows["patient"] != patient_number(filters.exclude_patient)
        return passes

    def _matching(self, name: str, wanted: Iterable[str]) -> list[int]:
        found: list[int] = []
        for pattern in wanted:
            hits = [
                number
                for word, number in self._numbers[name].items()
                if fnmatchcase(word.casefold(), pattern.casefold())
            ]
            if not hits:
                has = ", ".join(sorted(self._numbers[name])[:20]) or "none"
                raise RetrievalError(f"No record has {name} {pattern!r}; this index has {has}.")
            found.extend(hits)
        return found


def patient_number(key: str | None) -> int:
    """Return a number of 63 bits that stands for a patient key; 0 for none."""
    if not key:
        return 0
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") >> 1 or 1


def date_number(date: str | None) -> int:
    """Return 20210309 for `2021-03-09`, with zeros for what is not given; 0 for none or no date."""
    parts = (date or "").split("-")
    if not all(part.isdigit() for part in parts) or len(parts) > 3 or len(parts[0]) != 4:
        return 0
    year, month, day = (int(part) for part in (*parts, "0", "0")[:3])
    return year * 10000 + month * 100 + day


def _last_day(date: str | None) -> int:
    if not date:
        return np.iinfo(np.int32).max
    number = date_number(date)
    number += 9900 if number % 10000 == 0 else 0
    return number + (99 if number % 100 == 0 else 0)
