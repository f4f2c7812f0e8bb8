"""`Findings`: all that an audit found, before anyone draws or words it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from data_recipes.auditing.blind import Blind
from data_recipes.auditing.leaks import Leak
from data_recipes.auditing.tally import Tally


@dataclass(frozen=True)
class Findings:
    """All that an audit found."""

    files: dict[str, str]
    """File name to its split."""
    tally: Tally
    """Counts."""
    pictures: int
    """How many different pictures there are."""
    leaks: list[Leak] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    """What is wrong apart from leaks; each stops a build."""
    alike: list[str] = field(default_factory=list)
    """Pairs of pictures in two splits that are worth a look."""
    blind: list[Blind] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    """What a reader should know, and no fault."""

    @property
    def problems(self) -> list[str]:
        """What must be mended, in words."""
        return [*self.faults, *(leak.text for leak in self.leaks if leak.fails)]

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "files": self.files,
            "pictures": self.pictures,
            "faults": self.faults,
            "leaks": [leak.to_dict() for leak in self.leaks],
            "alike": self.alike,
            "contradictions": [list(pair) for pair in self.tally.contradictions[:100]],
            "blind": [one.to_dict() for one in self.blind],
            "notices": self.notices,
            "licences": {name: dict(sources) for name, sources in sorted(self.tally.licences.items())},
            "splits": {
                name: {
                    "records": part.records,
                    "words": part.words,
                    **{key: dict(counts.most_common()) for key, counts in sorted(part.counts.items())},
                }
                for name, part in self.tally.splits.items()
            },
        }
