"""`SliceNote`: what an answer says of a slice that it rests on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from assistant.imaging.picture import Section


@dataclass(frozen=True)
class SliceNote:
    """A slice that the model read, and why that one."""

    section: Section
    """Where it lies."""
    why: str
    """"unusual", "relevant" or "uniform"."""
    score: float
    """How far it stands out from the other slices, in standard deviations; 0 for an even spread."""

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form that answers and reports carry."""
        return {**self.section.to_dict(), "chosen": self.why, "score": round(self.score, 2)}
