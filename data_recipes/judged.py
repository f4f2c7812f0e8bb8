"""Answers judged one by one, for KTO: an `Example` with `good` beside it.

The name is no field of `Example`, so no other stage takes unwanted answers for true ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from assistant.errors import DataError
from data_recipes.jsonl import read_records, write_records
from data_recipes.schema import Example, Preference
from data_recipes.schema_check import show


@dataclass(frozen=True)
class Judged:
    """An answer and whether it is wanted."""

    example: Example
    """Its last message is the answer."""
    good: bool
    """True for an answer that is wanted, such as one with a thumb up."""

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form: the example's, with `good`."""
        return {**self.example.to_dict(), "good": self.good}

    @classmethod
    def from_dict(cls, record: object) -> Judged:
        """Make the judged answer of a JSON form.

        Args:
            record: what `to_dict` gave.
        Returns:
            The answer, checked.
        Raises:
            DataError: `good` is neither true nor false, or the rest is no example.
        """
        if not isinstance(record, dict):
            raise DataError(f"record is {show(record)}; each line is one JSON object.")
        good = record.get("good")
        if not isinstance(good, bool):
            raise DataError(f"field 'good' is {show(good)}; write true for an answer that is wanted, else false.")
        rest = {name: value for name, value in record.items() if name != "good"}
        return cls(Example.from_dict(rest, right=good), good)


def read_judged(path: Path | str) -> Iterator[Judged]:
    """Read a file of judged answers, or of preferences, each of which is one good and one bad answer.

    Args:
        path: JSON Lines.
    Yields:
        One answer after the other.
    Raises:
        DataError: the file is missing, or a line breaks the format; names file, line, field, value and mend.
    """
    for group in read_records(Path(path), _judged):
        yield from group


def write_judged(path: Path | str, judged: Iterable[Judged]) -> int:
    """Write a file of judged answers: all of it, or on any fault nothing.

    Args:
        path: file to make or replace.
        judged: what to write.
    Returns:
        How many were written.
    """
    return write_records(Path(path), (one.to_dict() for one in judged))


def _judged(record: dict[str, Any]) -> list[Judged]:
    if isinstance(record, dict) and "chosen" in record:
        pair = Preference.from_dict(record)
        return [_answer(pair, pair.chosen, good=True), _answer(pair, pair.rejected, good=False)]
    return [Judged.from_dict(record)]


def _answer(pair: Preference, answer: str, *, good: bool) -> Judged:
    example = Example(
        pair.id, pair.images, [*pair.messages, {"role": "assistant", "content": answer}], "chat", "open",
        source=pair.source, licence=pair.licence, truth=pair.truth, modality=pair.modality, anatomy=pair.anatomy,
        patient=pair.patient, site=pair.site,
    )  # fmt: skip
    return Judged(replace(example, id=f"{pair.id}~{'good' if good else 'bad'}"), good)
