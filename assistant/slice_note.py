"""`SliceNote`: what an answer says of a slice that it rests on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from assistant.imaging.picture import Picture, Section


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


def pictures_read(pictures: Sequence[Picture], notes: Sequence[SliceNote]) -> tuple[Picture, ...]:
    """Return the pictures that the model read: of a volume only its slices that were chosen.

    Args:
        pictures: that were asked about.
        notes: `slices` of the answer; without any, all pictures were read.
    Returns:
        Pictures that are no slices, and the slices that are noted. Of a volume without a note, as a prior has none, the
        slices nearest to those that are noted.
    """
    if not notes:
        return tuple(pictures)
    noted = {(note.section.series, note.section.number) for note in notes}
    series = {one for one, _ in noted}
    kept: list[Picture] = []
    for picture in pictures:
        where = picture.section
        if where is None or (where.series, where.number) in noted:
            kept.append(picture)
        elif where.series not in series:
            others = [one.section for one in pictures if one.section and one.section.series == where.series]
            nearest = (min(others, key=lambda one: abs(one.position_mm - note.section.position_mm)) for note in notes)
            if where in nearest:
                kept.append(picture)
    return tuple(kept)
