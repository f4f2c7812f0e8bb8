"""A report as text: sections, and sentences that can be pointed to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from assistant.words import sentences


@dataclass(frozen=True)
class Source:
    """One sentence of a report, where it stands."""

    report: int
    """Number of the report, from 1."""
    section: str
    sentence: int
    """Number of the sentence in its section, from 1."""
    text: str

    @property
    def place(self) -> str:
        """Where it stands in words, such as "report 1, impression 2"."""
        return f"report {self.report}, {self.section} {self.sentence}"

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {"report": self.report, "section": self.section, "sentence": self.sentence, "text": self.text}


@dataclass(frozen=True)
class TextReport:
    """One report."""

    sections: Mapping[str, str]
    date: str = ""
    """As YYYY-MM-DD; "" if it does not say."""
    title: str = ""
    """What kind of report it is, if its record says so."""

    def sources(self, number: int, names: Sequence[str] = ("findings", "impression")) -> list[Source]:
        """Return its sentences.

        Args:
            number: of the report among others.
            names: which sections, in order.
        Returns:
            the sentences, each with its place.
        """
        return [
            Source(number, name, place, sentence)
            for name in names
            for place, sentence in enumerate(sentences(self.sections.get(name, "")), start=1)
        ]
